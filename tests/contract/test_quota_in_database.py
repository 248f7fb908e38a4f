"""An account's quota on a real server: its one connection, and what is wrong with it or on the way."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import PostgresServer
from swallowing_wire import swallowing

from promomsg.journal.postgres.account_quota import quota_connection
from promomsg.journal.postgres.account_quota.quota_rows import QuotaRows
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.transport.quota.quota_state import QuotaState
from promomsg.transport.quota.store import QuotaStoreAway, QuotaStoreError

pytestmark = pytest.mark.asyncio
OF = ("wechat", "https://api.weixin.qq.com")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of these tests' own, which they stop and start."""
    server = PostgresServer()
    try:
        server.start()
        asyncio.run(PostgresJournal.prepare(server.url()))
        yield server
    finally:
        server.close()


def one_more(state: QuotaState, now: float) -> int:
    """A change that can be seen: one more on a day."""
    state.days["d"] = state.days.get("d", 0) + 1
    return state.days["d"]


def connections(url: str) -> int:
    """How many there are to the database besides this one."""
    with psycopg.connect(url, autocommit=True) as db:
        row = db.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'promomsg'"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_all_accounts_of_a_process_have_one_connection_for_as_long_as_one_sends(
    server: PostgresServer,
) -> None:
    url = server.url()
    stores = [QuotaRows(url, *OF, f"wx{n}") for n in range(20)]
    for store in stores:
        store.keep_open()
    for _ in range(2):
        await asyncio.gather(*(store.submit("singles", one_more) for store in stores))
    assert connections(url) == 1
    for store in stores[1:]:
        await store.close()
    assert connections(url) == 1
    await stores[0].close()
    await stores[0].close()
    assert connections(url) == 0
    assert await stores[0].submit("singles", one_more) == 3, "a call after the campaign"
    await stores[0].close()
    assert connections(url) == 0


async def test_what_waits_goes_as_one_transaction(server: PostgresServer) -> None:
    stores = [QuotaRows(server.url(), *OF, f"together{n}") for n in range(50)]
    stores[0].keep_open()
    await stores[0].submit("singles", one_more)
    with psycopg.connect(server.url(), autocommit=True) as db:

        def commits() -> int:
            db.execute("SELECT pg_stat_clear_snapshot()")
            row = db.execute("SELECT pg_current_xact_id()::text").fetchone()
            assert row is not None
            return int(row[0])

        before = commits()
        await asyncio.gather(*(store.submit("singles", one_more) for store in stores))
        assert commits() - before <= 3, "this look's own is one"
    await stores[0].close()


async def test_a_server_that_is_started_again_is_away_and_then_another_clock(
    server: PostgresServer,
) -> None:
    store = QuotaRows(server.url(), *OF, "restart")
    store.keep_open()
    clocks = [await store.submit("singles", lambda state, now: state.clock)]
    server.stop("immediate")
    try:
        for _ in range(2):
            with pytest.raises(QuotaStoreAway, match="it cannot be reached now"):
                await store.submit("singles", one_more)
    finally:
        server.start()
    clocks.append(await store.submit("singles", lambda state, now: state.clock))
    assert clocks[0] != clocks[1]
    server.stop()
    server.start()
    assert await store.submit("singles", one_more) == 1, "a closed connection is opened anew"
    await store.close()


@pytest.mark.parametrize("lost", ["questions", "answers"])
async def test_a_connection_that_loses_what_it_carries_is_given_up(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr(quota_connection, "_HANGS_UP", 0.3)
    with tempfile.TemporaryDirectory() as folder:
        async with swallowing(server.folder, Path(folder)) as (wire, url), asyncio.timeout(20):
            store = QuotaRows(url, *OF, f"lost {lost}")
            store.keep_open()
            assert await store.submit("singles", one_more) == 1
            wire.swallows = lost  # type: ignore[assignment]
            with pytest.raises(QuotaStoreAway):
                await store.submit("groups", one_more)
            wire.swallows = None
            assert await store.submit("singles", one_more) == 2
            await store.close()


async def test_who_ends_does_not_wait_for_an_answer_that_never_comes(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota_connection, "_CLOSES_IN", 0.2)
    with tempfile.TemporaryDirectory() as folder:
        async with swallowing(server.folder, Path(folder)) as (wire, url), asyncio.timeout(5):
            store = QuotaRows(url, *OF, "ends")
            store.keep_open()
            await store.submit("singles", one_more)
            wire.swallows = "answers"
            waiting = store.submit("singles", one_more)
            await wire.swallowed.wait()
            await store.close()
            with pytest.raises(QuotaStoreAway):
                await waiting


async def test_a_sender_that_stands_still_with_a_row_holds_the_others_up_for_a_moment(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota_connection, "_ANSWERS_IN", 0.2)
    store = QuotaRows(server.url(), *OF, "frozen")
    assert await store.submit("singles", one_more) == 1
    with psycopg.connect(server.url()) as db:
        db.execute("SELECT state FROM promomsg.quota WHERE account = 'frozen' FOR UPDATE")
        with pytest.raises(QuotaStoreAway):
            await store.submit("singles", one_more)
    assert await store.submit("singles", one_more) == 2
    await store.close()


async def test_a_text_that_nobody_understands_stays_and_is_said_in_one_line(
    server: PostgresServer,
) -> None:
    good, bad = QuotaRows(server.url(), *OF, "good"), QuotaRows(server.url(), *OF, "bad")
    assert await bad.submit("singles", one_more) == 1
    text = '{"bunches": {"of": "a later version"}}'
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("UPDATE promomsg.quota SET state = %s WHERE account = 'bad'", (text,))
        both = (good.submit("singles", one_more), bad.submit("singles", one_more))
        found = await asyncio.gather(*both, return_exceptions=True)
        assert found[0] == 1, "other accounts of the same moment go on"
        assert isinstance(found[1], QuotaStoreError)
        assert not isinstance(found[1], QuotaStoreAway)
        assert "the quota of bad (singles) is not of this version of promomsg" in str(found[1])
        assert "\n" not in str(found[1])
        kept = db.execute("SELECT state FROM promomsg.quota WHERE account = 'bad'").fetchone()
    assert kept == (text,)


async def test_a_database_that_refuses_us_is_said_in_one_line(server: PostgresServer) -> None:
    with pytest.raises(QuotaStoreError, match="create the database") as raised:
        await QuotaRows(server.url("nowhere"), *OF, "wx1").submit("singles", one_more)
    assert "\n" not in str(raised.value)
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("CREATE DATABASE untouched")
    with pytest.raises(QuotaStoreError, match="promomsg fleet init"):
        await QuotaRows(server.url("untouched"), *OF, "wx1").submit("singles", one_more)
