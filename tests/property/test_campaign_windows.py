"""Whole campaigns at a pace: whatever stops them in the middle of a bunch, no window of any quota is
over where the calls arrive, nobody is called twice, and without a stop the quota is used.

No wire and no file: the clock moves when every task waits.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
from clocks import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import ModelHandle, ModelJournal
from scripted_wechat import WITHHELD, ScriptedWeChat, let_through

from promomsg import Campaign, Pace, WeChatMessage
from promomsg.clock import china_day
from promomsg.model import Answer, SingleSend, Verdict
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.transport.rate_limit import GUARD

USED_UP = Answer(Verdict.HALT, "45009", "used up")
TEXT = WeChatMessage(1, {"title": "今日"}, "pages/index/index")


class Provider(ScriptedWeChat):
    """Answers after a while, over connections that take a while, and knows when calls arrived.

    Args:
        handshake: seconds of a new connection.
        answer: seconds from a call to its answer.
        lag: seconds of calls on their way, in turn.
        halt_at: the number of the call that hears that the day is used up; 0: none.
    """

    def __init__(
        self,
        clock: FakeClock,
        pace: Pace,
        handshake: float,
        answer: float,
        lag: list[float],
        halt_at: int,
    ) -> None:
        super().__init__(clock, pace)
        self.handshake, self.answer, self.lag, self.halt_at = handshake, answer, lag, halt_at
        self.arrived: list[float] = []
        self.called: Counter[str] = Counter()
        self.by_day: Counter[str] = Counter()
        self.idle = 0

    def close_connections(self) -> None:
        """As a server does that heard nothing for long."""
        self.idle = 0

    async def connect_ahead(self, calls: int) -> int:
        if self.idle < calls:
            await self.clock.sleep(self.handshake)
            self.idle = calls
        return min(calls, self.idle)

    @asks_last_check
    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        if not await let_through(last_check):
            return WITHHELD
        number = len(self.arrived)
        self.arrived.append(self.clock.monotonic() + self.lag[number % len(self.lag)])
        self.called[single_send.id or ""] += 1
        self.by_day[china_day(self.clock.time())] += 1
        await self.clock.sleep(self.answer)
        return USED_UP if number + 1 == self.halt_at else Answer(Verdict.SENT)


def worst(arrivals: list[float], window: float) -> int:
    """The most arrivals in any half-open window of that length."""
    times = sorted(arrivals)
    return max((i + 1 - bisect_right(times, at - window) for i, at in enumerate(times)), default=0)


def hold(provider: Provider, pace: Pace) -> None:
    """Asserts that no window of any quota is over."""
    if pace.singles_per_second is not None:
        calls = max(1, int(pace.singles_per_second))
        assert worst(provider.arrived, calls / pace.singles_per_second - 1e-6) <= calls
    if pace.singles_per_minute is not None:
        assert worst(provider.arrived, 60.0 - 1e-6) <= pace.singles_per_minute
    if pace.singles_per_day is not None:
        assert max(provider.by_day.values(), default=0) <= pace.singles_per_day


PACES = st.sampled_from(
    [
        Pace(singles_per_second=0.5),
        Pace(singles_per_second=1),
        Pace(singles_per_second=3),
        Pace(singles_per_second=10, singles_per_minute=25),
        Pace(singles_per_second=50),
        Pace(singles_per_second=50, singles_per_day=40),
        Pace(singles_per_minute=20),
        Pace(singles_per_second=200),
    ]
)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0005, 0.002, 0.1, 0.26, 1.0, 10.0]),
        st.sampled_from(["pause", "go", "pause", "go", "close connections", "cancel"]),
        st.integers(0, 1),
    ),
    max_size=8,
)
COMMITS = st.sampled_from([0.0, 0.001, 0.02, 0.2])


@settings(deadline=None, max_examples=60)
@given(
    pace=PACES,
    people=st.lists(st.integers(1, 120), min_size=1, max_size=2),
    concurrency=st.sampled_from([1, 4, 64]),
    handshake=st.sampled_from([0.0, 0.6]),
    answer=st.sampled_from([0.0, 0.03, 2.0]),
    lag=st.lists(st.floats(0, GUARD * 0.99), min_size=1, max_size=5),
    commit=COMMITS,
    halt_at=st.sampled_from([0, 0, 3, 20]),
    actions=ACTIONS,
)
def test_no_window_is_over_whatever_stops_a_campaign(**given: Any) -> None:
    asyncio.run(_stopped(**given))


async def _stopped(
    *,
    pace: Pace,
    people: list[int],
    concurrency: int,
    handshake: float,
    answer: float,
    lag: list[float],
    commit: float,
    halt_at: int,
    actions: list[tuple[float, str, int]],
) -> None:
    clock = FakeClock(auto=True)
    provider = Provider(clock, pace, handshake, answer, lag, halt_at)
    with pytest.MonkeyPatch.context() as patch:
        _slow_commits(patch, clock, commit)
        async with AsyncExitStack() as stack:
            runs = [
                await stack.enter_async_context(_campaign(provider, clock, count, n, concurrency))
                for n, count in enumerate(people)
            ]
            for seconds, action, which in actions:
                await clock.sleep(seconds)
                run = runs[which % len(runs)]
                if action == "close connections":
                    provider.close_connections()
                else:
                    {"pause": run.pause, "go": run.resume_sending, "cancel": run.cancel}[action]()
            for run in runs:
                run.resume_sending()
            async with asyncio.timeout(20):
                await asyncio.gather(*(run.wait() for run in runs))
    hold(provider, pace)
    assert max(provider.called.values(), default=0) <= 1
    reports = [run.report for run in runs]
    assert sum(report.unknown for report in reports) == 0
    assert sum(report.sent for report in reports) + bool(
        halt_at and halt_at <= len(provider.arrived)
    ) == len(provider.arrived)


@settings(deadline=None, max_examples=30)
@given(
    quota=st.sampled_from([1, 3, 10, 50, 200]),
    campaigns=st.integers(1, 2),
    answer=st.sampled_from([0.0, 0.03, 0.3]),
    commit=st.sampled_from([0.0, 0.001, 0.02]),
)
def test_without_a_stop_the_quota_is_used(**given: Any) -> None:
    asyncio.run(_undisturbed(**given))


async def _undisturbed(*, quota: int, campaigns: int, answer: float, commit: float) -> None:
    clock = FakeClock(auto=True)
    pace = Pace(singles_per_second=quota)
    provider = Provider(clock, pace, 0.0, answer, [0.0, GUARD * 0.9], 0)
    with pytest.MonkeyPatch.context() as patch:
        _slow_commits(patch, clock, commit)
        async with AsyncExitStack() as stack:
            each = 12 * quota // campaigns
            runs = [
                await stack.enter_async_context(_campaign(provider, clock, each, n, 64))
                for n in range(campaigns)
            ]
            await asyncio.gather(*(run.wait() for run in runs))
    hold(provider, pace)
    count = len(provider.arrived)
    assert count == each * campaigns
    took = max(provider.arrived) - min(provider.arrived)
    # The first window's calls go at once, or within a second.
    assert took <= count / quota * 1.03 * 1.06 + 0.5


def _campaign(
    provider: Provider, clock: FakeClock, people: int, number: int, concurrency: int
) -> Campaign:
    return Campaign(
        provider,
        TEXT,
        [{"id": str(1_000_000 * (number + 1) + n)} for n in range(people)],
        journal=ModelJournal(),
        clock=clock,
        rng=Random(number),
        concurrency=concurrency,
        route="single",
    )


def _slow_commits(patch: pytest.MonkeyPatch, clock: FakeClock, seconds: float) -> None:
    """Has the commit of an intent take so long."""
    intend = ModelHandle.intend

    async def slow(self: ModelHandle, *args: Any) -> bool:
        await clock.sleep(seconds)
        return await intend(self, *args)

    patch.setattr(ModelHandle, "intend", slow)
