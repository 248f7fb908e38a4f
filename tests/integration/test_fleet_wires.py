"""Workers whose connections to the database are cut, or lose what is said on them and stay open."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from campaigning import MESSAGE, QUICK, honest, ids, wechat
from postgres_server import PostgresServer
from swallowing_wire import Side, SwallowingWire, swallowing
from waiting import until

from promomsg import Campaign, Fleet, WeChatPromoter
from promomsg.fleet import queue, worker
from promomsg.journal.postgres.access import CampaignAccess
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
    monkeypatch.setattr(worker, "_ANSWERS_IN", 1.0)
    monkeypatch.setattr(queue, "_POLLS", 0.1)
    monkeypatch.setattr(queue, "_ANSWERS_IN", 1.0, raising=False)
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
