"""Processes that want an account's access token at the same moment: the provider is asked once."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from token_refresher import Refresher
from waiting import until

from promomsg.errors import JournalError
from promomsg.journal.postgres.sealed import account_tokens
from promomsg.journal.postgres.sealed.account_tokens import AccountTokens
from promomsg.journal.postgres.sealed.fleet_keys import FleetKeys
from promomsg.model import Secret
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

KEY = base64.b64encode(b"k" * 32).decode()


@contextmanager
def refreshers(postgres: str, box: Sandbox, count: int) -> Iterator[list[Refresher]]:
    found = [Refresher(postgres, secrets.token_hex(8), box.url, KEY) for _ in range(count)]
    try:
        yield found
    finally:
        for one in found:
            one.kill()


def store(postgres: str, account: str = "wx1") -> AccountTokens:
    sealer = FleetKeys(Secret(KEY)).sealer("access-token")
    return AccountTokens(
        postgres, sealer, {"channel": "wechat", "origin": "http://here", "account": account}
    )


async def test_two_processes_that_begin_together_fetch_one_token(postgres: str) -> None:
    async with Sandbox() as box:
        box.faults = FaultPlan([Fault(endpoint="stable_token", kind="delay", seconds=0.5)])
        with refreshers(postgres, box, 2) as both:
            for one in both:
                await asyncio.to_thread(one.ready)
            for one in both:
                one.go()
            sent = [await asyncio.to_thread(one.sent) for one in both]
        assert sent == [1, 1]
        assert box.calls["stable_token"] == 1


async def test_a_process_that_dies_while_it_fetches_holds_the_others_up_for_its_lease(
    postgres: str,
) -> None:
    async with Sandbox() as box:
        box.faults = FaultPlan([Fault(endpoint="stable_token", kind="hang", limit=1)])
        with refreshers(postgres, box, 2) as (dies, lives):
            for one in (dies, lives):
                await asyncio.to_thread(one.ready)
            dies.go()
            await until(lambda: box.calls["stable_token"] == 1)
            dies.kill()
            with psycopg.connect(postgres, autocommit=True) as db:
                # Its lease of 15 s is over now.
                ended = db.execute(
                    "UPDATE promomsg.token SET lease_until = lease_until - 15"
                    " WHERE origin = %s AND holder IS NOT NULL AND generation = 0",
                    (box.url,),
                )
                assert ended.rowcount == 1
            lives.go()
            assert await asyncio.to_thread(lives.sent) == 1
        assert box.calls["stable_token"] == 2


async def test_a_lease_is_one_processs_and_ends_by_the_servers_clock(postgres: str) -> None:
    account = secrets.token_hex(8)
    one, other = store(postgres, account), store(postgres, account)
    assert (await one.read()).generation == 0
    assert await one.lease(0)
    assert not await other.lease(0)
    await other.give_back()  # it is not theirs
    assert not await other.lease(0)
    await one.give_back()
    assert await other.lease(0)
    await other.put(0, Secret("T1"), 100.0)
    generation, token, good_for = await one.read()
    assert (generation, token) == (1, Secret("T1"))
    assert good_for is not None
    assert 90 < good_for <= 100
    assert not await one.lease(0)  # somebody has refreshed that one
    await one.put(0, Secret("T0"), 100.0)  # and so does not replace it
    assert (await one.read()).token == Secret("T1")
    assert await one.lease(1)


async def test_a_token_put_back_by_somebody_is_none(postgres: str) -> None:
    """An old row's token does not open in the place of a newer one."""
    account = secrets.token_hex(8)
    one = store(postgres, account)
    with psycopg.connect(postgres, autocommit=True) as db:
        await one.lease(0)
        await one.put(0, Secret("T1"), None)
        [(old,)] = db.execute("SELECT sealed FROM promomsg.token WHERE account = %s", (account,))
        await one.lease(1)
        await one.put(1, Secret("T2"), None)
        assert await one.read() == (2, Secret("T2"), None)
        db.execute("UPDATE promomsg.token SET sealed = %s WHERE account = %s", (old, account))
    assert await one.read() == (2, None, None)
    assert "T2" not in repr(one)


async def test_a_database_that_is_away_costs_seconds_and_a_fetch_of_ones_own(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = AccountTokens(
        "postgresql://nobody@127.0.0.1:1/x",
        FleetKeys(Secret(KEY)).sealer("access-token"),
        {"channel": "wechat", "origin": "http://here", "account": "wx1"},
    )
    with pytest.raises(JournalError):
        await gone.read()

    async def never(*args: object, **more: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(account_tokens, "connect", never)
    monkeypatch.setattr(account_tokens, "_WAITS", 0.01)
    with pytest.raises(JournalError, match="did not answer within"):
        await store(postgres).read()
