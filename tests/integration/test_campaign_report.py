"""The report, the temporary journal behind it, and a journal opened to be read."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from campaigning import MESSAGE, QUICK, add_up, ids, run_to_end
from waiting import until

import promomsg
from promomsg import Campaign, Halted, JournalError, State, WeChatPromoter
from promomsg.engine.report import SomeFailed
from promomsg.journal.contract import Journal
from promomsg.journal.sqlite.readers.report_rows import ReportRows
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def test_a_temporary_journal_goes_and_the_report_stays_readable(
    box: Sandbox, channel: WeChatPromoter, temporary: Path
) -> None:
    box.settings.refuse_single = {"500002": 43101}
    async with Campaign(channel, MESSAGE, ids(3), **QUICK) as run:
        await run.wait()
        assert len(list(temporary.iterdir())) >= 1
    assert list(temporary.iterdir()) == []
    report = run.report
    assert report.journal is None
    assert report.warnings == []
    assert [o.recipient.key for o in report.failures()] == ["500002"]
    assert [o.state for o in report.outcomes()] == ["sent", "failed", "sent"]


def opened_files_in(folder: Path) -> list[str]:
    """What this process has open in a folder, also when it was removed; of Linux only."""
    descriptors = Path("/proc/self/fd")
    found = []
    for entry in descriptors.iterdir() if descriptors.exists() else ():
        with suppress(OSError):
            found.append(os.readlink(entry))
    return [name for name in found if name.startswith(str(folder))]


@pytest.mark.parametrize("count", [3, 4_000])
async def test_reports_are_kept_without_descriptors(
    box: Sandbox,
    channel: WeChatPromoter,
    temporary: Path,
    path: Path,
    count: int,
) -> None:
    everybody = [{"key": f"{'k' * 60}{n}", "id": str(n)} for n in range(1, count + 1)]

    named = await promomsg.send(channel, MESSAGE, everybody, journal=path, **QUICK)
    opened = promomsg.open_journal(path)
    third = opened.report()
    opened.close()
    assert [len(list(r.outcomes())) for r in (named, third)] == [count, count]
    assert opened_files_in(path.parent) == []
    kept = [await promomsg.send(channel, MESSAGE, everybody, **QUICK) for _ in range(3)]
    assert len(opened_files_in(path.parent)) <= (0 if count == 3 else 3)
    for report in kept:
        assert len(list(report.outcomes())) == count
        report.close()
    assert opened_files_in(path.parent) == []


def open_connections() -> list[sqlite3.Connection]:
    """SQLite connections of this process that are in use."""
    found = []
    for db in gc.get_objects():
        if isinstance(db, sqlite3.Connection):
            with suppress(sqlite3.ProgrammingError):
                db.execute("SELECT 1")
                found.append(db)
    return found


@pytest.mark.parametrize("count", [3, 4_000])
async def test_a_report_that_nobody_closes_is_no_leak(
    box: Sandbox, channel: WeChatPromoter, temporary: Path, count: int
) -> None:
    """From 3.13 on, a connection that is dropped while it is open is a ResourceWarning."""
    everybody = [{"key": f"{'k' * 60}{n}", "id": str(n)} for n in range(1, count + 1)]
    before = open_connections()
    report = await promomsg.send(channel, MESSAGE, everybody, **QUICK)
    assert next(report.outcomes()).state == "sent"
    behind = [db for db in open_connections() if db not in before]
    assert len(behind) == 1
    del report
    gc.collect()
    assert [db for db in open_connections() if db in behind] == []
    assert opened_files_in(temporary) == []


async def test_a_temporary_journal_is_kept_and_named_after_a_halt(
    box: Sandbox, channel: WeChatPromoter, temporary: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001, calls=[2])])
    report = await promomsg.send(channel, MESSAGE, ids(5), concurrency=1, **QUICK)
    assert report.state == "halted"
    assert report.journal is not None
    assert any(report.journal in warning for warning in report.warnings)
    assert Path(report.journal).stat().st_mode & 0o077 == 0
    assert (await run_to_end(Campaign.resume(report.journal, channel, **QUICK))).sent == 5
    assert Path(report.journal).exists()  # it has a name now: it is the user's


async def test_a_temporary_journal_is_kept_when_the_block_is_left_early(
    box: Sandbox, channel: WeChatPromoter, temporary: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.02)])
    async with Campaign(channel, MESSAGE, ids(20), concurrency=2, **QUICK) as run:
        await until(lambda: box.calls["singlesendmsg"] > 0)
    assert run.report.journal is not None
    assert (await run_to_end(Campaign.resume(run.report.journal, channel, **QUICK))).sent == 20
    assert box.ledger.twice() == []


async def end_once_it_calls(box: Sandbox, limit: asyncio.Timeout) -> None:
    await until(lambda: box.calls["singlesendmsg"] > 0)
    limit.reschedule(asyncio.get_running_loop().time())


@pytest.mark.parametrize("how", ["task", "time-out", "block"])
async def test_who_ends_a_send_early_is_told_where_its_journal_is(
    box: Sandbox,
    channel: WeChatPromoter,
    temporary: Path,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="delay", seconds=0.02)])
    options = {"route": "single", "concurrency": 2, **QUICK}
    error: BaseException | None = None
    try:
        if how == "time-out":
            async with asyncio.timeout(30) as limit:
                ending = asyncio.create_task(end_once_it_calls(box, limit))
                await promomsg.send(channel, MESSAGE, ids(300), **options)
        elif how == "block":
            async with Campaign(channel, MESSAGE, ids(300), **options):
                await until(lambda: box.calls["singlesendmsg"] > 0)
                raise ValueError("the user's own")
        else:
            task = asyncio.create_task(promomsg.send(channel, MESSAGE, ids(300), **options))
            await until(lambda: box.calls["singlesendmsg"] > 0)
            task.cancel()
            await task
    except (asyncio.CancelledError, TimeoutError, ValueError) as caught:
        error = caught.__cause__ if how == "time-out" else caught
    if how == "time-out":
        await ending
    [path] = temporary.glob("*.db")
    assert error is not None
    assert [note for note in error.__notes__ if str(path) in note and "Campaign.resume" in note]
    [record] = [r for r in caplog.records if r.name == "promomsg.engine"]
    assert (record.levelname, str(path) in record.getMessage()) == ("WARNING", True)
    box.faults = FaultPlan([])
    report = await run_to_end(Campaign.resume(path, channel, **QUICK))
    assert (report.sent, report.pending) == (300, 0)
    assert box.ledger.twice() == []


async def test_outcomes_that_cannot_be_kept_apart_leave_the_journal_where_it_is(
    channel: WeChatPromoter, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(rows: ReportRows) -> None:
        raise JournalError("too many open files")

    monkeypatch.setattr(ReportRows, "keep", too_many)
    report = await promomsg.send(channel, MESSAGE, ids(3), **QUICK)
    [path] = temporary.glob("*.db")
    assert (report.state, report.sent, report.journal) == ("done", 3, str(path))
    assert any(str(path) in warning for warning in report.warnings)
    assert len(list(report.outcomes())) == 3


async def test_a_refused_start_leaves_no_temporary_file(
    channel: WeChatPromoter, temporary: Path
) -> None:
    with pytest.raises(promomsg.UsageError):
        await promomsg.send(channel, MESSAGE, ids(5), max_recipients=1, **QUICK)
    assert list(temporary.iterdir()) == []


async def test_failures_and_unknowns_are_sequences(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_single = dict.fromkeys(("500002", "500004", "500006"), 43101)
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="html", calls=[1])])
    report = await promomsg.send(channel, MESSAGE, ids(8), journal=journal, concurrency=1, **QUICK)
    failures = report.failures()
    assert len(failures) == report.failed == 3
    assert failures[0].recipient.key == "500002"
    assert failures[-1].recipient.key == "500006"
    assert [o.recipient.key for o in failures[1:]] == ["500004", "500006"]
    assert failures[1] in failures
    assert bool(report.unknowns())
    with pytest.raises(IndexError):
        failures[3]
    with pytest.raises(IndexError):
        failures[-4]
    assert "3" in repr(failures)
    assert "failed" in repr(failures)
    assert [o.state for o in report.unknowns()] == [State.UNKNOWN]
    assert "4 sent, 3 failed, 1 unknown" in repr(report)


async def test_raise_for_failures_is_what_it_says(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await promomsg.send(channel, MESSAGE, [*ids(3), "500001"], journal=journal, **QUICK)
    report.raise_for_failures()  # a skipped duplicate is no failure


async def test_an_unknown_alone_raises_too(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="html")])
    report = await promomsg.send(channel, MESSAGE, ids(1), journal=journal, **QUICK)
    with pytest.raises(SomeFailed, match="1 unknown"):
        report.raise_for_failures()


async def test_pending_is_raised_as_a_halt_with_its_code(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, ids(40), journal=journal, **QUICK) as run:
        run.pause()
    assert run.report.state == "paused"
    with pytest.raises(Halted, match="pause") as caught:
        run.report.raise_for_failures()
    assert caught.value.code


async def test_outcomes_say_who_why_when_and_how_often(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_single = {"oA": 43101}
    rows = [
        {"key": "k1", "openid": "oA", "unionid": "uA", "id": "7"},
        {"key": "k2", "id": "8"},
        {"key": "k2", "id": "9"},
    ]
    before = box.clock.time()
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    first, second, third = report.outcomes()
    assert (first.recipient.openid, first.recipient.unionid, first.recipient.id) == (
        "oA",
        "uA",
        "7",
    )
    assert (first.state, first.code, first.attempts, first.group) == ("failed", "43101", 1, None)
    assert first.at is not None
    assert before <= first.at <= box.clock.time()
    assert (second.state, second.code, second.attempts) == ("sent", "", 1)
    assert (third.state, third.code, third.attempts) == ("skipped", "DUPLICATE_KEY", 0)
    assert type(first.code) is str


async def test_a_journal_can_be_read_while_it_is_being_sent(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)])
    async with Campaign(
        channel, MESSAGE, ids(30), name="autumn", journal=path, concurrency=2, **QUICK
    ) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 4)
        with promomsg.open_journal(path) as opened:
            report = opened.report()
            assert (report.campaign, report.state, report.planned) == ("autumn", "sending", 30)
            assert 0 < report.pending < 30
            add_up(report.to_dict())
            await run.pause()
            assert opened.report().state == "paused"
            await run.resume_sending()
            await run.wait()
            assert opened.report().sent == 30
    opened = promomsg.open_journal(str(path))
    report = opened.report()
    opened.close()
    assert (report.state, report.sent, report.journal) == ("done", 30, str(path))
    assert len(list(report.outcomes())) == 30
    assert report.elapsed_s > 0


async def test_a_halted_journal_says_why(box: Sandbox, channel: WeChatPromoter, path: Path) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001)])
    await promomsg.send(channel, MESSAGE, ids(5), journal=path, **QUICK)
    with promomsg.open_journal(path) as opened:
        report = opened.report()
    assert report.state == "halted"
    assert report.reason.startswith("48001")


async def test_there_is_no_journal_to_open(path: Path) -> None:
    with pytest.raises(JournalError, match="no journal"):
        promomsg.open_journal(path)
    path.write_bytes(b"not one\n" * 1000)
    with pytest.raises(JournalError):
        promomsg.open_journal(path)


async def test_a_journal_that_fails_mid_run_is_a_clear_error_and_resumable(
    box: Sandbox, channel: WeChatPromoter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.003)])
    campaign = Campaign(channel, MESSAGE, ids(40), journal=path, concurrency=2, **QUICK)
    async with asyncio.timeout(10):
        with pytest.raises(JournalError, match="no room"):
            await _break(campaign, box, monkeypatch)
    assert campaign.report.state == "halted"
    monkeypatch.undo()
    report = await run_to_end(Campaign.resume(path, channel, **QUICK))
    assert report.pending == 0
    assert report.unknown <= 4
    assert report.sent + report.unknown == 40
    assert box.ledger.twice() == []


async def _break(campaign: Campaign, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async with campaign as run:
        await until(lambda: box.calls["singlesendmsg"] >= 6)

        async def full(*_: object, **__: object) -> bool:
            raise JournalError("campaign.db: no room on the disk; make some, then resume")

        assert run._block is not None
        monkeypatch.setattr(run._block.run._handle, "intend", full)
        await run.wait()


async def test_the_readers_of_a_failed_journal_are_told(
    box: Sandbox, channel: WeChatPromoter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(campaign: Campaign) -> None:
        async with campaign as run:

            async def full(*_: object, **__: object) -> bool:
                raise JournalError("campaign.db: no room on the disk")

            assert run._block is not None
            monkeypatch.setattr(run._block.run._handle, "settle", full)
            async for _ in run:
                pass

    with pytest.raises(JournalError, match="no room"):
        await read(Campaign(channel, MESSAGE, ids(40), journal=path, **QUICK))
