"""What a journal on PostgreSQL does when questions or answers are lost on the way, and nobody says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from journal_rows import DAY, NOW, everybody, record, result, row, sealed, take
from postgres_server import PostgresServer
from swallowing_wire import Side, swallowing
from waiting import until

from promomsg.errors import JournalError
from promomsg.fleet import prune
from promomsg.journal.postgres import access
from promomsg.journal.postgres import journal as journal_module
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.connections.lost_answers import watched
from promomsg.journal.postgres.database import Connection
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.sealed import account_tokens
from promomsg.journal.postgres.sealed.account_tokens import AccountTokens
from promomsg.journal.postgres.sealed.fleet_keys import FleetKeys
from promomsg.journal.postgres.statements.transaction import CampaignReads
from promomsg.journal.records import Control
from promomsg.model import Secret

pytestmark = pytest.mark.asyncio


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
    """Past a lease's life, as long as each look finds the server at work."""
    handle = await sealed(PostgresJournal(server.url(), "long"), [row(0)])
    tries, looks = [], []
    is_at_work = access.is_at_work

    async def look(url: str, process: int) -> bool:
        looks.append(process)
        return await is_at_work(url, process)

    monkeypatch.setattr(CampaignAccess, "lease_life", 0.15)
    monkeypatch.setattr(access, "is_at_work", look)
    # However long a look takes on a machine that is busy.
    monkeypatch.setattr(access, "watched", partial(watched, answers_in=30.0))

    async def work(reads: CampaignReads) -> None:
        tries.append(reads)
        await reads.rows("SELECT pg_advisory_xact_lock(4711)")

    assert isinstance(handle, PostgresHandle)
    async with await psycopg.AsyncConnection.connect(server.url(), autocommit=True) as other:
        await other.execute("SELECT pg_advisory_lock(4711)")
        reading = asyncio.ensure_future(handle._access.read(work))
        await until(lambda: len(looks) > 6 or reading.done(), 30)
        assert not reading.done()
    await reading
    assert len(tries) == 1
    await handle.close()


@pytest.mark.parametrize("lost", ["questions", "answers"])
@pytest.mark.parametrize("when", ["connecting", "asking"])
async def test_an_access_token_is_not_waited_for_longer_than_a_fetch_takes(
    server: PostgresServer, folder: Path, monkeypatch: pytest.MonkeyPatch, lost: Side, when: str
) -> None:
    """Then the process fetches one of its own."""
    key = FleetKeys(Secret("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="))
    account = {"channel": "wechat", "origin": "http://here", "account": "wx1"}
    async with swallowing(server.folder, folder) as (wire, url), asyncio.timeout(20):
        store = AccountTokens(url, key.sealer("access-token"), account)
        assert (await store.read()).token is None
        monkeypatch.setattr(account_tokens, "_WAITS", 0.3)
        connect = account_tokens.connect

        async def then_lost(*args: Any, **more: Any) -> Connection:
            db = await connect(*args, **more)
            wire.swallows = lost
            return db

        if when == "connecting":
            wire.swallows = lost
        else:
            monkeypatch.setattr(account_tokens, "connect", then_lost)
        clock = asyncio.get_running_loop().time
        began = clock()
        with pytest.raises(JournalError):
            await store.read()
        assert clock() - began < 3.0


async def _opened(journal: PostgresJournal) -> None:
    await journal.open(write=True)


async def _read(journal: PostgresJournal) -> None:
    await journal.open()


async def _begun(journal: PostgresJournal) -> None:
    await journal.create(record())


async def _paused(journal: PostgresJournal) -> None:
    await journal.request(Control.PAUSE)


async def _removed(journal: PostgresJournal) -> None:
    await journal.remove_if_ended()


@pytest.mark.parametrize("call", [_opened, _read, _begun, _paused, _removed])
@pytest.mark.parametrize("lost", ["questions", "answers"])
async def test_whoever_opens_a_journal_does_not_wait_for_ever(
    server: PostgresServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost: Side,
    call: Callable[[PostgresJournal], Awaitable[None]],
) -> None:
    """A worker would keep a place that nobody else is given, and not end when it is told to."""
    name = f"opened {lost} {call.__name__}"
    await (await sealed(PostgresJournal(server.url(), name), [row(0)])).close()
    monkeypatch.setattr(CampaignAccess, "lease_life", 1.0)
    connect = journal_module.connect
    async with swallowing(server.folder, folder) as (wire, url), asyncio.timeout(20):

        async def then_lost(*args: Any, **more: Any) -> Connection:
            db = await connect(*args, **more)
            wire.swallows = lost
            return db

        monkeypatch.setattr(journal_module, "connect", then_lost)
        with pytest.raises(JournalError, match="cannot be reached now"):
            await call(PostgresJournal(url, name))


async def test_tidying_up_ends_when_answers_are_lost(
    server: PostgresServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is about to end waits for it."""
    monkeypatch.setattr(prune, "_LONGEST", 0.3)
    open_one = prune.connect

    async with swallowing(server.folder, folder) as (wire, url), asyncio.timeout(20):

        async def then_lost(*args: Any, **more: Any) -> Connection:
            db = await open_one(*args, **more)
            wire.swallows = "answers"
            return db

        monkeypatch.setattr(prune, "connect", then_lost)
        with pytest.raises(JournalError):
            await prune.prune(url)
