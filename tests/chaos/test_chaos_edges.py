"""What else can happen to a sender: a long hold, a second sender, a full disk, Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chaos.child_campaign import Job, channel, message, people
from chaos.fork_server import Ending, ForkServer
from chaos.hurried_clock import HurriedClock
from chaos.trial import Counted, read_rows
from waiting import real_time, until

from promomsg import Campaign, JournalError, Report, RetryPolicy, SqliteJournal
from promomsg.crashpoints import VARIABLE
from promomsg.engine.following.poller import Poller
from promomsg.engine.sending.run_control import RunControl
from promomsg.engine.settings import Settings
from promomsg.journal.records import CampaignRecord, GroupCounts, GroupRow
from promomsg.model import Delivery, State
from promomsg.sandbox import Fault, FaultPlan, Sandbox
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio

COUNT = 400


@asynccontextmanager
async def sandbox(*faults: Fault) -> AsyncIterator[Sandbox]:
    async with Sandbox(faults=FaultPlan(faults), ledger=Counted()) as box:
        yield box


def job(box: Sandbox, folder: Path, **changed: Any) -> Job:
    given = {
        "kind": "singles",
        "url": box.url,
        "journal": str(folder / "edge.db"),
        "count": COUNT,
        "log": str(folder / "log"),
        "result": str(folder / "result.json"),
        **changed,
    }
    return Job(**given)


def campaign(work: Job, provider: Any, journal: Any = None, **options: Any) -> Campaign:
    return Campaign(
        provider,
        message(work.kind),
        people(work.kind, work.count),
        journal=journal or work.journal,
        concurrency=work.concurrency,
        retry=RetryPolicy(first_pause=0.005, longest_pause=0.02),
        **options,
    )


async def resumed(work: Job) -> Report:
    clock = HurriedClock(work.hurry)
    async with channel(work, clock) as provider:
        async with Campaign.resume(work.journal, provider, clock=clock) as run:
            await run.wait()
        return run.report


def states(path: str) -> Counter[State]:
    rows, reader = read_rows(Path(path))
    with reader:
        counts = reader.counts()
    parts = (counts.sent, counts.failed, counts.unknown, counts.skipped, counts.cancelled)
    assert sum(parts) + counts.pending == counts.planned == len(rows)
    return Counter(row.state for row in rows)


async def killed(
    fork_server: ForkServer, work: Job, condition: Callable[[], bool], *, after: float = 0.0
) -> Ending:
    """The end of a child that is killed as soon as `condition` holds."""
    mark = Path(f"{work.log}.kill")

    async def give_the_sign() -> None:
        await until(condition, 30)
        await real_time(after)
        mark.touch()

    sign = asyncio.create_task(give_the_sign())
    ending = await fork_server.run(msgspec.structs.replace(work, kill_when=str(mark)))
    await sign
    return ending


def delivered_once(box: Sandbox, expected: int) -> None:
    assert not box.ledger.twice()
    assert len(box.ledger.delivered) == expected


async def test_a_kill_during_a_long_hold_leaves_nobody_unknown(tmp_path: Path) -> None:
    throttled = Fault(endpoint="singlesendmsg", kind="throttle", after=100)
    async with sandbox(throttled) as box, ForkServer() as fork_server:
        work = job(box, tmp_path, hurry=1)
        ending = await killed(
            fork_server, work, lambda: box.ledger.faults["throttle"] > 0, after=0.1
        )
        assert ending.killed
        found = states(work.journal)
        assert set(found) == {State.SENT, State.PENDING}
        assert found[State.SENT] == 100
        box.faults = FaultPlan()
        report = await resumed(msgspec.structs.replace(work, hurry=600))
        assert report.sent == COUNT
        delivered_once(box, COUNT)


async def test_a_kill_during_an_outage_leaves_only_those_unknown_that_were_out(
    tmp_path: Path,
) -> None:
    async with sandbox(Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)) as box:
        async with ForkServer() as fork_server:
            work = job(box, tmp_path, hurry=1)
            begun = asyncio.Event()

            async def outage() -> None:
                await until(lambda: box.calls["singlesendmsg"] >= 100, 30)
                await box.stop_listening()
                begun.set()

            cut = asyncio.create_task(outage())
            assert (await killed(fork_server, work, begun.is_set, after=0.2)).killed
            await cut
        found = states(work.journal)
        assert set(found) <= {State.SENT, State.PENDING, State.UNKNOWN}
        assert 0 < found[State.UNKNOWN] <= work.concurrency
        async with Sandbox(ledger=box.ledger) as mended:
            report = await resumed(msgspec.structs.replace(work, url=mended.url, hurry=600))
        assert report.unknown == found[State.UNKNOWN]
        assert report.sent == COUNT - report.unknown
        assert not box.ledger.twice()


async def test_singles_and_groups_together_stay_within_twice_the_concurrency(
    tmp_path: Path,
) -> None:
    hang = Fault(endpoint="*sendmsg", kind="hang")
    async with sandbox(hang) as box:
        work = job(box, tmp_path, kind="groups", count=3 * 60 + 40, concurrency=4)
        async with (
            channel(work, HurriedClock(), timeout=0.4) as provider,
            campaign(work, provider) as run,
        ):
            await until(lambda: box.calls["singlesendmsg"] >= 4 and box.calls["sendmsg"] > 0, 30)
            await real_time(0.05)
            rows, reader = read_rows(Path(work.journal))
            with reader:
                out = [g for g in reader.groups() if g.state is GroupState.INTENDED]
            singles = sum(row.state is State.INTENDED for row in rows)
            assert len(out) == 1
            assert 4 <= singles <= 2 * 4 - 1
            run.cancel()
            await run.wait()
        assert box.ledger.total == 0


async def test_a_second_sender_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    slow = Fault(endpoint="singlesendmsg", kind="slow", seconds=0.02)
    async with sandbox(slow) as box, ForkServer() as fork_server:
        work = job(box, tmp_path)
        async with channel(work, HurriedClock()) as provider, campaign(work, provider) as run:
            with pytest.raises(JournalError, match="a sender has it open already"):
                await resumed(work)
            ending = await fork_server.run(work)
            assert ending.status == 70
            assert "a sender has it open already" in Path(work.log).read_text()
            await run.wait()
        assert run.report.sent == COUNT
        delivered_once(box, COUNT)


@pytest.mark.parametrize("first", ["runs", "was killed"])
async def test_the_lock_dies_with_its_process(first: str, tmp_path: Path) -> None:
    async with sandbox(Fault(endpoint="singlesendmsg", kind="slow", seconds=0.02)) as box:
        async with ForkServer() as one, ForkServer() as two:
            work = job(box, tmp_path)
            if first == "runs":
                sender = asyncio.create_task(one.run(work))
            else:
                sender = asyncio.create_task(
                    killed(one, work, lambda: box.calls["singlesendmsg"] >= 50)
                )
            await until(lambda: box.calls["singlesendmsg"] > 0, 30)
            other = msgspec.structs.replace(work, log=str(tmp_path / "second"))
            if first == "runs":
                assert (await two.run(other)).status == 70
                assert "a sender has it open already" in (tmp_path / "second").read_text()
                assert (await sender).status == 0
            else:
                assert (await sender).killed
                assert (await two.run(other)).status == 0
        assert not box.ledger.twice()
        found = states(work.journal)
        assert found[State.PENDING] == 0
        assert found[State.UNKNOWN] <= 2 * work.concurrency


class Frail(SqliteJournal):
    """A journal whose sender's connection can be spoilt while it is in use."""

    db: sqlite3.Connection | None = None

    def _connect(self) -> sqlite3.Connection:
        self.db = super()._connect()
        return self.db

    def spoil(self, how: str) -> None:
        assert self.db is not None
        if how == "full":
            (pages,) = self.db.execute("PRAGMA page_count").fetchone()
            self.db.execute(f"PRAGMA max_page_count = {pages}")
        else:
            self.db.execute("PRAGMA query_only = ON")


@pytest.mark.parametrize(("how", "said"), [("full", "free some space"), ("read-only", "writable")])
async def test_a_disk_that_fails_mid_run_is_said_and_can_be_resumed(
    how: str, said: str, tmp_path: Path
) -> None:
    async with sandbox() as box:
        work = job(box, tmp_path, count=3000)
        journal = Frail(work.journal)
        async with channel(work, HurriedClock()) as provider:

            async def sending() -> None:
                async with campaign(work, provider, journal) as run:
                    async for _ in run:
                        journal.spoil(how)
                        break
                    await run.wait()

            with pytest.raises(JournalError, match=said) as caught:
                await sending()
            assert work.journal in str(caught.value)
            assert "resume" in str(caught.value)
            assert "\n" not in str(caught.value)
        found = states(work.journal)
        assert found[State.PENDING] > 0
        for row in read_rows(Path(work.journal))[0]:
            count = box.ledger.deliveries(row.recipient.id or "")
            assert (row.state is State.SENT) <= (count == 1)
            assert (row.state is State.PENDING) <= (count == 0)
        report = await resumed(work)
        assert report.pending == 0
        assert report.sent + report.unknown == work.count
        assert report.unknown <= 2 * work.concurrency
        assert not box.ledger.twice()


async def test_a_file_that_may_not_grow_is_said_and_can_be_resumed(tmp_path: Path) -> None:
    async with sandbox() as box, ForkServer() as fork_server:
        work = job(box, tmp_path, fsize=160_000)
        ending = await fork_server.run(work)
        assert ending.status == 70
        log = Path(work.log).read_text()
        assert "JournalError" in log
        assert "then resume" in log
        if Path(work.journal).exists():
            states(work.journal)
        Path(work.log).unlink()
        ending = await fork_server.run(msgspec.structs.replace(work, fsize=None))
        assert ending.status == 0, Path(work.log).read_text()
        found = states(work.journal)
        assert found[State.SENT] + found[State.UNKNOWN] == COUNT
        assert found[State.UNKNOWN] <= 2 * work.concurrency
        assert not box.ledger.twice()


async def test_ctrl_c_lets_calls_in_flight_finish(tmp_path: Path) -> None:
    slow = Fault(endpoint="singlesendmsg", kind="slow", seconds=0.02)
    async with sandbox(slow) as box, ForkServer() as fork_server:
        work = job(box, tmp_path, signal=signal.SIGINT.value)
        ending = await killed(fork_server, work, lambda: box.calls["singlesendmsg"] >= 50)
        assert ending.status == 130, Path(work.log).read_text()
        found = states(work.journal)
        assert found[State.SENT] > 0
        assert found[State.PENDING] > 0
        assert set(found) == {State.SENT, State.PENDING}
        assert found[State.SENT] == len(box.ledger.delivered)
        report = await resumed(work)
        assert report.sent == COUNT
        delivered_once(box, COUNT)


async def test_a_cancelled_task_lets_calls_in_flight_finish(tmp_path: Path) -> None:
    slow = Fault(endpoint="singlesendmsg", kind="slow", seconds=0.02)
    async with sandbox(slow) as box:
        work = job(box, tmp_path)

        async def sending() -> None:
            async with channel(work, HurriedClock()) as provider, campaign(work, provider) as run:
                await run.wait()

        task = asyncio.create_task(sending())
        await until(lambda: box.calls["singlesendmsg"] >= 50, 30)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        found = states(work.journal)
        assert set(found) == {State.SENT, State.PENDING}
        assert found[State.SENT] == len(box.ledger.delivered)
        assert (await resumed(work)).sent == COUNT
        delivered_once(box, COUNT)


async def test_the_blocks_own_error_comes_out_as_it_is(tmp_path: Path) -> None:
    async with sandbox() as box:
        work = job(box, tmp_path)

        async def sending() -> None:
            async with channel(work, HurriedClock()) as provider, campaign(work, provider):
                raise LookupError("the caller's")

        with pytest.raises(LookupError, match="the caller's"):
            await sending()
        assert set(states(work.journal)) <= {State.SENT, State.PENDING}
        assert (await resumed(work)).sent == COUNT
        delivered_once(box, COUNT)


async def test_a_crash_point_is_a_sigkill_at_the_passing_that_was_named() -> None:
    code = "from promomsg.crashpoints import reached as r\nr('a'); r('b'); r('a'); print('alive')"
    for at, status in (("a:2", -signal.SIGKILL), ("a:3", 0), ("", 0)):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, VARIABLE: at, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        said, _ = await process.communicate()
        assert process.returncode == status
        assert said == (b"" if status else b"alive\n")


class Slow:
    """A journal and a provider with one group, whose only look takes a while."""

    def __init__(self) -> None:
        self.row = GroupRow(
            group_no=1, state=GroupState.ACCEPTED, planned=60, msg_id="7", sent_at=1.0
        )
        self.record = CampaignRecord(
            name="autumn", channel="wechat", account="wx1", run_id="", message={}, created_at=0.0
        )
        self.looked = asyncio.Event()
        self.completed = 0

    async def groups(self) -> list[GroupRow]:
        return [await self.group(1)]

    async def group(self, group_no: int) -> GroupRow:
        state = GroupState.DONE if self.completed else GroupState.ACCEPTED
        return msgspec.structs.replace(self.row, group_no=group_no, state=state)

    async def group_members(self, group_no: int) -> list[str]:
        return [str(n) for n in range(60)]

    async def complete_group(self, group_no: int, counts: GroupCounts, **_: Any) -> list[str]:
        self.completed += 1
        return []

    async def get_delivery(self, msg_id: str) -> Delivery:
        await self.looked.wait()
        return Delivery(msg_id, percent=100, send_cnt=60, fail_cnt=0)


async def test_a_group_is_completed_once_though_it_is_named_again_meanwhile() -> None:
    both: Any = Slow()
    clock = HurriedClock()
    clock.time = lambda: 2.0  # type: ignore[method-assign]
    poller = Poller(both, both, Settings(), RunControl(both, clock), clock=clock, keep_files=False)
    poller.sending = False
    run = asyncio.create_task(poller.run())
    for _ in range(3):
        await real_time(0.01)
        poller.accepted(1)
    both.looked.set()
    await asyncio.wait_for(run, 5)
    assert both.completed == 1


async def test_a_lost_group_is_never_sent_again_by_a_resume(tmp_path: Path) -> None:
    lost = Fault(endpoint="sendmsg", kind="drop_after_delivering")
    async with sandbox(lost) as box:
        work = job(box, tmp_path, kind="groups", count=120)
        async with channel(work, HurriedClock()) as provider, campaign(work, provider) as run:
            await run.wait()
        assert run.report.unknown == 120
        for _ in range(2):
            again = await resumed(work)
            assert (again.unknown, again.pending) == (120, 0)
        assert box.calls["sendmsg"] == 2
        assert box.calls["singlesendmsg"] == 0
        delivered_once(box, 120)
