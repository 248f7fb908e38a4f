"""Senders of one account share its windows, its day, and what the provider says of its pace."""

from __future__ import annotations

import asyncio

import pytest
from clocks import FakeClock
from memory_quota import MemoryQuota, send, sharing, worst

from promomsg import Pace
from promomsg.transport.pace import Pacer
from promomsg.transport.quota.process_limiter import ProcessLimiter

pytestmark = pytest.mark.asyncio


async def test_one_alone_uses_the_quota_with_two_transactions_a_second(
    auto_clock: FakeClock,
) -> None:
    store = MemoryQuota(auto_clock)
    limiter, times = sharing(store, auto_clock, 50), list[float]()
    start = auto_clock.monotonic()
    await send(limiter, auto_clock, 1000, times)
    took = auto_clock.monotonic() - start
    assert worst(times) <= 50
    assert 0.95 * 50 * (took + 0.25) <= 1000
    assert store.changes <= 2.2 * took


@pytest.mark.parametrize("senders", [2, 4])
@pytest.mark.parametrize("pace", [4, 20, 100])
async def test_several_share_the_windows_and_use_them(
    auto_clock: FakeClock, senders: int, pace: float
) -> None:
    store, times = MemoryQuota(auto_clock), list[float]()
    count = int(pace * 20 / senders)
    start = auto_clock.monotonic()
    sent = await asyncio.gather(
        *(send(sharing(store, auto_clock, pace), auto_clock, count, times) for _ in range(senders))
    )
    took = auto_clock.monotonic() - start
    assert sent == [count] * senders
    assert worst(times) <= pace
    assert sum(sent) >= 0.9 * pace * took - pace / 4


async def test_commits_that_take_long_cost_little(auto_clock: FakeClock) -> None:
    store, times = MemoryQuota(auto_clock), list[float]()
    start = auto_clock.monotonic()
    both = (sharing(store, auto_clock, 20), sharing(store, auto_clock, 20))
    await asyncio.gather(*(send(one, auto_clock, 200, times, commit=0.06) for one in both))
    took = auto_clock.monotonic() - start
    assert worst(times) <= 20
    assert len(times) >= 0.9 * 20 * took - 5


async def test_the_day_is_exact_over_senders_at_once_and_one_after_the_other(
    auto_clock: FakeClock,
) -> None:
    store, times = MemoryQuota(auto_clock), list[float]()
    both = [sharing(store, auto_clock, 20, day=30) for _ in range(2)]
    sent = await asyncio.gather(*(send(one, auto_clock, 100, times) for one in both))
    for one in both:
        await one.leave()
    assert sum(sent) == 30
    assert await send(sharing(store, auto_clock, 20, day=30), auto_clock, 5, times) == 0
    assert await send(sharing(store, auto_clock, 20, day=33), auto_clock, 9, times) == 3
    auto_clock.jump(86_400)
    assert await send(sharing(store, auto_clock, 20, day=30), auto_clock, 9, times) == 9


async def test_the_day_has_again_what_one_sender_did_not_need(auto_clock: FakeClock) -> None:
    store = MemoryQuota(auto_clock)
    first, second = (sharing(store, auto_clock, 20, day=5) for _ in range(2))
    assert await first.reserve(64) == 5
    waits = asyncio.create_task(second.reserve(64))
    await auto_clock.sleep(0.15)
    assert not waits.done()
    assert [first.try_gate(), first.try_gate()] == [True, True]
    first.give_back(3)
    await first.leave()
    assert await waits + await second.reserve(64) == 3


async def test_a_journals_count_of_the_day_is_compared_and_never_added(
    auto_clock: FakeClock,
) -> None:
    store, times = MemoryQuota(auto_clock), list[float]()
    assert await send(sharing(store, auto_clock, 20, day=10), auto_clock, 6, times) == 6
    resumed = sharing(store, auto_clock, 20, day=10)
    resumed.count_today(6)
    assert await send(resumed, auto_clock, 9, times) == 4
    other = sharing(MemoryQuota(auto_clock), auto_clock, 20, day=10)  # another machine's journal
    other.count_today(6)
    assert await send(other, auto_clock, 9, times) == 4


async def test_a_throttle_holds_the_others_within_a_second_and_lowers_their_pace(
    auto_clock: FakeClock,
) -> None:
    store = MemoryQuota(auto_clock)
    first, second = sharing(store, auto_clock, 50), sharing(store, auto_clock, 50)
    times: list[float] = []
    sending = asyncio.create_task(send(second, auto_clock, 200, times))
    await auto_clock.sleep(1.0)
    await first.reserve(5)
    throttled_at = auto_clock.monotonic()
    first.throttled(10.0)
    await sending
    held = [at for at in times if throttled_at + 1.0 < at < throttled_at + 10.0]
    assert held == []
    just_after = [at for at in times if throttled_at + 10.0 <= at < throttled_at + 11.0]
    assert 30 <= len(just_after) <= 40, "three quarters of the pace"
    assert worst(times) <= 50


async def test_the_lowest_of_different_limits_holds_while_its_sender_is_there(
    auto_clock: FakeClock,
) -> None:
    store, times = MemoryQuota(auto_clock), list[float]()
    slow, quick = sharing(store, auto_clock, 10), sharing(store, auto_clock, 100)
    await slow.open()
    await send(quick, auto_clock, 30, times)
    assert worst(times) <= 10
    await slow.leave()
    await auto_clock.sleep(10)
    times.clear()
    await send(quick, auto_clock, 300, times)
    assert 90 <= worst(times) <= 100


async def test_a_sender_that_dies_costs_the_others_nothing_that_lasts(
    auto_clock: FakeClock,
) -> None:
    store, times = MemoryQuota(auto_clock), list[float]()
    gone = [sharing(store, auto_clock, 1) for _ in range(20)]
    waiting = [asyncio.create_task(one.reserve(5)) for one in gone]
    await auto_clock.sleep(0.5)
    for task in waiting:
        task.cancel()
    start = auto_clock.monotonic()
    await send(sharing(store, auto_clock, 1), auto_clock, 1, times)
    assert times[0] - start < 25.0
    await send(sharing(store, auto_clock, 1), auto_clock, 5, times)
    assert times[-1] - times[1] < 6.0


async def test_whoever_is_cancelled_leaves_what_they_were_given_to_the_next(
    auto_clock: FakeClock,
) -> None:
    store = MemoryQuota(auto_clock)
    limiter = sharing(store, auto_clock, 20)
    assert await limiter.reserve(5) == 5
    waiting = asyncio.create_task(limiter.reserve(5))
    await asyncio.sleep(0)
    waiting.cancel()
    await auto_clock.sleep(0.2575)
    before = store.changes
    assert await limiter.reserve(5) == 5
    assert store.changes <= before + 1


async def test_calls_that_missed_their_bunch_go_with_the_next(auto_clock: FakeClock) -> None:
    store = MemoryQuota(auto_clock)
    limiter, other = sharing(store, auto_clock, 20), sharing(store, auto_clock, 20)
    await other.open()
    assert await limiter.reserve(5) == 5
    await auto_clock.sleep(0.3)  # the disk was slow
    start = auto_clock.monotonic()
    went = await asyncio.gather(*(limiter.gate() for _ in range(5)))
    assert went == [True] * 5
    assert auto_clock.monotonic() - start < 0.3


async def test_who_would_wait_too_long_at_the_gate_is_sent_back(auto_clock: FakeClock) -> None:
    store = MemoryQuota(auto_clock)
    limiter, other = (sharing(store, auto_clock, 0.1) for _ in range(2))
    assert await other.reserve(1) == 1
    assert await limiter.gate(1.0) is False
    limiter.throttled(30.0)
    assert await limiter.gate(1.0) is False
    start = auto_clock.monotonic()
    limiter.throttled(0.5)
    assert await limiter.reserve(1) == 1
    assert auto_clock.monotonic() - start >= 30.0


async def test_a_store_that_fails_costs_the_sharing_and_is_tried_again(
    auto_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, times = MemoryQuota(auto_clock), list[float]()
    limiter = sharing(store, auto_clock, 20, day=100)
    store.error = "/state: Read-only file system"
    await send(limiter, auto_clock, 40, times)
    assert "Read-only" in limiter.trouble
    assert worst(times) <= 20
    assert limiter.limit_today == 100
    await send(limiter, auto_clock, 10, times)
    assert len([r for r in caplog.records if "not shared" in r.message]) == 1, "said once"
    store.error = ""
    await auto_clock.sleep(61)
    await send(limiter, auto_clock, 10, times)
    assert limiter.trouble == ""
    assert store.row().bunches


async def test_a_call_at_the_gate_goes_on_when_the_store_fails(auto_clock: FakeClock) -> None:
    store = MemoryQuota(auto_clock)
    limiter = sharing(store, auto_clock, 20)
    store.error = "gone"
    assert await limiter.gate()
    assert limiter.trouble
    limiter.throttled(5.0)
    limiter.give_back(1)
    await limiter.leave()


async def test_group_sends_have_a_row_of_their_own(auto_clock: FakeClock) -> None:
    store = MemoryQuota(auto_clock)
    singles = sharing(store, auto_clock, 1)
    groups = sharing(store, auto_clock, 1, kind="groups")
    assert await singles.reserve(1) == 1
    start = auto_clock.monotonic()
    assert await groups.reserve(1) == 1
    assert auto_clock.monotonic() == start
    assert len(store.row("groups").bunches) == 1


async def test_who_does_not_share_has_the_quota_for_itself() -> None:
    account = ("wechat", "https://api.weixin.qq.com", "wx1")
    for pace in (Pace(shared_quota=False), Pace(unlimited=True)):
        pacer = Pacer(pace, account=account)
        assert type(pacer.singles) is ProcessLimiter
        assert not pacer.shares
        await pacer.open()
        assert pacer.trouble == ""
    assert type(Pacer(None, FakeClock(), account=account).singles) is ProcessLimiter, (
        "its own clock"
    )
    assert Pacer(None, account=account).shares
