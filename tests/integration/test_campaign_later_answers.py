"""What the provider says of a campaign on later days: clicks, and group sends whose answer was lost.

Each look is made by a process of its own, with nobody there in between.
"""

from __future__ import annotations

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, ids, wechat
from clocks import FakeClock

import promomsg
from promomsg import Report, WeChatPromoter, open_journal
from promomsg.clock import china_day
from promomsg.engine.following.later_answers import (
    LookDone,
    keep_due_clicks,
    look_for_lost_groups,
)
from promomsg.engine.following.reconcile import reconcile
from promomsg.engine.later_days.due_days import spread_of
from promomsg.journal.contract import Journal
from promomsg.journal.records import CampaignRecord, ClickDay
from promomsg.model import ClickCount
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

DAY = 86_400.0
LOST = FaultPlan([Fault(endpoint="sendmsg", kind="drop_after_delivering")])


def record_of(journal: Journal) -> CampaignRecord:
    with open_journal(journal) as opened:
        return opened.record


def report_of(journal: Journal) -> Report:
    with open_journal(journal) as opened:
        return opened.report()


def clicks_of(journal: Journal) -> list[ClickDay]:
    view = journal.reader()
    try:
        return view.clicks()
    finally:
        view.close()


class Days:
    """A process that comes now and then, to look at one campaign."""

    def __init__(self, box: Sandbox, journal: Journal) -> None:
        self.box = box
        self.journal = journal
        self.next_at: float | None = 0.0
        self.looks = 0

    async def look(self, what: str = "clicks") -> LookDone:
        clock = FakeClock(start=self.box.clock.time())
        async with wechat(self.box, clock=clock) as channel:
            work = keep_due_clicks if what == "clicks" else look_for_lost_groups
            return await work(self.journal, channel, clock=clock)

    async def pass_by(self, days: float, what: str = "clicks") -> None:
        """So many days go by; whenever a look is due, it is made."""
        end = self.box.clock.time() + days * DAY
        while self.next_at is not None and self.next_at <= end:
            self.box.clock.advance(max(self.next_at - self.box.clock.time(), 0.0))
            done = await self.look(what)
            self.looks += 1
            assert done.trouble == ""
            assert done.next_at is None or done.next_at > self.box.clock.time()
            self.next_at = done.next_at
        self.box.clock.advance(max(end - self.box.clock.time(), 0.0))


async def test_clicks_are_kept_once_a_day_until_they_do_not_move_any_more(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.click_rate = 0.5
    report = await promomsg.send(channel, MESSAGE, ids(100), journal=journal, **QUICK)
    await channel.send_group(MESSAGE, promomsg.Promoters(ids(60, 900_001)))  # another campaign's
    [group] = report.groups
    days = Days(box, journal)
    await days.pass_by(0)
    assert (clicks_of(journal), box.calls["getmsgclickdata"]) == ([], 0)
    await days.pass_by(2)
    [found] = [one for one in clicks_of(journal) if one.counts]
    [count] = found.counts
    assert (found.by_message, count.msg_id) == (True, group.msg_id)
    assert count.people is not None
    assert 0 < count.people < 50
    await days.pass_by(8)
    [found] = [one for one in clicks_of(journal) if one.counts]
    assert found.counts == (ClickCount(msg_id=group.msg_id, people=50, clicks=75),)
    assert days.next_at is None
    # The day itself, at which there is nothing yet, seven days that move, and one look more. (What was
    # sent at midnight is asked for on two days.)
    assert days.looks in (9, 10)
    asked = box.calls["getmsgclickdata"]
    assert asked == 8 * len(clicks_of(journal))


async def test_single_sends_have_the_clicks_of_their_type(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.click_rate = 1.0
    await promomsg.send(channel, PERSONAL, ids(20), journal=journal, **QUICK)
    days = Days(box, journal)
    await days.pass_by(9)
    [found] = [one for one in clicks_of(journal) if one.counts]
    assert (found.by_message, found.counts) == (False, (ClickCount(people=20, clicks=30),))
    assert found.day == china_day(box.clock.time() - 9 * DAY)


async def test_a_campaign_that_nobody_looked_at_for_weeks_has_its_clicks_and_after_90_days_none(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.click_rate = 1.0
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    box.clock.advance(100 * DAY)
    assert await Days(box, journal).look() == LookDone()
    assert clicks_of(journal) == []


async def test_one_look_weeks_later_is_the_last_one(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.click_rate = 1.0
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    box.clock.advance(60 * DAY)
    days = Days(box, journal)
    first, second = await days.look(), await days.look()
    assert (first.next_at, second) == (None, LookDone())
    assert sum(count.people or 0 for one in clicks_of(journal) for count in one.counts) == 60


async def test_a_look_that_fails_is_made_again_within_the_hour_and_keeps_what_there_was(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    box.clock.advance(2 * DAY)
    box.faults = FaultPlan([Fault(endpoint="getmsgclickdata", errcode=48001)])
    days = Days(box, journal)
    done = await days.look()
    assert "could not be had" in done.trouble
    assert done.next_at == pytest.approx(box.clock.time() + 3600, abs=60)
    assert clicks_of(journal) == []
    box.faults = FaultPlan()
    await days.pass_by(1)
    assert any(one.counts for one in clicks_of(journal))
    assert report_of(journal).warnings == []


async def test_a_lost_group_send_is_found_and_said_and_not_taken_over(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.click_rate = 1.0
    box.faults = LOST
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    box.faults = FaultPlan()
    days = Days(box, journal)
    await days.pass_by(3, "lost")
    report = report_of(journal)
    assert (report.unknown, [group.state for group in report.groups]) == (60, ["unknown"])
    [warning] = [text for text in report.warnings if "its answer was lost" in text]
    assert "can only be it" in warning
    assert "promomsg reconcile --adopt" in warning
    assert days.next_at is None
    assert days.looks in (2, 3)  # the day of the send, which midnight may end, and the next
    await days.look("lost")
    assert report_of(journal).warnings == report.warnings
    clock = FakeClock(start=box.clock.time())
    async with wechat(box, clock=clock) as later:
        [match] = await reconcile(journal, later, adopt=True, clock=clock)
    assert match.msg_id is not None
    assert match.msg_id in warning


async def test_one_that_cannot_be_found_is_looked_for_until_its_result_is_gone_and_then_said(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.click_rate = 0.0  # a message without clicks is not listed
    box.faults = LOST
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    box.faults = FaultPlan()
    days = Days(box, journal)
    await days.pass_by(5, "lost")
    assert not any("its answer was lost" in text for text in report_of(journal).warnings)
    await days.pass_by(5, "lost")
    [warning] = [text for text in report_of(journal).warnings if "its answer was lost" in text]
    assert "it was not found" in warning
    assert days.next_at is None
    assert 7 <= days.looks <= 8


async def test_a_campaign_that_is_not_over_is_looked_at_again_the_next_day(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await promomsg.Campaign(channel, PERSONAL, ids(5), journal=journal, **QUICK).hand_over()
    days = Days(box, journal)
    spread = spread_of(record_of(journal).run_id)
    for what in ("clicks", "lost"):
        done = await days.look(what)
        assert done.next_at is not None
        assert (done.next_at - spread + 8 * 3600) % DAY == 0
        assert 0 < done.next_at - box.clock.time() < DAY + 7200
