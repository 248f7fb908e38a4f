"""Workers whose connections to the database are cut, or lose what is said on them and stay open."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from campaigning import MESSAGE, QUICK, honest, ids
from postgres_server import PostgresServer
from swallowing_wire import Side, SwallowingWire, swallowing
from waiting import until

from promomsg import Campaign, Fleet, WeChatPromoter
from promomsg.fleet import queue, worker
from promomsg.sandbox import Sandbox

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
