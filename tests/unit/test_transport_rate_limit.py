"""Quotas, holds and the gate, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from clocks import FakeClock

from promomsg.errors import UsageError
from promomsg.transport.pace import Pace, Pacer
from promomsg.transport.rate_limit import WindowLimiter


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "50", True])
@pytest.mark.parametrize("name", ["singles_per_second", "groups_per_minute", "singles_per_day"])
def test_a_quota_that_is_no_number_above_zero_is_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        Pace(**{name: value})


def test_a_pace_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(UsageError, match="not both"):
        Pace(unlimited=True, singles_per_second=5)
    with pytest.raises(UsageError, match="whole number"):
        Pace(singles_per_day=1.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="True or False"):
        Pace(unlimited="yes")  # type: ignore[arg-type]


def test_without_a_word_from_anybody_it_is_50_a_second(clock: FakeClock) -> None:
    pacer = Pacer(None, clock)
    assert not pacer.configured
    assert [pacer.singles.try_gate() for _ in range(51)].count(True) == 50
    assert pacer.groups.rate is None


def test_advice_fills_in_what_the_user_left_open(clock: FakeClock) -> None:
    pacer = Pacer(Pace(groups_per_minute=6), clock)
    assert not pacer.configured
    pacer.configure(Pace(singles_per_second=10, singles_per_day=100_000))
    assert pacer.configured
    assert pacer.day_limit == 100_000
    assert pacer.singles.rate == pytest.approx(10 / 1.03)
    assert pacer.groups.rate == pytest.approx(6 / 60.03)
    pacer.configure(Pace(unlimited=True))
    assert pacer.groups.rate == pytest.approx(6 / 60.03)


def test_advice_changes_nothing_that_the_user_said(clock: FakeClock) -> None:
    pacer = Pacer(Pace(singles_per_second=5, singles_per_day=10), clock)
    pacer.configure(Pace(singles_per_second=500, singles_per_day=1000))
    assert pacer.singles.rate == pytest.approx(5 / 1.03)
    assert pacer.day_limit == 10
    free = Pacer(Pace(unlimited=True), clock)
    free.configure(Pace(singles_per_second=5))
    assert free.configured
    assert free.singles.rate is None


def test_the_quotath_last_call_has_to_be_a_window_and_a_guard_old(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=3), clock).singles
    assert [limiter.try_gate() for _ in range(4)] == [True, True, True, False]
    clock._now += 1.029
    assert not limiter.try_gate()
    clock._now += 0.002
    assert limiter.try_gate()


def test_quotas_of_different_windows_hold_together(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=10, singles_per_minute=15), clock).singles
    passed = 0
    for _ in range(5900):
        passed += limiter.try_gate()
        clock._now += 0.01
    assert passed == 15


@pytest.mark.parametrize(("rate", "passed"), [(0.5, 5), (2.5, 24)])
def test_a_fraction_is_a_quota_of_another_window(
    clock: FakeClock, rate: float, passed: int
) -> None:
    limiter = Pacer(Pace(singles_per_second=rate), clock, guard=0.0).singles
    count = 0
    for _ in range(950):
        count += limiter.try_gate()
        clock._now += 0.01
    assert count == passed


def test_the_intents_of_an_earlier_process_count(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=10), clock).singles
    now = clock.time()
    limiter.count_earlier([now - 0.2] * 6 + [now - 100.0] + [now + 5.0], now)
    assert [limiter.try_gate() for _ in range(4)] == [True, True, True, False]


@pytest.mark.asyncio
async def test_a_gate_that_is_shut_for_long_is_waited_for_before_the_intent(
    auto_clock: FakeClock,
) -> None:
    limiter = Pacer(Pace(groups_per_minute=1), auto_clock).groups
    assert limiter.try_gate()
    start = auto_clock.monotonic()
    assert await limiter.reserve(5) == 1
    assert auto_clock.monotonic() - start == pytest.approx(59.93)
    assert await limiter.gate()
    assert auto_clock.monotonic() - start == pytest.approx(60.03)


@pytest.mark.asyncio
async def test_an_unlimited_pace_gives_all_at_once(clock: FakeClock) -> None:
    limiter = Pacer(Pace(unlimited=True), clock).singles
    assert await limiter.reserve(1000) == 1000
    assert all(limiter.try_gate() for _ in range(10_000))
    assert await limiter.gate(0.0)
    assert clock.slept == []


@pytest.mark.asyncio
async def test_reserving_spaces_the_calls(auto_clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=100), auto_clock).singles
    start = auto_clock.monotonic()
    got = [await limiter.reserve(64) for _ in range(60)]
    assert max(got[1:]) <= 25
    assert sum(got) / (auto_clock.monotonic() - start) == pytest.approx(97, rel=0.05)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("pace", "most", "bunches"), [(50, 64, [12, 13]), (500, 64, [64]), (10, 1, [1])]
)
async def test_what_may_go_within_a_quarter_of_a_second_goes_together(
    auto_clock: FakeClock, pace: float, most: int, bunches: list[int]
) -> None:
    """Never more than the caller has; four bunches are a second's quota, none of it is lost."""
    limiter = Pacer(Pace(singles_per_second=pace), auto_clock).singles
    for _ in range(5):
        await limiter.reserve(most)
    start = auto_clock.monotonic()
    got = [await limiter.reserve(most) for _ in range(40)]
    assert sorted(set(got)) == bunches
    assert sum(got) / (auto_clock.monotonic() - start) == pytest.approx(pace / 1.03, rel=0.02)


@pytest.mark.asyncio
async def test_the_gate_is_first_come_first_served(auto_clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=5), auto_clock).singles
    passed: list[int] = []

    async def call(number: int) -> None:
        if await limiter.gate(patience=10.0):
            passed.append(number)

    await asyncio.gather(*(call(number) for number in range(20)))
    assert passed == list(range(20))
    assert not limiter.try_gate()


@pytest.mark.asyncio
async def test_who_would_wait_too_long_is_told_at_once(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=2), clock).singles
    assert await limiter.gate()
    assert await limiter.gate()
    assert not await limiter.gate(patience=1.0)
    assert clock.slept == []


@pytest.mark.asyncio
async def test_a_cancelled_waiter_at_the_gate_harms_no_other(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=2), clock).singles
    assert limiter.try_gate()
    assert limiter.try_gate()
    first, second = (asyncio.create_task(limiter.gate(5.0)) for _ in range(2))
    await clock.settle()
    first.cancel()
    await clock.advance(1.04)
    assert second.done()
    assert await second
    assert limiter.try_gate()


@pytest.mark.asyncio
async def test_a_hold_that_comes_while_waiting_sends_the_waiters_back(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=2), clock).singles
    assert limiter.try_gate()
    assert limiter.try_gate()
    waiting = [asyncio.create_task(limiter.gate(1.5)) for _ in range(2)]
    await clock.advance(0.5)
    limiter.throttled(60.0)
    await clock.advance(0.6)
    assert [await task for task in waiting] == [False, False]


@pytest.mark.asyncio
async def test_a_throttle_holds_everybody_and_lowers_the_pace(auto_clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=50), auto_clock).singles
    assert limiter.try_gate()
    full = limiter.rate
    assert full is not None
    start = auto_clock.monotonic()
    limiter.throttled(10.0)
    assert limiter.held_until == start + 10.0
    assert not limiter.try_gate()
    assert not await limiter.gate(1.0)
    assert await limiter.reserve(100) <= 2
    assert auto_clock.monotonic() >= start + 10.0
    assert limiter.held_until is None
    assert limiter.rate == pytest.approx(full * 0.75, rel=0.01)
    await auto_clock.sleep(5)
    assert limiter.rate == pytest.approx(full * 0.9, rel=0.01)
    await auto_clock.sleep(5)
    assert limiter.rate == full


@pytest.mark.asyncio
async def test_refusals_of_calls_already_out_count_as_one(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=50), clock).singles
    for _ in range(20):
        limiter.try_gate()
    full = limiter.rate
    assert full is not None
    for _ in range(20):
        limiter.throttled(None)
    assert limiter.held_until == clock.monotonic() + 1.0
    await clock.advance(1.0)
    limiter.throttled(None)
    assert limiter.rate == pytest.approx(full * 0.75)
    await clock.advance(2.0)
    assert limiter.try_gate()
    limiter.throttled(None)
    assert limiter.rate is not None
    assert limiter.rate == pytest.approx(full * 0.81 * 0.5, rel=0.02), "refused again: by half"
    assert limiter.held_until == clock.monotonic() + 2.0, "the second hold in a row is longer"
    limiter.throttled(30.0)
    assert limiter.held_until == clock.monotonic() + 30.0, "a longer wait asked for is kept"


@pytest.mark.asyncio
async def test_holds_start_short_again_after_a_calm(clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=50), clock).singles
    for _ in range(3):
        await clock.advance(20.0)
        assert limiter.try_gate()
        limiter.throttled(None)
    assert limiter.held_until == clock.monotonic() + 4.0
    await clock.advance(40.0)
    assert limiter.try_gate()
    limiter.throttled(None)
    assert limiter.held_until == clock.monotonic() + 1.0


@pytest.mark.asyncio
async def test_refusals_far_apart_do_not_make_the_hold_longer(auto_clock: FakeClock) -> None:
    limiter = Pacer(Pace(unlimited=True), auto_clock).singles
    for _ in range(6):
        for _ in range(10):
            await limiter.reserve(1)
            assert await limiter.gate(1.0)
        limiter.throttled(None)
        assert limiter.held_until == auto_clock.monotonic() + 1.0
        await limiter.wait_while_held()


@pytest.mark.asyncio
async def test_the_lowered_pace_is_kept_at_the_gate(auto_clock: FakeClock) -> None:
    limiter = Pacer(Pace(unlimited=True), auto_clock).singles
    for _ in range(200):
        assert limiter.try_gate()
        await auto_clock.sleep(0.01)
    limiter.throttled(2.0)
    assert limiter.rate == pytest.approx(75, rel=0.05)
    await limiter.wait_while_held()
    start, times = auto_clock.monotonic(), []
    while auto_clock.monotonic() < start + 2:
        await limiter.reserve(1)
        assert await limiter.gate(1.0)
        times.append(auto_clock.monotonic())
    assert 140 <= len(times) <= 162
    assert all(later >= earlier for earlier, later in pairwise(times))
    await auto_clock.sleep(120)
    assert limiter.rate is None
    assert await limiter.reserve(1000) == 1000


def test_a_throttle_before_anything_was_sent_still_leaves_a_pace(clock: FakeClock) -> None:
    limiter = WindowLimiter(clock)
    limiter.try_gate()
    limiter.throttled(1.0)
    assert limiter.rate == pytest.approx(0.75)


@pytest.mark.asyncio
@pytest.mark.parametrize("pace", [0.5, 1, 3.9, 4, 4.1, 4.7, 5, 7.77, 11, 99.9, 12345.6])
async def test_a_bunch_of_any_pace_comes(auto_clock: FakeClock, pace: float) -> None:
    """Calls are whole and a quarter of a quota seldom is."""
    limiter = Pacer(Pace(singles_per_second=pace), auto_clock).singles
    start = auto_clock.monotonic()
    counts = [await limiter.reserve(1_000_000) for _ in range(50)]
    took = auto_clock.monotonic() - start
    rate = limiter.rate
    assert rate is not None
    assert sum(counts[1:]) / took == pytest.approx(rate, rel=0.12)


@pytest.mark.asyncio
async def test_calls_that_were_spread_go_together_a_window_later(auto_clock: FakeClock) -> None:
    """Twelve timers and wake-ups become one, and stay one in each later window."""
    limiter = Pacer(Pace(singles_per_second=50), auto_clock).singles
    for _ in range(12):
        assert limiter.try_gate()
        auto_clock._now += 0.004
    last = auto_clock.monotonic() - 0.004
    assert all(limiter.try_gate() for _ in range(38))
    auto_clock.slept.clear()
    passed = []

    async def call() -> None:
        assert await limiter.gate(2.0)
        passed.append(auto_clock.monotonic())

    await asyncio.gather(*(call() for _ in range(12)))
    assert passed == pytest.approx([last + 1.03] * 12, abs=1e-6)
    assert len(auto_clock.slept) == 1


@pytest.mark.asyncio
async def test_calls_far_apart_do_not_wait_for_each_other(auto_clock: FakeClock) -> None:
    limiter = Pacer(Pace(singles_per_second=2), auto_clock).singles
    start = auto_clock.monotonic()
    for _ in range(2):
        assert limiter.try_gate()
        auto_clock._now += 0.25
    passed = []

    async def call() -> None:
        assert await limiter.gate(2.0)
        passed.append(auto_clock.monotonic() - start)

    await asyncio.gather(call(), call())
    assert passed == pytest.approx([1.03, 1.28])


@pytest.mark.asyncio
@pytest.mark.parametrize("commit", [0.0005, 0.005, 0.03])
@pytest.mark.parametrize(("one_by_one", "bunches"), [(0, 4), (20, 6)])
async def test_a_bunch_waits_before_its_intents_and_then_goes_at_once(
    auto_clock: FakeClock, commit: float, one_by_one: int, bunches: int
) -> None:
    """So few times a second, also behind a start in which connections were opened one by one."""
    limiter = Pacer(Pace(singles_per_second=50), auto_clock).singles
    begin = auto_clock.monotonic()
    passed: list[float] = []
    waited: list[float] = []

    async def call(intended: float) -> None:
        assert limiter.try_gate() or await limiter.gate()
        passed.append(auto_clock.monotonic())
        waited.append(passed[-1] - intended)

    at_hand = 64
    async with asyncio.TaskGroup() as calls:
        while auto_clock.monotonic() < begin + 20:
            count = await limiter.reserve(1 if len(passed) < one_by_one else at_hand)
            at_hand = 64 if at_hand < 2 * count else at_hand - count
            intended = auto_clock.monotonic()
            await auto_clock.sleep(commit)
            for _ in range(count):
                calls.create_task(call(intended))
    assert len(passed) >= 0.95 * 20 * 50 / 1.03
    late = {round(at, 2) for at in passed if at > begin + 5}
    assert len(late) <= bunches * 15
    assert max(waited[100:]) <= commit + 0.005
