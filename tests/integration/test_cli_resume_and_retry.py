"""Going on from a journal at the terminal: whom a retry leaves out, a no, an interrupt, half a plan."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_campaigns import campaign, one_document, promomsg
from waiting import wait_for

from promomsg.errors import JournalError
from promomsg.journal.records import Outage
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.journal.sqlite.lock import SenderLock
from promomsg.sandbox import Fault, FaultPlan, Sandbox

LEFT_OUT = "of the unknown 60 are members of groups whose failures nobody named"


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Somebody at a terminal, who types ahead."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)

        def say(text: str) -> None:
            os.write(ours, text.encode())

        yield say
    os.close(ours)


def unnamed(served: Sandbox, folder: Path) -> Path:
    """A journal whose 60 members of one group are unknown, since one failure has no name."""
    served.settings.refuse_group = {"1003": 103010}
    served.settings.unnamed_failures = 1
    assert promomsg("send", campaign(folder, served.url, 60), "--yes") == 4
    served.settings.refuse_group = {}
    return folder / "autumn.db"


def test_retry_unknown_says_whom_it_leaves_out(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = unnamed(served, tmp_path)
    capsys.readouterr()
    assert promomsg("retry", journal, "--unknown", "--yes", "--json") == 4
    out = capsys.readouterr()
    assert LEFT_OUT in out.err
    assert "--include-unnamed" in out.err
    assert len(served.ledger.groups) == 1

    assert promomsg("retry", journal, "--unknown", "--include-unnamed", "--yes", "--json") == 0
    out = capsys.readouterr()
    assert LEFT_OUT not in out.err
    assert "twice" in out.err
    assert len(served.ledger.groups) == 2


def after_an_outage(served: Sandbox, folder: Path, in_doubt: int) -> Path:
    """A journal of 20 single sends that an outage stopped before the first of them."""
    plan = [Fault(endpoint="singlesendmsg", errcode=45009)]
    served.faults = FaultPlan(plan)
    assert promomsg("send", campaign(folder, served.url, 20), "--yes") == 5
    served.faults = FaultPlan()
    path = folder / "autumn.db"

    async def note() -> None:
        handle = await SqliteJournal(path).open(write=True)
        await handle.keep_outage(Outage(since=1_760_000_000.0, in_doubt=in_doubt))
        await handle.close()

    asyncio.run(note())
    return path


def test_a_resume_after_an_outage_looks_before_it_sends(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = after_an_outage(served, tmp_path, 12)
    looked = served.calls["quota_get"] + served.calls["getrole"]
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 20
    assert served.calls["quota_get"] + served.calls["getrole"] > looked


def test_when_an_outage_has_cost_what_it_may_a_persons_word_is_needed(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = after_an_outage(served, tmp_path, 64 + 8)
    called = served.calls["singlesendmsg"]
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes", "--json") == 5
    document = one_document(capsys)
    assert (document["state"], document["pending"]) == ("halted", 20)
    assert served.url in document["reason"]
    assert "--provider-is-back" in document["reason"]
    assert served.calls["singlesendmsg"] == called
    assert promomsg("resume", journal, "--yes", "--json", "--provider-is-back") == 0
    assert one_document(capsys)["sent"] == 20


def test_status_says_that_the_provider_is_looked_for(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another process looks at the journal of one that is sending."""
    journal = after_an_outage(served, tmp_path, 3)
    lock = SenderLock(str(journal))
    try:
        capsys.readouterr()
        assert promomsg("status", journal, "--json") == 0
        document = one_document(capsys)
    finally:
        lock.release()
    assert document["state"] == "sending"
    assert document["reason"] == "the provider cannot be reached; one call at a time is tried"


def test_retry_failed_does_not_speak_of_the_unknown(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = unnamed(served, tmp_path)
    capsys.readouterr()
    assert promomsg("retry", journal, "--failed", "--yes", "--json") == 4
    assert LEFT_OUT not in capsys.readouterr().err


def test_a_retry_of_rows_that_nobody_can_be_called_by_says_that_no_call_is_left(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, "key,openid\nk1,u1\nk2,u 2\n")
    assert promomsg("send", file, "--yes") == 3
    capsys.readouterr()
    assert promomsg("retry", tmp_path / "autumn.db", "--failed", "--yes") == 3
    told = capsys.readouterr().out
    assert "no call is left to make" in told
    assert "group calls only" not in told
    assert served.ledger.total == 1


def test_a_no_to_a_retry_leaves_the_journal_as_it_was(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], says: Callable[[str], None]
) -> None:
    served.settings.refuse_single = {"1001": 43101}
    assert promomsg("send", campaign(tmp_path, served.url), "--yes") == 3
    journal = tmp_path / "autumn.db"
    assert promomsg("status", journal, "--json") == 0
    capsys.readouterr()
    assert promomsg("status", journal, "--json") == 0
    before = one_document(capsys)
    served.settings.refuse_single = {}
    says("n\n")
    assert promomsg("retry", journal, "--failed") == 1
    assert "nothing was sent" in capsys.readouterr().err
    assert promomsg("status", journal, "--json") == 0
    assert one_document(capsys) == before
    assert before["failed"] == 1
    says("y\n")
    assert promomsg("retry", journal, "--failed") == 0
    assert served.ledger.deliveries("1001") == 1


def test_a_retry_that_is_interrupted_while_planning_has_changed_nothing(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_single = {"1001": 43101, "1002": 43101}
    file = campaign(tmp_path, served.url, pace="groups_per_minute = 60")
    assert promomsg("send", file, "--yes") == 3
    served.settings.refuse_single = {}
    asked = served.calls["quota_get"]
    served.faults = FaultPlan([Fault(endpoint="quota_get", kind="hang")])

    def interrupt() -> None:
        wait_for(lambda: served.calls["quota_get"] > asked)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    journal = tmp_path / "autumn.db"
    capsys.readouterr()
    assert promomsg("retry", journal, "--failed", "--yes") == 130
    thread.join()
    assert "nothing was changed: run retry again" in capsys.readouterr().err
    served.faults = FaultPlan()
    assert promomsg("status", journal, "--json") == 0
    found = one_document(capsys)
    assert (found["sent"], found["failed"], found["unknown"]) == (8, 2, 0)
    assert promomsg("retry", journal, "--failed", "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 10
    assert set(served.ledger.delivered.values()) == {1}


def half_plan(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: object) -> Path:
    """What a process leaves that is killed right before its plan is complete; its journal's path."""
    journal = folder / "autumn.db"
    planning = folder / "autumn.db.planning"
    kept = folder / "kept"

    async def killed(self: SqliteHandle, *args: Any, **rest: Any) -> None:
        shutil.copy(planning, kept)
        raise JournalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteHandle, "seal", killed)
        assert promomsg("send", *words, "--yes") == 1
    assert not planning.exists()
    kept.rename(planning)
    return journal


def test_a_suppression_list_that_has_grown_is_looked_at_again(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "blocked.csv"
    blocked.write_text("key\nzzz\n", "utf-8")
    one = "unlimited = true\nconcurrency = 1"
    file = campaign(tmp_path, served.url, 5, campaign='suppress = "blocked.csv"', pace=one)
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001)])
    assert promomsg("send", file, "--yes", "--json") == 5
    assert one_document(capsys)["pending"] == 5
    blocked.write_text("key\nzzz\nk4\n", "utf-8")
    served.faults = FaultPlan()
    assert promomsg("resume", tmp_path / "autumn.db", "--yes", "--json") == 0
    out = capsys.readouterr()
    assert "1 that were still to be sent to are on the suppression list by now" in out.err
    document = json.loads(out.out)
    assert (document["sent"], document["by_code"]) == (4, {"SUPPRESSED": 1})
    assert "1004" not in served.ledger.delivered


def test_half_a_plan_goes_where_the_file_or_the_command_says(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was begun with --base-url, and nobody but the command line can say that again."""
    file = campaign(tmp_path, "https://wechat.example", 5)
    journal = half_plan(tmp_path, monkeypatch, file, "--base-url", served.url)
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes", "--json") == 1
    said = capsys.readouterr().err
    assert served.url in said
    assert "https://wechat.example" in said
    assert promomsg("resume", journal, "--yes", "--json", "--base-url", served.url) == 0
    assert "planning it again" in capsys.readouterr().err
    assert set(served.ledger.delivered.values()) == {1}
    assert len(served.ledger.delivered) == 5


def test_half_a_plan_is_planned_again_from_the_list_and_the_options_that_it_was_begun_with(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = campaign(tmp_path, served.url, 5)
    others = tmp_path / "others.csv"
    others.write_text("key,id\nx,2001\ny,2002\n")
    words = ("--recipients", others, "--max-recipients", 2, "--finish-by", "2090-01-01 09:00")
    journal = half_plan(tmp_path, monkeypatch, file, *words)
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes") == 0
    assert "2090-01-01 09:00" in capsys.readouterr().out
    assert served.ledger.delivered == {"2001": 1, "2002": 1}


@pytest.mark.parametrize("how", ["gone", "to some keys alone"])
def test_half_a_plan_whose_list_is_not_known_any_more_is_not_planned_from_another(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    file = campaign(tmp_path, served.url, 5)
    others = tmp_path / "others.csv"
    others.write_text("key,id\nx,2001\ny,2002\n")
    if how == "gone":
        journal = half_plan(tmp_path, monkeypatch, file, "--recipients", others)
        others.unlink()
    else:
        monkeypatch.setattr("promomsg.cli.send_file.journal_for", lambda file, keys: file.journal)
        journal = half_plan(tmp_path, monkeypatch, file, "--test-to", "k1")
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes") == 1
    assert "give the command that began it again" in capsys.readouterr().err
    assert not served.ledger.delivered


def test_half_a_plan_that_another_process_makes_is_left_alone(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = half_plan(tmp_path, monkeypatch, campaign(tmp_path, served.url, 5))
    lock = SenderLock(str(journal))
    try:
        capsys.readouterr()
        assert promomsg("resume", journal, "--yes") == 1
    finally:
        lock.release()
    assert "another process is planning it" in capsys.readouterr().err
    assert (tmp_path / "autumn.db.planning").exists()
    assert not served.ledger.delivered


def test_half_a_plan_of_python_needs_a_campaign_file(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    from journal_rows import record

    from promomsg.journal.sqlite.journal import SqliteJournal

    journal = tmp_path / "autumn.db"
    planning = tmp_path / "autumn.db.planning"

    async def begin() -> None:
        begun = msgspec.structs.replace(record(), base_url=served.url)
        handle = await SqliteJournal(journal).create(begun)
        shutil.copy(planning, tmp_path / "kept")
        await handle.close()

    asyncio.run(begin())
    (tmp_path / "kept").rename(planning)
    assert promomsg("resume", journal, "--yes") == 1
    assert "was not started from a campaign file" in capsys.readouterr().err
    file = campaign(tmp_path, served.url, 5)
    assert promomsg("resume", journal, "--campaign", file, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 5
