"""One fetch for all who wait, and never a token that is known to be bad."""

from __future__ import annotations

import asyncio

import pytest
from clocks import FakeClock

from promomsg.errors import Halted, NotSent, UsageError
from promomsg.transport.tokens import Fetched, TokenSource

pytestmark = pytest.mark.asyncio


class Server:
    """A token server: `asked` holds the stale token of each call; `gate` holds calls back."""

    def __init__(self, *answers: object, expires_in: float | None = 7200.0) -> None:
        self.answers = list(answers)
        self.expires_in = expires_in
        self.asked: list[str | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, stale: str | None) -> Fetched:
        self.asked.append(stale)
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return Fetched(answer, self.expires_in)  # type: ignore[arg-type]


async def test_one_fetch_serves_everybody(clock: FakeClock) -> None:
    server = Server("T1")
    source = TokenSource(server, clock)
    assert source.current() is None
    assert set(await asyncio.gather(*(source.get() for _ in range(64)))) == {"T1"}
    assert server.asked == [None]
    assert source.current() == "T1"


async def test_an_expired_token_costs_one_fetch_for_all_workers(clock: FakeClock) -> None:
    server = Server("T1", "T2")
    source = TokenSource(server, clock)
    await source.get()
    server.gate.clear()
    for _ in range(64):
        source.failed("T1")
    waiting = [asyncio.create_task(source.get()) for _ in range(64)]
    await asyncio.sleep(0)
    server.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"T2"}
    assert server.asked == [None, "T1"]


async def test_a_late_failure_of_an_old_token_leaves_the_new_one(clock: FakeClock) -> None:
    server = Server("T1", "T2")
    source = TokenSource(server, clock)
    await source.get()
    source.failed("T1")
    await source.get()
    source.failed("T1")
    assert source.current() == "T2"
    assert len(server.asked) == 2


@pytest.mark.parametrize(("life", "kept"), [(7200.0, 6900.0), (600.0, 540.0), (0.0, 0.0)])
async def test_the_margin_never_leaves_a_token_no_life(
    clock: FakeClock, life: float, kept: float
) -> None:
    source = TokenSource(Server("T1", expires_in=life), clock)
    assert await source.get() == "T1"
    await clock.advance(max(kept - 1, 0))
    assert (source.current() == "T1") is (kept > 0)
    await clock.advance(1.5)
    assert source.current() is None
    assert await source.get() == "T1"


async def test_a_cancelled_waiter_harms_no_other(clock: FakeClock) -> None:
    server = Server("T1")
    server.gate.clear()
    source = TokenSource(server, clock)
    first = asyncio.create_task(source.get())
    await asyncio.sleep(0)
    second = asyncio.create_task(source.get())
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
    source = TokenSource(server, clock)
    waiter = asyncio.create_task(source.get())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await clock.settle()
    assert len(asyncio.all_tasks()) == 1
    server.gate.set()
    assert await source.get() == "T1"


async def test_an_abandoned_fetch_never_overwrites_a_newer_token(clock: FakeClock) -> None:
    release = asyncio.Event()
    calls = 0

    async def stubborn(stale: str | None) -> Fetched:
        nonlocal calls
        calls += 1
        if calls == 1:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return Fetched("OLD")
        return Fetched("NEW")

    source = TokenSource(stubborn, clock)
    waiter = asyncio.create_task(source.get())
    await asyncio.sleep(0)
    waiter.cancel()
    await clock.settle()
    assert await source.get() == "NEW"
    release.set()
    await clock.settle()
    assert source.current() == "NEW"
    assert set(source.known()) == {"OLD", "NEW"}


async def test_a_shutdown_is_not_taken_for_the_callers_own_cancellation(clock: FakeClock) -> None:
    async def cancelled(stale: str | None) -> Fetched:
        raise asyncio.CancelledError

    with pytest.raises(NotSent):
        await TokenSource(cancelled, clock).get()


async def test_the_refused_token_given_back_halts(clock: FakeClock) -> None:
    server = Server("T1")
    source = TokenSource(server, clock)
    source.failed(await source.get())
    with pytest.raises(Halted) as caught:
        await source.get()
    assert caught.value.code == "TOKEN_REFUSED"
    assert "T1" not in str(caught.value)
    assert server.asked == [None, "T1"]


async def test_a_token_refused_while_it_was_fetched_gets_one_more_try(clock: FakeClock) -> None:
    server = Server("T1", "T1", "T2")
    source = TokenSource(server, clock)
    await source.get()
    await clock.advance(7000)
    server.gate.clear()
    waiter = asyncio.create_task(source.get())
    await clock.settle()
    source.failed("T1")
    server.gate.set()
    assert await waiter == "T2"
    assert server.asked == [None, None, "T1"]


async def test_a_failed_fetch_reaches_all_and_the_next_call_tries_afresh(clock: FakeClock) -> None:
    server = Server(NotSent("down"), "T1")
    source = TokenSource(server, clock)
    got = await asyncio.gather(*(source.get() for _ in range(3)), return_exceptions=True)
    assert [type(g) for g in got] == [NotSent] * 3
    assert await source.get() == "T1"
    assert len(server.asked) == 2


async def test_a_users_own_callable_is_kept_until_it_fails(clock: FakeClock) -> None:
    asked = []

    async def mine(stale: str | None) -> str:
        asked.append(stale)
        return f"T{len(asked)}"

    source = TokenSource(mine, clock)
    assert await source.get() == "T1"
    await clock.advance(10_000_000)
    assert await source.get() == "T1"
    source.failed("T1")
    assert await source.get() == "T2"
    assert asked == [None, "T1"]


@pytest.mark.parametrize("answer", ["", None, 7, b"T1"])
async def test_a_callable_that_returns_no_token_is_named(clock: FakeClock, answer: object) -> None:
    async def wrong(stale: str | None) -> object:
        return answer

    with pytest.raises(UsageError, match="token="):
        await TokenSource(wrong, clock).get()  # type: ignore[arg-type]


async def test_a_callable_that_is_not_async_is_named(clock: FakeClock) -> None:
    with pytest.raises(UsageError, match="async"):
        await TokenSource(lambda stale: "T1", clock).get()  # type: ignore[arg-type,return-value]


async def test_tokens_are_known_for_masking_and_never_printed(clock: FakeClock) -> None:
    source = TokenSource(Server(*(f"T{i}" for i in range(100))), clock)
    for _ in range(99):
        source.failed(await source.get())
    known = list(source.known())
    assert known[-1] == "T98"
    assert len(known) <= 32
    assert "T98" not in repr(source) + repr(Fetched("T98", 7200.0))
