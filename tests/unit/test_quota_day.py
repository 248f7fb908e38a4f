"""The day's quota: what is called on a China-time day, whoever calls."""

from __future__ import annotations

import asyncio

import pytest
from clocks import FakeClock
from scripted_wechat import ScriptedWeChat

from promomsg import Pace, ProviderError, Recipient, WeChatMessage
from promomsg.transport.pace import Pacer

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")


async def test_a_days_limit_counts_what_was_called_on_that_china_time_day(
    auto_clock: FakeClock,
) -> None:
    pacer = Pacer(Pace(singles_per_day=10, singles_per_second=1000), auto_clock)
    today = pacer.singles
    today.count_today(4)
    assert await today.reserve(5) == 5
    assert await today.reserve(100) == 1
    assert await today.reserve(1) == 0
    today.give_back(1)  # one of them was not called after all
    assert await today.reserve(100) == 1
    auto_clock.jump(-86_400)  # a clock that was set back has no new day
    assert await today.reserve(1) == 0
    auto_clock.jump(2 * 86_400)
    assert await today.reserve(100) == 10


async def test_a_journals_count_of_the_day_is_never_added_to_what_is_counted(
    auto_clock: FakeClock,
) -> None:
    limiter = Pacer(Pace(singles_per_day=10, singles_per_second=1000), auto_clock).singles
    assert await limiter.reserve(6) == 6
    limiter.count_today(6)
    limiter.count_today(2)
    assert await limiter.reserve(100) == 4


async def test_who_waits_for_the_pace_together_shares_what_is_left_of_the_day(
    auto_clock: FakeClock,
) -> None:
    limiter = Pacer(Pace(singles_per_day=6, singles_per_second=20), auto_clock).singles
    counts = await asyncio.gather(*(limiter.reserve(5) for _ in range(4)))
    assert sum(counts) == 6


async def test_without_a_days_limit_as_many_go_as_may(auto_clock: FakeClock) -> None:
    limiter = Pacer(Pace(unlimited=True), auto_clock).singles
    limiter.count_today(1_000_000)
    assert await limiter.reserve(64) == 64
    limiter.give_back(64)


async def test_a_direct_send_counts_and_is_refused_when_the_day_is_used_up() -> None:
    channel = ScriptedWeChat(FakeClock(auto=True), Pace(singles_per_day=2, singles_per_second=100))
    for number in range(2):
        assert (await channel.send_one(MESSAGE, Recipient(id=str(number)))).state == "sent"
    with pytest.raises(ProviderError, match="SINGLES_PER_DAY"):
        await channel.send_one(MESSAGE, Recipient(id="3"))
    assert len(channel.single_times) == 2
