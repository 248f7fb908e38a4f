"""Direct sends (`send_one`) at their turn, also when a hold comes between."""

from __future__ import annotations

import asyncio

import pytest
from clocks import FakeClock
from scripted_wechat import ScriptedWeChat

from promomsg import Outcome, Pace, ProviderError, Recipient, WeChatMessage
from promomsg.model import Answer, Verdict

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")


class WatchedClock(FakeClock):
    """Fails when somebody asks for the time again and again and never waits."""

    def __init__(self) -> None:
        super().__init__(auto=True)
        self._asked = 0
        self._at = 0.0

    def monotonic(self) -> float:
        now = super().monotonic()
        self._asked = self._asked + 1 if now == self._at else 0
        self._at = now
        assert self._asked < 10_000, "it spins, and the event loop stands still"
        return now


async def test_after_a_hold_a_direct_send_waits_for_its_turn_again() -> None:
    """Two sends at once, one a second; the first is throttled when the second is about to go. A
    campaign on the same account is quicker when the hold ends, and uses that second's call up."""
    clock = WatchedClock()
    channel = ScriptedWeChat(clock, Pace(singles_per_second=1))
    limiter = channel.pacer.singles
    channel.single_answers.append(Answer(Verdict.THROTTLED, "45011", "slow", retry_after=30.0))

    async def answer() -> None:
        if len(channel.single_times) == 1:
            await clock.sleep(1.0)

    async def campaign() -> float:
        while limiter.held_until is None:
            await clock.sleep(1 / 128)
        await limiter.wait_while_held()
        assert limiter.try_gate()
        return clock.monotonic()

    channel.before_single = answer
    first, second, at = await asyncio.gather(
        channel.send_one(MESSAGE, Recipient(id="1")),
        channel.send_one(MESSAGE, Recipient(id="2")),
        campaign(),
        return_exceptions=True,
    )
    assert isinstance(first, ProviderError)
    assert first.code == "45011"
    assert isinstance(second, Outcome), second
    assert second.state == "sent"
    assert isinstance(at, float)
    assert at >= channel.single_times[0] + 31.0
    # After a throttle the pace is three quarters.
    assert channel.single_times[1] - at == pytest.approx(1 / 0.75, abs=0.1)
