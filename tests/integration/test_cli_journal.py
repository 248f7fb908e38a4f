"""What a second command does to a journal: resume, retry, pause, cancel, status, report."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli_campaigns import (
    ENV,
    campaign,
    conserved,
    finished,
    one_document,
    promomsg,
    started,
)
from waiting import wait_for

from promomsg.sandbox import Fault, FaultPlan, Sandbox

SLOW = "singles_per_second = 40"


def ended(process: subprocess.Popen[str], status: int) -> tuple[str, str]:
    out, err = finished(process)
    assert process.returncode == status, err
    assert "Traceback" not in err
    return out, err


def test_a_finished_campaign_needs_nothing_to_be_shown_again(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_single = {"1001": 43101}
    assert promomsg("send", campaign(tmp_path, served.url), "--yes") == 3
    for name in ("autumn.toml", "people.csv", "secret.txt"):
        (tmp_path / name).unlink()
    capsys.readouterr()
    journal = tmp_path / "autumn.db"
    assert promomsg("resume", journal, "--json") == 3
    again = one_document(capsys)
    assert promomsg("status", journal, "--json") == 0
    assert one_document(capsys) == again
    assert again["failed"] == 1
    assert promomsg("resume", journal) == 3
    assert promomsg("status", journal, "--watch") == 0
    assert "autumn: done" in capsys.readouterr().out


def test_retry_failed_sends_to_exactly_those_again(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_single = {"1001": 43101, "1002": 43101}
    assert promomsg("send", campaign(tmp_path, served.url), "--yes") == 3
    served.settings.refuse_single = {}
    journal = tmp_path / "autumn.db"
    capsys.readouterr()
    assert promomsg("retry", journal, "--yes") == 1
    assert promomsg("retry", journal, "--failed", "--include-unnamed", "--yes") == 1
    assert promomsg("retry", journal, "--failed") == 1
    assert "--yes" in capsys.readouterr().err
    assert promomsg("retry", journal, "--failed", "--yes", "--json") == 0
    document = one_document(capsys)
    assert (document["sent"], document["failed"]) == (10, 0)
    assert set(served.ledger.delivered.values()) == {1}


def test_retry_unknown_warns_that_somebody_may_get_it_twice(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.faults = FaultPlan(
        [Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[1])]
    )
    assert promomsg("send", campaign(tmp_path, served.url), "--yes") == 4
    capsys.readouterr()
    assert promomsg("retry", tmp_path / "autumn.db", "--unknown", "--yes", "--json") == 0
    out = capsys.readouterr()
    assert "twice" in out.err
    assert json.loads(out.out)["sent"] == 10


def test_pause_ends_the_sender_with_5_and_resume_goes_on(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "autumn.db"
    sender = started(
        "send", campaign(tmp_path, served.url, 200, title="{name}", pace=SLOW), "--yes", "--json"
    )
    wait_for(lambda: served.calls["singlesendmsg"] > 5)
    assert promomsg("resume", journal, "--yes") == 1
    assert "another process is sending" in capsys.readouterr().err
    assert promomsg("status", journal, "--json") == 0
    assert one_document(capsys)["state"] == "sending"
    assert promomsg("pause", journal) == 0
    out, err = ended(sender, 5)
    document = json.loads(out)
    assert document["state"] == "paused"
    assert conserved(document)
    assert f"promomsg resume {journal}" in err
    sent = document["sent"]
    assert sent == served.calls["singlesendmsg"]
    (tmp_path / "autumn.toml").write_text(
        (tmp_path / "autumn.toml").read_text().replace(SLOW, "unlimited = true")
    )
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 200
    assert set(served.ledger.delivered.values()) == {1}


def test_cancel_from_another_process_finishes_what_is_in_flight(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sender = started(
        "send", campaign(tmp_path, served.url, 200, title="{name}", pace=SLOW), "--yes", "--json"
    )
    wait_for(lambda: served.calls["singlesendmsg"] > 5)
    assert promomsg("cancel", tmp_path / "autumn.db") == 0
    document = json.loads(ended(sender, 3)[0])
    assert document["state"] == "cancelled"
    assert document["sent"] == served.calls["singlesendmsg"]
    assert document["cancelled"] == 200 - document["sent"]
    capsys.readouterr()
    assert promomsg("pause", tmp_path / "autumn.db") == 0
    assert "has ended already" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_cleanly_and_prints_the_resume_command(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    journal = tmp_path / "autumn.db"
    sender = started(
        "send", campaign(tmp_path, served.url, 200, title="{name}", pace=SLOW), "--yes", "--json"
    )
    wait_for(lambda: served.calls["singlesendmsg"] > 5)
    sender.send_signal(number)
    out, err = ended(sender, 130)
    document = json.loads(out)
    assert "in flight" in err
    assert f"promomsg resume {journal}" in err
    assert document["unknown"] == 0
    assert document["sent"] == served.calls["singlesendmsg"]
    assert promomsg("cancel", journal) == 0
    assert promomsg("status", journal, "--json") == 0
    assert one_document(capsys)["cancelled"] == 200 - document["sent"]


def wait_until_it_says(process: subprocess.Popen[str], text: str) -> None:
    """Waits until a process has written this on stderr."""
    assert process.stderr is not None
    fd, seen = process.stderr.fileno(), b""

    def said() -> bool:
        nonlocal seen
        if select.select([fd], [], [], 0)[0]:
            seen += os.read(fd, 65_536)
        return text.encode() in seen

    wait_for(said)


def test_a_child_that_hangs_is_ended_and_shows_where_it_hung() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import time\nprint('up', flush=True)\ntime.sleep(60)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    with pytest.raises(AssertionError, match=r'(?s)up\n.*File "<string>", line 3'):
        finished(process, 0.5)
    assert process.poll() is not None


def test_a_second_interrupt_ends_at_once(served: Sandbox, tmp_path: Path) -> None:
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="hang")])
    sender = started("send", campaign(tmp_path, served.url, 5, title="{name}"), "--yes")
    wait_for(lambda: served.calls["singlesendmsg"] >= 1)
    sender.send_signal(signal.SIGINT)
    wait_until_it_says(sender, "calls are in flight")
    assert sender.poll() is None

    def gone_when_pressed_again() -> bool:
        sender.send_signal(signal.SIGINT)
        return sender.poll() is not None

    wait_for(gone_when_pressed_again)  # those of the first second are one with the first
    ended(sender, 130)


def test_after_a_kill_resume_sends_the_rest_and_nobody_twice(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 120, title="{name}", pace="singles_per_second = 100")
    sender = started("send", file, "--yes")
    wait_for(lambda: served.calls["singlesendmsg"] > 10)
    sender.kill()
    sender.communicate()
    status = promomsg("resume", tmp_path / "autumn.db", "--yes", "--json")
    document = one_document(capsys)
    assert status == (4 if document["unknown"] else 0)
    assert conserved(document)
    assert document["pending"] == 0
    assert set(served.ledger.delivered.values()) == {1}


def test_half_a_plan_is_made_again_and_sent(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 5)
    journal = tmp_path / "autumn.db"
    (tmp_path / "autumn.db.planning").write_bytes(b"torn")
    assert promomsg("resume", journal, "--yes") == 1
    assert "--campaign" in capsys.readouterr().err
    assert promomsg("resume", journal, "--campaign", file, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 5


def test_resume_refuses_a_changed_message_or_list(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=3)])
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file, "--yes", "--json") == 5
    served.faults = FaultPlan()
    journal, text = tmp_path / "autumn.db", file.read_text()
    file.write_text(text.replace("优惠", "别的"))
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes") == 1
    assert "content.title changed" in capsys.readouterr().err
    file.write_text(text)
    people = tmp_path / "people.csv"
    listed = people.read_text()
    people.write_text(listed + "k99,1099,客\n")
    assert promomsg("resume", journal, "--yes") == 1
    assert "recipients are not the list" in capsys.readouterr().err
    people.write_text(listed)
    moved = file.rename(tmp_path / "moved.toml")
    assert promomsg("resume", journal, "--yes") == 1
    assert "does not lie beside it" in capsys.readouterr().err
    assert promomsg("resume", journal, "--campaign", moved, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 10


def test_resume_reads_the_list_of_the_send_and_goes_where_the_file_or_the_command_says(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=1)])
    file = campaign(tmp_path, "http://127.0.0.1:9")
    other = tmp_path / "other.csv"
    other.write_text("id\n7\n8\n9\n")
    words = ("--recipients", other, "--base-url", served.url)
    assert promomsg("send", file, *words, "--yes", "--json") == 5
    served.faults = FaultPlan()
    capsys.readouterr()
    again = ("resume", tmp_path / "autumn.db", "--yes", "--json")
    assert promomsg(*again, "--base-url", served.url) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["sent"] == 3
    assert str(other) in out.err


def test_report_in_each_format(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "key,id\n=1+1,11\n-5,12\n@x,13\na,14\na,15\n"
    served.settings.refuse_single = {"11": 43101}
    assert promomsg("send", campaign(tmp_path, served.url, rows), "--yes") == 3
    journal = tmp_path / "autumn.db"
    capsys.readouterr()
    assert promomsg("report", journal, "--format", "csv", "--all") == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [r["key"] for r in read] == ["'=1+1", "-5", "'@x", "a", "a"]
    assert [r["verdict"] for r in read] == ["failed", "sent", "sent", "sent", "skipped"]
    assert read[1]["at"].endswith("+00:00")
    assert promomsg("report", journal, "--format", "json") == 0
    document = one_document(capsys)
    assert document["campaign"] == "autumn"
    assert [o["code"] for o in document["outcomes"]] == ["43101", "DUPLICATE_KEY"]
    assert promomsg("report", journal) == 0
    assert "43101" in capsys.readouterr().out
    output = tmp_path / "out.csv"
    assert promomsg("report", journal, "--format", "csv", "--bom", "--output", output) == 0
    assert output.read_bytes().startswith(b"\xef\xbb\xbfkey,")
    assert output.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.partial"))


def test_a_report_never_goes_over_a_journal(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=3)])
    assert promomsg("send", campaign(tmp_path, served.url), "--yes") == 5
    journal = tmp_path / "autumn.db"
    before = journal.read_bytes()
    other = tmp_path / "other.db"
    other.write_bytes(before)
    (tmp_path / "hard.csv").hardlink_to(journal)
    (tmp_path / "soft.csv").symlink_to(journal)
    (tmp_path / "ours.db").symlink_to(journal)
    (tmp_path / "there").mkdir()
    capsys.readouterr()
    sides = [Path(f"{journal}{side}") for side in ("-wal", "-shm", ".lock", ".planning")]
    targets = (
        journal, tmp_path / "there" / ".." / "autumn.db", tmp_path / "hard.csv",
        tmp_path / "soft.csv", *sides, other, Path(f"{other}-wal"), tmp_path / "there", Path(),
        Path("/"), journal / "x",
    )  # fmt: skip
    listing = sorted(tmp_path.iterdir())
    for target in targets:
        for which in (journal, tmp_path / "ours.db"):
            assert promomsg("report", which, "--format", "csv", "--output", target) == 1, target
            err = capsys.readouterr().err
            assert "report it" not in err
            assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == listing
    assert journal.read_bytes() == other.read_bytes() == before
    assert promomsg("status", journal) == 0


def test_a_report_replaces_an_earlier_one_and_what_is_no_file_is_written_to(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("send", campaign(tmp_path, served.url, 2), "--yes") == 0
    words = ("report", tmp_path / "autumn.db", "--format", "csv", "--all", "--output")
    earlier, link = tmp_path / "r.csv", tmp_path / "latest.csv"
    earlier.write_text("an earlier report")
    earlier.with_name("r.csv.partial").write_text("half of a pull")
    link.symlink_to(earlier)
    assert promomsg(*words, link) == 0
    assert link.is_symlink()
    assert earlier.read_text().count("sent") == 2
    assert earlier.with_name("r.csv.partial").read_text() == "half of a pull"
    assert promomsg(*words, "/dev/null") == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(
        ["cat", pipe], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert promomsg(*words, pipe) == 0
    assert ended(reader, 0)[0].count("sent") == 2
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    out, _ = ended(started(*words, "/dev/stdout"), 0)
    assert out.count("sent") == 2


def test_a_journal_that_is_none_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = tmp_path / "stranger.db"
    stranger.write_text("hello")
    for words in (
        ("status", tmp_path / "no.db"),
        ("report", stranger),
        ("resume", tmp_path / "no.db", "--yes"),
        ("pause", stranger),
        ("retry", stranger, "--failed", "--yes"),
        ("reconcile", stranger),
        ("report", stranger, "--output", tmp_path / "x" / "y.csv"),
    ):
        assert promomsg(*words) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert stranger.read_text() == "hello"


def test_resume_wakes_a_paused_sender_that_is_alive(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A program of the user's own waits out its pause; the terminal only clears it.
    script = tmp_path / "own.py"
    script.write_text(
        "import asyncio, promomsg\n"
        "async def main():\n"
        f"    async with promomsg.WeChatPromoter('wx0123456789abcdef', 'x', base_url='{served.url}',"
        " pace=promomsg.Pace(unlimited=True)) as wechat:\n"
        "        message = promomsg.WeChatMessage(1, {'title': 'a'}, 'p')\n"
        "        async with promomsg.Campaign(wechat, message, ['1', '2'], journal='own.db') as run:\n"
        "            await run.pause()\n"
        "            print('paused', flush=True)\n"
        "            await run.wait()\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "paused\n"
    if served.calls["singlesendmsg"] < 2:
        assert promomsg("resume", tmp_path / "own.db", "--start-at", "now") == 1
        assert "leave --start-at out" in capsys.readouterr().err
        assert promomsg("resume", tmp_path / "own.db") == 0
        assert "goes on now" in capsys.readouterr().err
    ended(process, 0)
    assert served.calls["singlesendmsg"] == 2
