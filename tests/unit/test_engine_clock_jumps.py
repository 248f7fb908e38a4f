"""A wall clock that is set back or forward, or a process that stood still, changes no outcome."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import pairwise
from typing import Any

import anyio
import pytest
from clocks import FakeClock
from journal_model import ModelJournal
from run_controls import run_control
from scripted_wechat import ScriptedWeChat
from waiting import until

from promomsg import Campaign, Pace, PollPolicy, WeChatMessage
from promomsg.clock import next_china_midnight
from promomsg.engine.sending.decision import Halt
from promomsg.model import Delivery, State

pytestmark = pytest.mark.asyncio

DAY = 86_400.0
MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
PERSONAL = WeChatMessage(1, {"title": "{name}"}, "pages/index/index")
POLL = PollPolicy(first_after=20.0, every=30.0)
JUMPS = [-400 * DAY, -DAY, -3600.0, -1.0, 1.0, 3600.0, DAY, 9 * DAY, 400 * DAY]


class JumpingWeChat(ScriptedWeChat):
    """The wall clock is set with the first look at a group; remembers when it was looked at."""

    def __init__(self, clock: FakeClock, jump: float) -> None:
        super().__init__(clock)
        self.look_times: list[float] = []
        self.jump = jump

    async def get_delivery(self, msg_id: str) -> Delivery:
        if not self.look_times:
            self.clock.jump(self.jump)
        self.look_times.append(self.clock.monotonic())
        return await super().get_delivery(msg_id)


def halfway() -> deque[Delivery]:
    return deque(Delivery("m1", percent=p, send_cnt=p, fail_cnt=0) for p in (10, 40, 40, 70, 100))


@pytest.mark.parametrize("jump", JUMPS)
async def test_groups_are_looked_at_no_later_than_the_ceiling(
    jump: float, auto_clock: FakeClock
) -> None:
    channel = JumpingWeChat(auto_clock, jump)
    channel.looks = {"m1": halfway()}
    people = [str(500_001 + n) for n in range(100)]
    async with Campaign(
        channel, MESSAGE, people, journal=ModelJournal(), clock=auto_clock, poll=POLL
    ) as run:
        report = await run.wait()
    assert (report.state, report.sent, report.unknown, report.warnings) == ("done", 100, 0, [])
    times = channel.look_times
    assert len(times) == 5
    assert times[0] - channel.group_times[0] == pytest.approx(POLL.first_after)
    assert max(after - before for before, after in pairwise(times)) <= 30.001


@pytest.mark.parametrize("wrong_by", [DAY, 400 * DAY])
async def test_what_a_wrong_clock_wrote_down_keeps_a_resume_no_longer_than_the_ceiling(
    wrong_by: float,
) -> None:
    """The first process had a clock that was fast: its next look lies far in the future."""
    journal = ModelJournal()
    fast = FakeClock(start=1_760_000_000.0 + wrong_by, auto=True)
    first = ScriptedWeChat(fast)
    first.looks = {"m1": deque([Delivery("m1", percent=10, send_cnt=10, fail_cnt=0)])}
    people = [str(500_001 + n) for n in range(100)]
    async with Campaign(first, MESSAGE, people, journal=journal, clock=fast, poll=POLL) as run:
        await run.submit()
    right = FakeClock(auto=True)
    channel = JumpingWeChat(right, 0.0)
    channel.looks = {"m1": deque([Delivery("m1", percent=100, send_cnt=100, fail_cnt=0)])}
    began = right.monotonic()
    async with Campaign.resume(journal, channel, clock=right, poll=POLL) as resumed:
        report = await resumed.wait()
    assert (report.sent, report.unknown) == (100, 0)
    assert channel.look_times[0] - began <= POLL.every


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_campaign_that_waits_for_the_day_goes_on_within_a_minute_of_its_day_by_either_clock(
    jump: float, clock: FakeClock
) -> None:
    control = run_control(clock, wait=True)
    midnight = next_china_midnight(clock.time())
    control.halt_or_wait(Halt("45009", "used up"))
    assert control.waits_until is not None
    left = control.waits_until - clock.time()
    waiting = asyncio.ensure_future(control.until_sending())
    await clock.advance(1.0)
    clock.jump(jump)
    passed = clock.time() >= control.waits_until
    await clock.advance(60.0)
    assert waiting.done() is passed is control.may_send()
    await clock.advance(max(left - 61.0, 0.0))
    assert waiting.done()
    assert control.may_send()
    assert midnight > 0
    assert max(clock.slept) <= 60.0


async def test_a_word_ends_the_waiting_at_once(clock: FakeClock) -> None:
    control = run_control(clock, wait=True)
    control.halt_or_wait(Halt("45009", "used up"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(control.until_sending)
        await clock.settle()
        control.stop()


@pytest.mark.parametrize("back", [60.0, DAY, 3 * DAY])
async def test_a_clock_set_back_is_no_new_day_for_the_users_own_limit(
    back: float, auto_clock: FakeClock
) -> None:
    channel = ScriptedWeChat(auto_clock, Pace(singles_per_day=12, singles_per_second=10))

    async def set_back() -> None:
        if len(channel.single_times) == 5:
            auto_clock.jump(-back)

    channel.before_single = set_back
    people = [{"id": str(n), "name": f"n{n}"} for n in range(30)]
    async with Campaign(channel, PERSONAL, people, journal=ModelJournal(), clock=auto_clock) as run:
        report = await run.wait()
    assert (report.sent, report.pending) == (12, 18)
    assert "SINGLES_PER_DAY" in report.reason


@pytest.mark.parametrize("how", ["wall clock", "stood still"])
@pytest.mark.parametrize("seconds", [130.0, 3600.0, 2 * DAY])
async def test_leases_that_look_old_are_still_ours(
    how: str, seconds: float, clock: FakeClock, tmp_path: Any
) -> None:
    """With calls out, as after SIGSTOP or a clock set forward: nobody is unknown, nobody twice."""
    channel = ScriptedWeChat(clock)
    held = anyio.Event()

    async def hold() -> None:
        if len(channel.single_times) == 3:
            await held.wait()

    channel.before_single = hold
    people = [{"id": str(n), "name": f"n{n}"} for n in range(250)]
    campaign = Campaign(
        channel, PERSONAL, people, journal=tmp_path / "c.db", clock=clock, concurrency=2
    )
    async with campaign as run:
        await until(lambda: len(channel.single_times) >= 3)
        if how == "wall clock":
            clock.jump(seconds)
        else:
            clock._now += seconds  # no sleeper wakes before the whole of it has passed
        await clock.advance_until(lambda: len(channel.single_times) >= 249, 0.1)
        held.set()
        report = await run.wait()
    assert (report.sent, report.unknown, report.pending) == (250, 0, 0)
    assert sorted(channel.reached) == sorted(str(n) for n in range(250))
    assert {outcome.state for outcome in report.outcomes()} == {State.SENT}
