"""The quota holds in any sliding window, counted where the calls arrive, and is used."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

import pytest
from clocks import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.transport.pace import Pace, Pacer
from promomsg.transport.quota.limiter import RateLimiter

_GUARD = 0.030


def worst(arrivals: list[float], window: float) -> int:
    """The most arrivals in any half-open window of that length."""
    times = sorted(arrivals)
    return max((i + 1 - bisect_right(times, at - window) for i, at in enumerate(times)), default=0)


@settings(max_examples=60, deadline=None)
@given(
    quota=st.integers(1, 40),
    per_minute=st.one_of(st.none(), st.integers(1, 400)),
    steps=st.lists(
        st.tuples(st.floats(0, 0.2), st.integers(1, 8), st.floats(0, _GUARD * 0.99)),
        min_size=20,
        max_size=400,
    ),
)
def test_no_window_is_ever_over(
    quota: int, per_minute: int | None, steps: list[tuple[float, int, float]]
) -> None:
    clock = FakeClock()
    pace = Pace(singles_per_second=quota, singles_per_minute=per_minute)
    limiter = Pacer(pace, clock, guard=_GUARD).singles
    arrivals = []
    for pause, tries, jitter in steps:
        clock._now += pause
        now = clock.monotonic()
        arrivals += [now + jitter * (turn % 2) for turn in range(tries) if limiter.try_gate()]
    assert worst(arrivals, 1.0) <= quota
    if per_minute is not None:
        assert worst(arrivals, 60.0) <= per_minute


@settings(max_examples=40, deadline=None)
@given(
    quota=st.integers(1, 40),
    earlier=st.lists(st.floats(0, 3), max_size=120),
    until=st.floats(0, 2),
)
def test_a_resumed_process_continues_the_window_of_the_one_before(
    quota: int, earlier: list[float], until: float
) -> None:
    clock = FakeClock()
    before = Pacer(Pace(singles_per_second=quota), clock, guard=_GUARD).singles
    sent = []
    for pause in earlier:
        clock._now += pause / 30
        if before.try_gate():
            sent.append(clock.time())
    clock._now += until / 10
    after = Pacer(Pace(singles_per_second=quota), clock, guard=_GUARD).singles
    after.count_earlier(sent, clock.time())
    sent += [clock.time() for _ in range(2 * quota) if after.try_gate()]
    assert worst(sent, 1.0 + _GUARD - 1e-5) <= quota


async def _run(
    limiter: RateLimiter, clock: FakeClock, seconds: float, commit: float, lag: list[float]
) -> list[float]:
    """A dispatcher with a commit between pace and gate, and workers that call."""
    arrivals: list[float] = []
    end = clock.monotonic() + seconds
    # 2 x concurrency permits, the engine's bound on intended calls
    permits = asyncio.Semaphore(64)

    async def call(number: int) -> None:
        try:
            if (limiter.try_gate() or await limiter.gate()) and clock.monotonic() < end:
                arrivals.append(clock.monotonic() + lag[number % len(lag)])
        finally:
            permits.release()

    calls: list[asyncio.Task[None]] = []
    while clock.monotonic() < end:
        await permits.acquire()
        count = await limiter.reserve(8)
        for _ in range(count - 1):
            await permits.acquire()
        await clock.sleep(commit)
        calls += [asyncio.create_task(call(len(calls) + i)) for i in range(count)]
    await asyncio.gather(*calls)
    return arrivals


@settings(max_examples=15, deadline=None)
@given(
    quota=st.sampled_from([1, 3, 10, 50, 100, 333]),
    commit=st.floats(0.0005, 0.004),
    lag=st.lists(st.floats(0, _GUARD * 0.99), min_size=1, max_size=7),
)
def test_there_is_work_so_the_quota_is_used_and_kept(
    quota: int, commit: float, lag: list[float]
) -> None:
    clock = FakeClock(auto=True)
    limiter = Pacer(Pace(singles_per_second=quota), clock, guard=_GUARD).singles
    seconds = max(3.0, 30.0 / quota)
    arrivals = asyncio.run(_run(limiter, clock, seconds, commit, lag))
    assert worst(arrivals, 1.0) <= quota
    assert len(arrivals) >= 0.95 * quota * seconds - 1


@pytest.mark.asyncio
async def test_two_thousand_a_second_are_reached_with_timers_of_a_millisecond() -> None:
    class Coarse(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(max(seconds, 0.001))

    clock = Coarse(auto=True)
    limiter = Pacer(Pace(singles_per_second=2000), clock, guard=_GUARD).singles
    arrivals = await _run(limiter, clock, 2.0, 0.0, [0.0])
    assert worst(arrivals, 1.0) <= 2000
    assert len(arrivals) >= 0.95 * 2000 * 2
