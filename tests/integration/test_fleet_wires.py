"""Workers whose connections to the database are cut, or lose what is said on them and stay open."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from campaigning import MESSAGE, QUICK, honest, ids, wechat
from postgres_server import PostgresServer
from swallowing_wire import Side, SwallowingWire, swallowing
from waiting import until

from promomsg import Campaign, Fleet, JournalError, WeChatPromoter
from promomsg.fleet import queue, worker, worker_table
from promomsg.fleet.sweep import sweep
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.database import Connection, connect
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of these tests' own: its socket is to be known."""
    server = PostgresServer()
    try:
        server.start()
        asyncio.run(Fleet(server.url()).prepare())
        yield server
    finally:
        server.close()


@pytest_asyncio.fixture
async def wire(server: PostgresServer) -> AsyncIterator[tuple[SwallowingWire, str]]:
    """A wire to it, and the URL of the database behind it."""
    # The path of a socket is short.
    with tempfile.TemporaryDirectory() as folder:
        async with swallowing(server.folder, Path(folder)) as (wire, url):
            yield wire, url


@pytest.mark.parametrize("lost", ["questions", "answers"])
async def test_a_worker_that_was_told_nothing_any_more_still_gets_its_work(
    box: Sandbox,
    channel: WeChatPromoter,
    server: PostgresServer,
    wire: tuple[SwallowingWire, str],
    monkeypatch: pytest.MonkeyPatch,
    lost: Side,
) -> None:
    """Its row says all the time that it is there, so that nobody else would do what is queued for it."""
    monkeypatch.setattr(worker, "_LOOKS", 0.1)
    # Far longer than an answer takes on a machine that is busy: one that is late as the worker begins ends it.
    monkeypatch.setattr(worker, "_ANSWERS_IN", 3.0)
    monkeypatch.setattr(queue, "_POLLS", 0.1)
    monkeypatch.setattr(queue, "_ANSWERS_IN", 3.0, raising=False)
    swallower, url = wire
    journal = Fleet(server.url()).journal(f"lost {lost}")
    people = ids(30, 1_000 if lost == "answers" else 2_000)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(Fleet(url).work(channel))
        try:
            while not await Fleet(server.url()).workers():
                await asyncio.sleep(0)
            swallower.swallows = lost
            # The connection of its look, and that of its queue.
            await until(lambda: swallower.silent >= 2, 20)
            swallower.swallows = None
            planned = Campaign(channel, MESSAGE, people, journal=journal, route="single", **QUICK)
            await planned.hand_over()
            report = await Fleet(server.url()).wait(f"lost {lost}")
        finally:
            working.cancel()
    assert (report.state, report.sent) == ("done", 30)
    honest(report, box)


async def test_a_worker_whose_database_is_slow_gives_out_work(
    box: Sandbox,
    channel: WeChatPromoter,
    server: PostgresServer,
    wire: tuple[SwallowingWire, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look has many questions, each of which is answered in time: all together take longer than that."""
    monkeypatch.setattr(worker, "_LOOKS", 0.1)
    monkeypatch.setattr(worker, "_ANSWERS_IN", 2.0)
    monkeypatch.setattr(queue, "_POLLS", 0.1)
    slow, url = wire
    journal = Fleet(server.url()).journal("slow")
    await Campaign(
        channel, MESSAGE, ids(30, 5_000), journal=journal, route="single", **QUICK
    ).hand_over()
    slow.answers_take = 0.1
    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(Fleet(url).work(channel))
        try:
            report = await Fleet(server.url()).wait("slow")
        finally:
            working.cancel()
    assert (report.state, report.sent) == ("done", 30)


async def test_a_look_that_takes_long_is_one_of_a_worker_that_is_there(
    channel: WeChatPromoter, server: PostgresServer
) -> None:
    """What it finds is given to it all the same, and what waits for it is left."""
    journal = Fleet(server.url()).journal("long look")
    await Campaign(
        channel, MESSAGE, ids(5, 6_000), journal=journal, route="single", **QUICK
    ).hand_over()
    db = await connect(server.url())
    try:
        name, _ = await worker_table.register(
            db, "slow", concurrency=1, version="1", tasks=["shift"]
        )
        await db.execute(b"UPDATE worker SET seen_at = seen_at - 10")
        assert await sweep(db, rng=Random(0)) == []
        found = await sweep(db, by=name, rng=Random(0))
        assert [(job.wanted.task, job.worker) for job in found] == [("shift", "slow")]
        assert await sweep(db, by=name, rng=Random(0)) == []
        assert [worker for _, worker in await queue.queued(db)] == ["slow"]
    finally:
        await db.execute(b"DELETE FROM worker")
        await db.execute(b"DELETE FROM procrastinate_jobs")
        await db.close()
        journal.discard()


async def test_a_worker_that_hears_nothing_when_it_begins_says_so(
    channel: WeChatPromoter, wire: tuple[SwallowingWire, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_ANSWERS_IN", 0.3)
    lossy, url = wire
    open_one = worker.connect

    async def then_lost(*args: Any, **more: Any) -> Connection:
        db = await open_one(*args, **more)
        lossy.swallows = "answers"
        return db

    monkeypatch.setattr(worker, "connect", then_lost)
    async with asyncio.timeout(20):
        with pytest.raises(JournalError, match="then start the worker again"):
            await Fleet(url).work(channel)


async def test_wires_that_are_cut_and_lose_what_they_carry_cost_nobody(
    box: Sandbox,
    server: PostgresServer,
    wire: tuple[SwallowingWire, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One worker of two has a bad wire; the other one goes on meanwhile."""
    monkeypatch.setattr(worker, "_LOOKS", 0.2)
    monkeypatch.setattr(queue, "_POLLS", 0.1)
    monkeypatch.setattr(CampaignAccess, "lease_life", 10.0)
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.02)])
    bad, url = wire
    journal = Fleet(server.url()).journal("bad wire")
    async with (
        asyncio.timeout(60),
        wechat(box) as first,
        wechat(box) as second,
        asyncio.TaskGroup() as tasks,
    ):
        await Campaign(
            first, MESSAGE, ids(1200, 3_000), journal=journal, route="single", **QUICK
        ).hand_over()
        working = [
            tasks.create_task(Fleet(url).work(first, concurrency=4, name="bad")),
            tasks.create_task(Fleet(server.url()).work(second, concurrency=4, name="good")),
        ]
        try:
            for sent, lost in ((100, "answers"), (250, "questions"), (400, None)):
                await until(lambda sent=sent: box.ledger.singles >= sent, 20)
                bad.swallowed.clear()
                bad.swallows = lost
                if lost is None:
                    await bad.close()
                else:
                    await bad.swallowed.wait()
                bad.swallows = None
            report = await Fleet(server.url()).wait("bad wire")
        finally:
            for one in working:
                one.cancel()
    assert (report.state, report.sent, report.unknown) == ("done", 1200, 0)
    honest(report, box)
    assert box.ledger.twice() == []
