"""Groups that nobody stays for: polled over days by processes of which none outlives its poll."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from clocks import FakeClock
from journal_model import ModelJournal
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, PollPolicy, Report, WeChatMessage, open_journal
from promomsg.delivery import RESULT_LIFE, later_poll_in
from promomsg.engine.joining import Part, do_part
from promomsg.model import Delivery

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
PEOPLE = [str(500_001 + n) for n in range(60)]
POLLS = Part(polls=True)
DAY = 86_400.0


def half(msg_id: str = "m1") -> Delivery:
    return Delivery(msg_id, percent=50, send_cnt=30, fail_cnt=0)


def whole(msg_id: str = "m1") -> Delivery:
    return Delivery(msg_id, percent=100, send_cnt=60, fail_cnt=0)


def report_of(journal: ModelJournal) -> Report:
    with open_journal(journal) as opened:
        return opened.report()


async def sent_once(clock: FakeClock, *looks: Delivery) -> tuple[ModelJournal, float]:
    """A campaign whose one group send is out; when its first poll is due."""
    journal, channel = ModelJournal(clock), ScriptedWeChat(clock)
    await Campaign(channel, MESSAGE, PEOPLE, journal=journal, clock=clock).hand_over()
    done = await do_part(journal, channel, Part(groups=True), clock=clock)
    assert done.next_poll_at is not None
    return journal, done.next_poll_at


async def poll_until(
    journal: ModelJournal, clock: FakeClock, looks: deque[Delivery], due: float | None, end: float
) -> tuple[list[float], float | None]:
    """Polls whenever a poll is due until `end`, each time by a process of its own; the moments."""
    polled = []
    while due is not None and due <= end:
        await clock.advance(max(due - clock.time(), 0.0))
        channel = ScriptedWeChat(clock)
        channel.looks["m1"] = looks
        polled.append(clock.time())
        done = await do_part(journal, channel, POLLS, clock=clock)
        assert done.next_poll_at is None or done.next_poll_at > clock.time()
        due = done.next_poll_at
    return polled, due


async def test_a_group_is_followed_past_the_time_at_which_a_process_gives_up(
    clock: FakeClock,
) -> None:
    """More and more seldom, and its result is taken three days later."""
    journal, due = await sent_once(clock)
    began = clock.time()
    polled, next_due = await poll_until(journal, clock, deque([half()]), due, began + 3 * DAY)
    assert len(polled) < 150
    pauses = [after - before for before, after in pairwise(polled)]
    assert max(pauses) <= 3 * 3600 + 1
    assert [pause for pause in pauses if pause > 125] == sorted(
        pause for pause in pauses if pause > 125
    )
    assert report_of(journal).warnings == []
    assert not any(group.given_up for group in report_of(journal).groups)
    _, last = await poll_until(journal, clock, deque([whole()]), next_due, began + 4 * DAY)
    assert last is None
    assert (report_of(journal).state, report_of(journal).sent) == ("done", 60)


async def test_a_group_that_a_process_has_given_up_is_polled_on(auto_clock: FakeClock) -> None:
    journal, channel = ModelJournal(auto_clock), ScriptedWeChat(auto_clock)
    channel.looks["m1"] = deque([half()])
    poll = PollPolicy(give_up_after=300.0)
    async with Campaign(
        channel, MESSAGE, PEOPLE, journal=journal, clock=auto_clock, poll=poll
    ) as run:
        report = await run.wait()
    assert (report.state, report.pending) == ("following", 60)
    [group] = report.groups
    assert group.given_up
    channel.looks["m1"] = deque([whole()])
    done = await do_part(journal, channel, POLLS, clock=auto_clock)
    assert (done.state, done.next_poll_at) == ("following", group.next_poll_at)
    assert group.next_poll_at is not None
    await auto_clock.sleep(group.next_poll_at - auto_clock.time())
    assert (await do_part(journal, channel, POLLS, clock=auto_clock)).state == "done"
    assert report_of(journal).sent == 60


async def test_the_last_day_is_said_once_and_the_last_look_is_right_before_the_end(
    clock: FakeClock,
) -> None:
    journal, due = await sent_once(clock)
    [group] = report_of(journal).groups
    assert group.sent_at is not None
    end = group.sent_at + RESULT_LIFE
    polled, due_after = await poll_until(journal, clock, deque([half()]), due, end)
    assert end - 600 in [pytest.approx(moment, abs=1) for moment in polled]
    [warning] = report_of(journal).warnings
    assert "its result can be had for another" in warning
    await poll_until(journal, clock, deque([half()]), due_after, end + DAY)
    report = report_of(journal)
    assert (report.state, report.unknown, report.by_code) == ("done", 60, {"EXPIRED": 60})
    assert len(report.warnings) == 2
    assert polled[-1] <= end


async def test_a_group_that_nobody_polled_for_ten_days_is_over_at_the_first_poll(
    clock: FakeClock,
) -> None:
    journal, _ = await sent_once(clock)
    await clock.advance(10 * DAY)
    channel = ScriptedWeChat(clock)  # who would ask the provider would find no `m1`
    done = await do_part(journal, channel, POLLS, clock=clock)
    assert (done.state, done.next_poll_at) == ("done", None)
    assert report_of(journal).by_code == {"EXPIRED": 60}


async def test_a_poll_that_is_lost_or_made_twice_changes_nothing(clock: FakeClock) -> None:
    journal, due = await sent_once(clock)
    await clock.advance(due - clock.time())
    for _ in range(2):
        channel = ScriptedWeChat(clock)
        channel.looks["m1"] = deque([half()])
        await do_part(journal, channel, POLLS, clock=clock)
    [group] = report_of(journal).groups
    assert group.polls == 1


@pytest.mark.parametrize(
    ("wait", "followed", "age", "then"),
    [
        (120.0, 60.0, 60.0, 120.0),
        (120.0, 7_200.0, 7_200.0, 600.0),
        (120.0, 86_400.0, 86_400.0, 7_200.0),
        (120.0, 3 * 86_400.0, 3 * 86_400.0, 10_800.0),
        (14_400.0, 86_400.0, 86_400.0, 14_400.0),  # as the provider asked for
        (120.0, 6e5, RESULT_LIFE - 1_000.0, 400.0),
        (10_800.0, 6e5, RESULT_LIFE - 600.0, 601.0),
    ],
)
async def test_the_pause_before_a_later_poll(
    wait: float, followed: float, age: float, then: float
) -> None:
    assert later_poll_in(PollPolicy(), wait=wait, followed=followed, age=age) == then
