"""The terminal with a campaign that workers send: it is handed over, and watched."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import ENV, campaign, finished, one_document, promomsg, running, started
from fleet_working import new_fleet
from waiting import wait_for

import promomsg as package
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.records import Counts
from promomsg.journal.unreachable import JournalUnreachable
from promomsg.sandbox import Sandbox

Start = Callable[[], "subprocess.Popen[str]"]
AT = ("fleet:autumn",)


@pytest.fixture
def fleet(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of the test's own with the tables, which `$PROMOMSG_FLEET` names: its URL."""
    with new_fleet(postgres) as url:
        monkeypatch.setenv("PROMOMSG_FLEET", url)
        monkeypatch.setitem(ENV, "PROMOMSG_FLEET", url)
        assert promomsg("fleet", "init") == 0
        yield url


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run, and the campaign file lies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def worker(fleet: str, box: Sandbox, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker of the account, and waits until it is there."""
    accounts = tmp_path / "accounts.toml"
    (tmp_path / "secret.txt").write_text("a-secret-of-nobody")
    accounts.write_text(
        '[[account]]\nchannel = "wechat"\nappid = "wx0123456789abcdef"\n'
        f'secret = "file:secret.txt"\nbase_url = "{box.url}"\n'
    )
    begun: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = started("worker", "--accounts", accounts)
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("working for ")
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.terminate()
            finished(process, 30)


def documents(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What a command prints with --json."""
    capsys.readouterr()
    promomsg(*words, "--json")
    return json.loads(capsys.readouterr().out)


def test_a_campaign_is_handed_over_to_the_workers_and_watched_to_its_end(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """Document, report and exit status are those of a file."""
    rows = "key,id,name\n" + "".join(
        f"k{n},{'9 9' if n % 9 == 0 else 1000 + n},客{n}\n" for n in range(80)
    )
    file = campaign(folder, box.url, rows)
    assert promomsg("send", file, "--yes", "--json") == 3
    in_file = json.loads(capsys.readouterr().out)
    worker()
    capsys.readouterr()
    assert promomsg("send", file, "--yes", "--json", "--journal", "fleet:autumn") == 3
    said = capsys.readouterr()
    in_database = json.loads(said.out)
    assert "1 worker sends it (" in said.err
    for document in (in_file, in_database):
        document["elapsed_s"] = 0
        document["groups"] = [{**group, "msg_id": ""} for group in document["groups"]]
    assert in_database == in_file
    assert documents(capsys, "status", *AT)["state"] == "done"
    assert promomsg("report", *AT, "--format", "csv") == 0
    assert capsys.readouterr().out.count("BAD_ADDRESS") == 9


def test_workers_wait_for_the_start_and_nobody_need_wait_with_them(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 30, campaign='start_at = "2035-11-11 09:00"')
    worker()
    capsys.readouterr()
    assert promomsg("send", file, "--yes", "--json", "--no-wait", "--journal", *AT) == 5
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (document["state"], document["pending"]) == ("waiting", 30)
    assert "and the workers go on then; look again with: promomsg status fleet:autumn" in said.err
    assert documents(capsys, "status", *AT)["waits_until"] == document["waits_until"]
    assert documents(capsys, "status", *AT)["warnings"] == []
    assert box.ledger.total == 0
    assert promomsg("resume", *AT, "--start-at", "now", "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == box.ledger.total == 30


def test_until_when_workers_wait_for_the_next_day_is_said_wherever_one_looks(
    fleet: str, box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(
        folder, box.url, 30, campaign='on_daily_quota = "wait"', pace="singles_per_day = 10"
    )
    worker()
    capsys.readouterr()
    assert promomsg("send", file, "--yes", "--json", "--no-wait", "--journal", *AT) == 5
    capsys.readouterr()
    wait_for(lambda: documents(capsys, "status", *AT)["state"] == "waiting", seconds=30)
    until = documents(capsys, "status", *AT)["waits_until"]
    [listed] = documents(capsys, "fleet", "status")["campaigns"]
    assert (listed["state"], listed["waits_until"], listed["sent"]) == ("waiting", until, 10)
    assert "the daily quota is used up" in listed["reason"]
    assert promomsg("fleet", "status") == 0
    assert "autumn: the daily quota is used up; it goes on" in capsys.readouterr().out
    assert box.ledger.total == 10


def test_ctrl_c_ends_the_watching_only(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 200, title="{name}", pace="singles_per_second = 40")
    worker()
    send = started("send", file, "--yes", "--json", "--journal", *AT)
    wait_for(lambda: box.ledger.total > 0, seconds=30)
    send.send_signal(signal.SIGINT)
    out, err = finished(send, 30)
    assert send.returncode == 130
    document = json.loads(out)
    assert document["state"] == "sending"
    assert document["pending"] > 0
    assert "this was the watching only, the workers go on" in err
    assert "promomsg status fleet:autumn --watch" in err
    assert "promomsg pause fleet:autumn" in err
    assert promomsg("status", *AT, "--watch", "--json") == 0
    document = one_document(capsys)
    assert (document["state"], document["sent"]) == ("done", 200)
    assert box.ledger.twice() == []


def test_without_a_worker_this_process_sends(
    fleet: str, box: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 3)
    assert promomsg("send", file, "--yes", "--journal", *AT) == 0
    assert "no worker is alive: this process sends it" in capsys.readouterr().err


def test_a_worker_that_starts_later_joins_in(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 1500, title="{name}", pace="singles_per_second = 60")
    send = started("send", file, "--yes", "--json", "--journal", *AT)
    wait_for(lambda: box.ledger.total > 0, seconds=30)
    worker()
    wait_for(lambda: len(package.Fleet().journal("autumn").senders()) == 2, seconds=30)
    send.send_signal(signal.SIGINT)
    _, err = finished(send, 30)
    assert "go on with: promomsg resume fleet:autumn" in err
    assert promomsg("cancel", *AT) == 0
    wait_for(lambda: documents(capsys, "status", *AT)["pending"] == 0, seconds=30)
    assert box.ledger.twice() == []


def test_a_paused_campaign_is_gone_on_with_by_the_workers(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 150, title="{name}", pace="singles_per_second = 40")
    worker()
    send = started("send", file, "--yes", "--json", "--journal", *AT)
    wait_for(lambda: box.ledger.total > 0, seconds=30)
    assert promomsg("pause", *AT) == 0
    out, err = finished(send, 30)
    assert (send.returncode, json.loads(out)["state"]) == (5, "paused")
    assert "are pending; go on with: promomsg resume fleet:autumn" in err
    assert promomsg("resume", *AT, "--yes", "--json") == 0
    said = capsys.readouterr()
    assert "1 worker sends it (" in said.err
    assert json.loads(said.out)["sent"] == 150
    assert box.ledger.twice() == []


def test_a_retry_is_made_by_the_workers(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    box.settings.refuse_single = {"1003": 40003}
    file = campaign(folder, box.url, 20)
    worker()
    assert promomsg("send", file, "--yes", "--journal", *AT) == 3
    box.settings.refuse_single = {}
    capsys.readouterr()
    assert promomsg("retry", *AT, "--failed", "--yes", "--json") == 0
    said = capsys.readouterr()
    assert "1 worker sends it (" in said.err
    assert json.loads(said.out)["sent"] == 20


def test_groups_are_followed_or_left_to_the_workers(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    box.settings.poll_steps = [50]
    file = campaign(folder, box.url, 60)
    worker()
    status = promomsg("send", file, "--yes", "--json", "--no-wait", "--journal", *AT)
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (status, document["state"], document["pending"]) == (5, "following", 60)
    assert "60 are pending, and the workers follow their groups" in said.err
    box.settings.poll_steps = [100]
    assert promomsg("status", *AT, "--watch", "--json") == 0
    assert one_document(capsys)["state"] == "done"
    assert promomsg("send", file, "--yes", "--journal", "fleet:second") == 0


def test_what_keeps_every_worker_off_is_said(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worker has another account; the campaign waits for one that has this. That is no campaign which
    was stopped: it goes on without a resume."""
    worker()
    file = campaign(folder, box.url, 3)
    file.write_text(file.read_text().replace("wx0123456789abcdef", "wxfedcba9876543210"))
    send = started("send", file, "--yes", "--journal", *AT)
    assert send.stderr is not None
    lines: list[str] = []
    while not any("wxfedcba9876543210" in line and "account" in line for line in lines):
        lines.append(send.stderr.readline())
        assert lines[-1], lines
    send.terminate()
    finished(send, 30)
    capsys.readouterr()
    assert promomsg("status", *AT) == 0
    said = capsys.readouterr()
    assert "autumn: sending" in said.out
    assert "wxfedcba9876543210" in said.err
    asyncio.run(parked(time.time() + 3600))
    assert promomsg("status", *AT) == 0
    assert "autumn: waiting (the daily quota is used up" in capsys.readouterr().out
    assert box.ledger.total == 0


async def parked(until: float) -> None:
    """Has the campaign wait until then."""
    handle = await package.Fleet().journal("autumn").open(write=True)
    await handle.park(until)
    await handle.close()


def test_that_the_last_worker_is_gone_is_said(
    fleet: str, box: Sandbox, folder: Path, worker: Start
) -> None:
    file = campaign(folder, box.url, 600, title="{name}", pace="singles_per_second = 30")
    one = worker()
    send = started("send", file, "--yes", "--journal", *AT)
    wait_for(lambda: box.ledger.total > 0, seconds=30)
    one.terminate()
    finished(one, 30)
    assert send.stderr is not None
    line = ""
    while "no worker is alive any more" not in line:
        line = send.stderr.readline()
        assert line
    assert "promomsg resume fleet:autumn" in line
    send.terminate()
    finished(send, 30)
    assert send.returncode == 130


def test_or_resume_leaves_it_to_the_workers(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 120, title="{name}", pace="singles_per_second = 40")
    worker()
    send = started("send", file, "--yes", "--journal", *AT)
    wait_for(lambda: box.ledger.total > 0, seconds=30)
    assert promomsg("send", file, "--yes", "--or-resume", "--journal", *AT) == 5
    assert "it (" in capsys.readouterr().err
    assert finished(send, 60)
    assert send.returncode == 0


def test_a_database_that_is_away_is_looked_at_again(
    box: Sandbox,
    folder: Path,
    worker: Start,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = campaign(folder, box.url, 20)
    worker()
    away = [JournalUnreachable("db.example: it cannot be reached")] * 2
    counts = PostgresHandle.counts

    async def now_and_then(handle: PostgresHandle) -> Counts:
        if not handle._access.writes and away:
            raise away.pop()
        return await counts(handle)

    monkeypatch.setattr(PostgresHandle, "counts", now_and_then)
    assert promomsg("send", file, "--yes", "--journal", *AT) == 0
    said = capsys.readouterr()
    assert said.err.count("db.example: it cannot be reached; this goes on looking") == 1
    assert "20" in said.out


def test_a_group_that_stays_behind_is_left_to_the_workers_after_a_while(
    box: Sandbox, folder: Path, worker: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """As long as a process would follow it that sends by itself (`give_up_after`)."""
    box.settings.poll_steps = [50]
    file = campaign(folder, box.url, 60)
    file.write_text(file.read_text().replace('give_up_after = "20s"', 'give_up_after = "1s"'))
    worker()
    assert promomsg("send", file, "--yes", "--json", "--journal", *AT) == 5
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "following"
    assert "and the workers follow their groups" in said.err
    box.settings.poll_steps = [100]
    wait_for(lambda: documents(capsys, "status", *AT)["state"] == "done", seconds=60)
