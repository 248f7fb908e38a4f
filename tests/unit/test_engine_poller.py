"""Groups that are accepted late in a run are followed for as long as those that came first."""

from __future__ import annotations

from collections import deque

import pytest
from clocks import FakeClock
from journal_model import ModelJournal
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, Pace, PollPolicy, WeChatMessage
from promomsg.model import Delivery, Failure

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
POLL = PollPolicy(first_after=20.0, every=30.0, give_up_after=100.0)


async def test_a_group_accepted_late_is_not_given_up_for_the_age_of_the_run(
    auto_clock: FakeClock,
) -> None:
    """The second group goes out minutes after the first, and at its first look is half done."""
    channel = ScriptedWeChat(auto_clock, Pace(groups_per_minute=0.5))
    channel.looks = {
        f"m{n}": deque(Delivery(f"m{n}", percent=p, send_cnt=p, fail_cnt=0) for p in (50, 75, 100))
        for n in (1, 2)
    }
    people = [str(500_001 + n) for n in range(200)]
    async with Campaign(
        channel,
        MESSAGE,
        people,
        journal=ModelJournal(),
        clock=auto_clock,
        max_group_size=100,
        poll=POLL,
    ) as run:
        report = await run.wait()
    first, second = channel.group_times
    assert second - first > POLL.give_up_after
    assert (report.state, report.sent, report.pending) == ("done", 200, 0)
    assert report.warnings == []


async def test_a_group_that_stays_behind_is_given_up_after_its_own_time(
    auto_clock: FakeClock,
) -> None:
    channel = ScriptedWeChat(auto_clock, Pace(groups_per_minute=0.5))
    channel.looks = {
        f"m{n}": deque([Delivery(f"m{n}", percent=50, send_cnt=50, fail_cnt=0)]) for n in (1, 2)
    }
    people = [str(500_001 + n) for n in range(200)]
    async with Campaign(
        channel,
        MESSAGE,
        people,
        journal=ModelJournal(),
        clock=auto_clock,
        max_group_size=100,
        poll=POLL,
    ) as run:
        report = await run.wait()
    assert report.pending == 200
    assert len(report.warnings) == 2
    assert all("at 50 percent" in text and "resume later" in text for text in report.warnings)
    followed = auto_clock.monotonic() - channel.group_times[1]
    assert followed == pytest.approx(POLL.give_up_after, abs=POLL.every)


@pytest.mark.parametrize(
    ("loopback", "poll", "seconds"),
    [
        (False, PollPolicy(), 60.0),
        (True, PollPolicy(), 1.0),
        (True, PollPolicy(first_after=7.0), 7.0),
        (False, PollPolicy(first_after=0.5), 0.5),
    ],
)
async def test_polling_begins_after_a_second_on_this_machine_unless_told_otherwise(
    loopback: bool,
    poll: PollPolicy,
    seconds: float,
    auto_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And until then, `progress` says when the first look will be."""
    channel = ScriptedWeChat(auto_clock)
    monkeypatch.setattr(ScriptedWeChat, "loopback", loopback)
    looked: list[float] = []
    said: list[float | None] = []
    people = [str(500_001 + n) for n in range(60)]
    campaign = Campaign(
        channel, MESSAGE, people, journal=ModelJournal(), clock=auto_clock, poll=poll
    )

    async def look(msg_id: str) -> Delivery:
        looked.append(auto_clock.monotonic())
        said.append(campaign.progress["groups"][0]["next_poll_at"])
        return Delivery(msg_id, percent=100, send_cnt=60, fail_cnt=0)

    channel.get_delivery = look  # type: ignore[method-assign]
    async with campaign as run:
        report = await run.wait()
    assert looked[0] - channel.group_times[0] == pytest.approx(seconds)
    assert said == [pytest.approx(auto_clock.time())]
    assert report.sent == 60
    assert "next_poll_at" not in report.to_dict()["groups"][0]


@pytest.mark.parametrize(("loopback", "seconds"), [(True, 1.0), (False, 60.0)])
async def test_follow_without_a_campaign_waits_likewise(
    loopback: bool, seconds: float, auto_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = ScriptedWeChat(auto_clock)
    monkeypatch.setattr(ScriptedWeChat, "loopback", loopback)
    channel.looks = {
        "m1": deque(Delivery("m1", percent=p, send_cnt=60, fail_cnt=0) for p in (99, 100))
    }
    assert (await channel.follow("m1")).percent == 100
    assert auto_clock.slept == [seconds]


NAMED_IN_TURNS = [
    Delivery("m1", percent=40, send_cnt=24, failures=(Failure("500001", "103010"),)),
    Delivery("m1", percent=80, send_cnt=48, failures=(Failure("500002", "43101"),)),
    Delivery("m1", percent=100, send_cnt=60, fail_cnt=3, failures=(Failure("500003", "103010"),)),
]


async def test_failures_that_earlier_polls_named_are_merged_with_the_last_ones(
    auto_clock: FakeClock,
) -> None:
    channel = ScriptedWeChat(auto_clock)
    channel.looks = {"m1": deque(NAMED_IN_TURNS)}
    people = [str(500_001 + n) for n in range(60)]
    async with Campaign(
        channel, MESSAGE, people, journal=ModelJournal(), clock=auto_clock, poll=POLL
    ) as run:
        report = await run.wait()
    assert (report.sent, report.failed, report.unknown) == (57, 3, 0)
    assert report.by_code == {"103010": 2, "43101": 1}
    assert report.warnings == []


async def test_follow_merges_what_each_poll_named(auto_clock: FakeClock) -> None:
    channel = ScriptedWeChat(auto_clock)
    channel.looks = {"m1": deque(NAMED_IN_TURNS)}
    delivery = await channel.follow("m1", poll=POLL)
    assert sorted(f.id for f in delivery.failures) == ["500001", "500002", "500003"]
    assert delivery.warnings == ()
