"""What a journal on PostgreSQL does when questions or answers are lost on the way, and nobody says so."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_rows import DAY, NOW, everybody, result, row, sealed, take
from postgres_server import PostgresServer
from swallowing_wire import Side, swallowing

from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.statements.transaction import CampaignReads

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of these tests' own: its socket is to be known."""
    server = PostgresServer()
    try:
        server.start()
        asyncio.run(PostgresJournal.prepare(server.url()))
        yield server
    finally:
        server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.parametrize("lost", ["questions", "answers"])
async def test_what_is_lost_on_the_way_is_asked_for_again(
    server: PostgresServer, folder: Path, monkeypatch: pytest.MonkeyPatch, lost: Side
) -> None:
    monkeypatch.setattr(CampaignAccess, "lease_life", 3.0)
    async with swallowing(server.folder, folder) as (wire, url), asyncio.timeout(20):
        journal = PostgresJournal(url, f"lost {lost}")
        handle = await sealed(journal, [row(seq) for seq in range(20)], chunk_size=20)
        lease = await take(handle)
        assert await handle.intend(lease, range(10), NOW, DAY)
        for call in (
            handle.settle(lease, [result(seq) for seq in range(10)]),
            handle.renew([lease]),
            handle.counts(),
        ):
            wire.swallows = lost
            wire.swallowed.clear()
            asking = asyncio.ensure_future(call)
            await wire.swallowed.wait()
            wire.swallows = None
            assert await asking
        assert (await handle.counts()).sent == 10
        assert [outcome.attempts for outcome in await everybody(handle)] == [1] * 10 + [0] * 10
        await handle.close()


async def test_a_long_statement_is_waited_for(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CampaignAccess, "lease_life", 0.15)
    handle = await sealed(PostgresJournal(server.url(), "long"), [row(0)])
    tries = []

    async def work(reads: CampaignReads) -> None:
        tries.append(reads)
        await reads.rows("SELECT pg_sleep(0.5)")

    assert isinstance(handle, PostgresHandle)
    await handle._access.read(work)
    assert len(tries) == 1
    await handle.close()
