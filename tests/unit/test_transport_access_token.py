"""One fetch for all who wait, and never a token that is known to be bad."""

from __future__ import annotations

import asyncio

import pytest
from clocks import FakeClock

from promomsg.errors import Halted, NotSent, UsageError
from promomsg.transport.access_token import AccessTokenCache, FetchedToken

pytestmark = pytest.mark.asyncio


class Server:
    """A token server: `asked` holds the stale token of each call; `gate` holds calls back."""

    def __init__(self, *answers: object, expires_in: float | None = 7200.0) -> None:
        self.answers = list(answers)
        self.expires_in = expires_in
        self.asked: list[str | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, stale: str | None) -> FetchedToken:
        self.asked.append(stale)
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return FetchedToken(answer, self.expires_in)  # type: ignore[arg-type]


async def test_one_fetch_serves_everybody(clock: FakeClock) -> None:
    server = Server("T1")
    cache = AccessTokenCache(server, clock)
    assert cache.current() is None
    assert set(await asyncio.gather(*(cache.get() for _ in range(64)))) == {"T1"}
    assert server.asked == [None]
    assert cache.current() == "T1"


async def test_an_expired_token_costs_one_fetch_for_all_workers(clock: FakeClock) -> None:
    server = Server("T1", "T2")
    cache = AccessTokenCache(server, clock)
    await cache.get()
    server.gate.clear()
    for _ in range(64):
        cache.mark_failed("T1")
    waiting = [asyncio.create_task(cache.get()) for _ in range(64)]
    await asyncio.sleep(0)
    server.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"T2"}
    assert server.asked == [None, "T1"]


async def test_a_late_failure_of_an_old_token_leaves_the_new_one(clock: FakeClock) -> None:
    server = Server("T1", "T2")
    cache = AccessTokenCache(server, clock)
    await cache.get()
    cache.mark_failed("T1")
    await cache.get()
    cache.mark_failed("T1")
    assert cache.current() == "T2"
    assert len(server.asked) == 2


@pytest.mark.parametrize(("life", "kept"), [(7200.0, 6900.0), (600.0, 540.0), (0.0, 0.0)])
async def test_the_margin_never_leaves_a_token_no_life(
    clock: FakeClock, life: float, kept: float
) -> None:
    cache = AccessTokenCache(Server("T1", expires_in=life), clock)
    assert await cache.get() == "T1"
    await clock.advance(max(kept - 1, 0))
    assert (cache.current() == "T1") is (kept > 0)
    await clock.advance(1.5)
    assert cache.current() is None
    assert await cache.get() == "T1"


async def test_a_cancelled_waiter_harms_no_other(clock: FakeClock) -> None:
    server = Server("T1")
    server.gate.clear()
    cache = AccessTokenCache(server, clock)
    first = asyncio.create_task(cache.get())
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    server.gate.set()
    assert await second == "T1"
    assert server.asked == [None]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_when_all_waiters_are_cancelled_the_fetch_ends_too(clock: FakeClock) -> None:
    server = Server("T1")
    server.gate.clear()
    cache = AccessTokenCache(server, clock)
    waiter = asyncio.create_task(cache.get())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await clock.settle()
    assert len(asyncio.all_tasks()) == 1
    server.gate.set()
    assert await cache.get() == "T1"


async def test_an_abandoned_fetch_never_overwrites_a_newer_token(clock: FakeClock) -> None:
    release = asyncio.Event()
    calls = 0

    async def stubborn(stale: str | None) -> FetchedToken:
        nonlocal calls
        calls += 1
        if calls == 1:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return FetchedToken("OLD")
        return FetchedToken("NEW")

    cache = AccessTokenCache(stubborn, clock)
    waiter = asyncio.create_task(cache.get())
    await asyncio.sleep(0)
    waiter.cancel()
    await clock.settle()
    assert await cache.get() == "NEW"
    release.set()
    await clock.settle()
    assert cache.current() == "NEW"
    assert set(cache.known_tokens()) == {"OLD", "NEW"}


async def test_a_shutdown_is_not_taken_for_the_callers_own_cancellation(clock: FakeClock) -> None:
    async def cancelled(stale: str | None) -> FetchedToken:
        raise asyncio.CancelledError

    with pytest.raises(NotSent):
        await AccessTokenCache(cancelled, clock).get()


async def test_the_refused_token_given_back_halts(clock: FakeClock) -> None:
    server = Server("T1")
    cache = AccessTokenCache(server, clock)
    cache.mark_failed(await cache.get())
    with pytest.raises(Halted) as caught:
        await cache.get()
    assert caught.value.code == "TOKEN_REFUSED"
    assert "T1" not in str(caught.value)
    assert server.asked == [None, "T1"]


async def test_a_token_that_a_read_dropped_is_asked_for_anew_and_may_come_back(
    clock: FakeClock,
) -> None:
    server = Server("T1")
    cache = AccessTokenCache(server, clock)
    cache.mark_stale(await cache.get())
    assert cache.current() is None
    assert await cache.get() == "T1"
    assert server.asked == [None, "T1"]
    cache.mark_failed("T1")
    with pytest.raises(Halted):
        await cache.get()


async def test_a_token_refused_while_it_was_fetched_gets_one_more_try(clock: FakeClock) -> None:
    server = Server("T1", "T1", "T2")
    cache = AccessTokenCache(server, clock)
    await cache.get()
    await clock.advance(7000)
    server.gate.clear()
    waiter = asyncio.create_task(cache.get())
    await clock.settle()
    cache.mark_failed("T1")
    server.gate.set()
    assert await waiter == "T2"
    assert server.asked == [None, None, "T1"]


async def test_a_failed_fetch_reaches_all_and_the_next_call_tries_afresh(clock: FakeClock) -> None:
    server = Server(NotSent("down"), "T1")
    cache = AccessTokenCache(server, clock)
    got = await asyncio.gather(*(cache.get() for _ in range(3)), return_exceptions=True)
    assert [type(g) for g in got] == [NotSent] * 3
    assert await cache.get() == "T1"
    assert len(server.asked) == 2


async def test_a_users_own_callable_is_kept_until_it_fails(clock: FakeClock) -> None:
    asked = []

    async def mine(stale: str | None) -> str:
        asked.append(stale)
        return f"T{len(asked)}"

    cache = AccessTokenCache(mine, clock)
    assert await cache.get() == "T1"
    await clock.advance(10_000_000)
    assert await cache.get() == "T1"
    cache.mark_failed("T1")
    assert await cache.get() == "T2"
    assert asked == [None, "T1"]


@pytest.mark.parametrize("answer", ["", None, 7, b"T1"])
async def test_a_callable_that_returns_no_token_is_named(clock: FakeClock, answer: object) -> None:
    async def wrong(stale: str | None) -> object:
        return answer

    with pytest.raises(UsageError, match="token="):
        await AccessTokenCache(wrong, clock).get()  # type: ignore[arg-type]


async def test_a_callable_that_is_not_async_is_named(clock: FakeClock) -> None:
    with pytest.raises(UsageError, match="async"):
        await AccessTokenCache(lambda stale: "T1", clock).get()  # type: ignore[arg-type,return-value]


async def test_tokens_are_known_for_masking_and_never_printed(clock: FakeClock) -> None:
    cache = AccessTokenCache(Server(*(f"T{i}" for i in range(100))), clock)
    for _ in range(99):
        cache.mark_failed(await cache.get())
    known = list(cache.known_tokens())
    assert known[-1] == "T98"
    assert len(known) <= 32
    assert "T98" not in repr(cache) + repr(FetchedToken("T98", 7200.0))
