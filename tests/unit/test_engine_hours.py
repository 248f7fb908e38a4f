"""Campaigns that are sent at their times: nobody gets a message outside of them, whatever happens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clocks import FakeClock, china, utc
from journal_model import ModelJournal
from run_controls import run_control
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, Pace, PollPolicy, Report, UsageError, WeChatMessage
from promomsg.engine.schedule.schedule import Schedule
from promomsg.model import Answer, Delivery, Verdict

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "三件五折"}, "pages/index/index")
PERSONAL = WeChatMessage(1, {"title": "{key}"}, "pages/index/index")
POLL = PollPolicy(first_after=30, every=60)
SLOW = Pace(singles_per_minute=1, groups_per_minute=1)
HOUR = 3600.0


def people(count: int) -> list[str]:
    return [str(500_001 + n) for n in range(count)]


class Dated(ScriptedWeChat):
    """Remembers the wall clock of each call that left, single and group."""

    def __init__(self, clock: FakeClock, pace: Pace = SLOW) -> None:
        super().__init__(clock, pace)
        self.left_at: list[float] = []
        self.each: Callable[[], Any] = lambda: None

        async def note() -> None:
            self.left_at.append(clock.time())
            self.each()

        self.before_single = self.before_group = note


async def sent(
    channel: Dated,
    clock: FakeClock,
    count: int,
    journal: ModelJournal | None = None,
    **options: Any,
) -> Report:
    """Sends to so many, and closes: single sends."""
    async with Campaign(
        channel, PERSONAL, people(count), journal=journal or ModelJournal(), clock=clock, **options
    ) as run:
        return await run.wait()


@pytest.mark.parametrize(
    ("zone", "begin", "between", "windows"),
    [
        # At 01:00 UTC the clocks there are set from 02:00 to 03:00.
        (
            "Europe/Berlin",
            "2026-03-29 00:20",
            ["01:30-02:30", "03:10-03:25"],
            [("2026-03-29 00:30", "2026-03-29 01:00"), ("2026-03-29 01:10", "2026-03-29 01:25")],
        ),
        # At 01:00 UTC they are set from 03:00 to 02:00: 02:30 is shown at 00:30 and at 01:30.
        (
            "Europe/Berlin",
            "2026-10-25 00:20",
            ["02:30-02:50"],
            [("2026-10-25 00:30", "2026-10-25 00:50"), ("2026-10-25 01:30", "2026-10-25 01:50")],
        ),
        (
            "Asia/Shanghai",
            "2026-10-25 00:20",
            ["08:30-08:50", "09:30-09:50"],
            [("2026-10-25 00:30", "2026-10-25 00:50"), ("2026-10-25 01:30", "2026-10-25 01:50")],
        ),
    ],
)
async def test_nobody_gets_a_message_outside_their_hours(
    zone: str, begin: str, between: list[str], windows: list[tuple[str, str]]
) -> None:
    clock = FakeClock(start=utc(begin), auto=True)
    channel = Dated(clock)
    report = await sent(channel, clock, 36, between=between, zone=zone)
    assert (report.state, report.sent) == ("done", 36)
    by_window = [
        [at for at in channel.left_at if utc(first) <= at < utc(last)] for first, last in windows
    ]
    assert sum(map(len, by_window)) == 36, "all of them are within one"
    assert all(by_window), "and both are used"


async def test_a_campaign_starts_at_its_time_and_says_so_meanwhile(clock: FakeClock) -> None:
    channel = Dated(clock)
    start = clock.time() + 0.5 * HOUR
    async with Campaign(
        channel,
        PERSONAL,
        people(3),
        journal=ModelJournal(),
        clock=clock,
        start_at=datetime.fromtimestamp(start, UTC),
    ) as run:
        await clock.advance(60.0)
        waiting = run.progress
        assert (waiting.state, waiting.waits_until) == ("waiting", start)
        assert waiting.reason.startswith("it starts at ")
        assert waiting.to_dict()["waits_until"] == start
        await clock.advance_until(lambda: not run.progress.pending, 30.0)
        report = await run.wait()
    assert (report.state, report.sent, report.waits_until) == ("done", 3, None)
    assert start <= channel.left_at[0] < start + 1.0
    assert "waits_until" not in report.to_dict()


async def test_a_clock_that_is_set_into_the_hours_is_noticed_at_once(clock: FakeClock) -> None:
    channel = Dated(clock, Pace(unlimited=True))
    async with Campaign(
        channel,
        PERSONAL,
        people(3),
        journal=ModelJournal(),
        clock=clock,
        start_at=datetime.fromtimestamp(clock.time() + 6 * HOUR, UTC),
    ) as run:
        await clock.advance(5.0)
        assert run.progress.state == "waiting"
        clock.jump(6 * HOUR)
        await clock.advance(1.0)
        assert run.progress.sent == 3


@pytest.mark.parametrize("jump", [5 * HOUR, -5 * HOUR, 400 * 24 * HOUR])
async def test_a_clock_that_is_set_moves_the_start(clock: FakeClock, jump: float) -> None:
    start = clock.time() + 6 * HOUR
    control = run_control(clock, schedule=Schedule(start_at=start))
    waiting = asyncio.ensure_future(control.until_sending())
    await clock.advance(60.0)
    clock.jump(jump)
    left = max(start - clock.time(), 0.0)
    await clock.advance(max(left - 1.0, 0.0))
    assert not waiting.done()
    assert control.may_send() is (left == 0.0)
    await clock.advance(61.0)
    assert waiting.done()
    assert control.may_send()
    assert max(clock.slept) <= 60.0


async def test_a_clock_that_is_set_over_the_end_of_the_hours_stops_the_sends() -> None:
    clock = FakeClock(start=utc("2026-12-12 02:00"))  # ten in Shanghai
    channel = Dated(clock)
    async with Campaign(
        channel, PERSONAL, people(9), journal=ModelJournal(), clock=clock, between="09:00-21:00"
    ) as run:
        # To the night and back, to before the morning and on: whoever is up next waits.
        for calls, away, back in ((3, 12 * HOUR, -13 * HOUR), (6, -4 * HOUR, 5 * HOUR)):
            await clock.advance_until(lambda calls=calls: len(channel.left_at) == calls, 10.0)
            clock.jump(away)
            await clock.advance(300.0)
            assert run.progress.state == "waiting"
            assert len(channel.left_at) == calls
            clock.jump(back)
        await clock.advance_until(lambda: not run.progress.pending, 10.0)
        assert (await run.wait()).sent == 9


async def test_a_hold_of_the_provider_does_not_carry_a_send_out_of_its_hours() -> None:
    clock = FakeClock(start=utc("2026-12-12 12:50"), auto=True)
    channel = Dated(clock, Pace(unlimited=True))
    held = Answer(Verdict.THROTTLED, "45011", "slow down", retry_after=1_200.0)
    channel.single_answers = deque([held])
    hours = ["09:00-21:00", "21:30-22:00"]
    report = await sent(channel, clock, 3, between=hours, concurrency=1)
    assert report.sent == 3
    first, *others = channel.left_at
    assert first < utc("2026-12-12 13:00")
    assert min(others) >= utc("2026-12-12 13:30")
    attempts = [outcome.attempts for outcome in report.outcomes()]
    assert sorted(attempts) == [1, 1, 2], "who was held back was not called, and that is no attempt"


async def test_what_is_not_sent_by_finish_by_is_cancelled() -> None:
    clock = FakeClock(auto=True)
    channel = Dated(clock)
    end = clock.time() + 600.0
    report = await sent(channel, clock, 30, finish_by=datetime.fromtimestamp(end, UTC))
    assert (report.state, report.by_code) == ("cancelled", {"FINISH_BY": report.cancelled})
    assert report.reason == f"{report.cancelled} were not sent by finish_by"
    assert report.sent == len(channel.left_at) == 30 - report.cancelled
    assert 0 < report.sent < 30
    assert max(channel.left_at) < end


async def test_finish_by_counts_for_a_later_resume_too(clock: FakeClock) -> None:
    clock = FakeClock(auto=True)
    channel, journal = Dated(clock), ModelJournal()
    end = clock.time() + 600.0
    options: dict[str, Any] = {"finish_by": datetime.fromtimestamp(end, UTC)}
    async with Campaign(
        channel, PERSONAL, people(5), journal=journal, clock=clock, **options
    ) as run:
        async for _ in run:
            break
    left = run.report.pending
    assert left
    later = FakeClock(start=end + 1.0, auto=True)
    again = Dated(later)
    async with Campaign.resume(journal, again, clock=later) as resumed:
        report = await resumed.wait()
    assert (report.state, report.by_code) == ("cancelled", {"FINISH_BY": left})
    assert again.left_at == []


async def test_groups_keep_the_times_too_and_those_that_are_out_are_followed_on() -> None:
    clock = FakeClock(auto=True)
    channel = Dated(clock)
    start = clock.time() + 600.0
    # Of four groups two are out by then, and the first of them takes longer than that.
    end = start + 90.0
    slow = Delivery("m1", percent=50, send_cnt=50, fail_cnt=0)
    channel.looks["m1"] = deque(
        [slow] * 5 + [Delivery("m1", percent=100, send_cnt=100, fail_cnt=0)]
    )
    async with Campaign(
        channel,
        MESSAGE,
        people(400),
        journal=ModelJournal(),
        clock=clock,
        max_group_size=100,
        poll=POLL,
        start_at=datetime.fromtimestamp(start, UTC),
        finish_by=datetime.fromtimestamp(end, UTC),
    ) as run:
        report = await run.wait()
    assert all(start <= at < end for at in channel.left_at)
    assert (report.sent, report.by_code) == (200, {"FINISH_BY": 200})
    assert [group.state for group in report.groups] == ["done", "done", "cancelled", "cancelled"]


async def test_a_campaign_that_was_left_while_it_waited_goes_on_at_its_hour() -> None:
    clock = FakeClock(start=utc("2026-12-12 20:00"))
    journal = ModelJournal()
    async with Campaign(
        Dated(clock), PERSONAL, people(2), journal=journal, clock=clock, between="09:00-21:00"
    ) as run:
        await clock.advance(10.0)
        assert run.progress.state == "waiting"
    assert (run.report.state, run.report.pending) == ("waiting", 2)
    later = FakeClock(start=utc("2026-12-13 00:59"), auto=True)
    channel = Dated(later)
    async with Campaign.resume(journal, channel, clock=later) as resumed:
        report = await resumed.wait()
    assert report.sent == 2
    assert utc("2026-12-13 01:00") <= channel.left_at[0] < utc("2026-12-13 01:01")


async def test_a_resume_may_begin_at_once_and_keeps_other_times_that_it_is_given() -> None:
    clock = FakeClock(start=utc("2026-12-12 05:00"))
    journal = ModelJournal()
    async with Campaign(
        Dated(clock), PERSONAL, people(2), journal=journal, clock=clock, start_at="2035-11-11 09:00"
    ) as run:
        await clock.advance(1.0)
    later = FakeClock(start=utc("2026-12-12 20:00"))  # four in the morning
    waits = Dated(later)
    async with Campaign.resume(
        journal, waits, clock=later, start_at="now", between="09:00-21:00"
    ) as run:
        await later.advance(10.0)
        assert run.progress.waits_until == utc("2026-12-13 01:00")
    again = FakeClock(start=utc("2026-12-13 00:00"), auto=True)
    channel = Dated(again)
    async with Campaign.resume(journal, channel, clock=again) as run:
        assert (await run.wait()).sent == 2
    assert min(channel.left_at) >= utc("2026-12-13 01:00")


async def test_a_pause_of_a_campaign_that_waits_is_a_pause(clock: FakeClock) -> None:
    async with Campaign(
        Dated(clock),
        PERSONAL,
        people(2),
        journal=ModelJournal(),
        clock=clock,
        start_at="2035-11-11 09:00",
    ) as run:
        await clock.advance(1.0)
        assert run.progress.state == "waiting"
        await run.pause()
        assert run.progress.state == "paused"
        await run.cancel()
        report = await run.wait()
    assert (report.state, report.by_code) == ("cancelled", {"CANCELLED": 2})


async def test_the_log_says_for_what_a_campaign_waits(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "promomsg.engine")
    async with Campaign(
        Dated(clock),
        PERSONAL,
        people(2),
        journal=ModelJournal(),
        clock=clock,
        start_at="2035-11-11 09:00",
    ):
        await clock.advance(300.0)
    [record] = [r for r in caplog.records if getattr(r, "event", "") == "campaign.waiting"]
    assert record.getMessage() == (
        "campaign: waiting: it starts at 2035-11-11 09:00 (Asia/Shanghai)"
    )
    assert record.until == china("2035-11-11 09:00")  # type: ignore[attr-defined]


async def test_who_waits_for_hours_does_not_wait_for_members_of_groups_that_are_out() -> None:
    clock = FakeClock(start=utc("2026-12-12 12:58"), auto=True)  # two minutes before nine
    journal = ModelJournal()
    channel = Dated(clock)
    slow = Delivery("m1", percent=50, send_cnt=50, fail_cnt=0)
    channel.looks["m1"] = deque([slow] * 3 + [Delivery("m1", percent=100, send_cnt=60, fail_cnt=0)])
    options: dict[str, Any] = {"journal": journal, "clock": clock, "poll": POLL}
    async with Campaign(channel, MESSAGE, people(60), between="09:00-21:00", **options) as run:
        await run.submit()
    night = FakeClock(start=utc("2026-12-12 13:30"), auto=True)
    again = Dated(night)
    again.looks = channel.looks
    async with Campaign.resume(journal, again, clock=night) as resumed:
        await (
            resumed.submit()
        )  # nothing is left to be called, so it does not last until the morning
        assert night.time() < utc("2026-12-12 13:32")
        assert (await resumed.wait()).sent == 60
    assert night.time() < utc("2026-12-12 13:45")


async def test_times_that_were_shown_and_not_agreed_to_change_nothing() -> None:
    clock, journal = FakeClock(start=utc("2026-12-12 05:00")), ModelJournal()
    async with Campaign(
        Dated(clock), PERSONAL, people(2), journal=journal, clock=clock, start_at="2035-11-11 09:00"
    ) as run:
        await clock.advance(1.0)
    shown = Campaign.resume(journal, Dated(clock), clock=clock, start_at="now")
    assert (await shown.plan()).times is None
    await shown.discard()
    channel = Dated(clock)
    async with Campaign.resume(journal, channel, clock=clock) as run:
        await clock.advance(5.0)
        assert (run.progress.state, channel.left_at) == ("waiting", [])


async def test_a_retry_behind_finish_by_is_refused_and_nobody_is_lost_by_it() -> None:
    clock, journal = FakeClock(auto=True), ModelJournal()
    channel = Dated(clock)
    channel.single_answers = deque([Answer(Verdict.FAILED, "43101", "no")])
    end = clock.time() + 600.0
    report = await sent(
        channel, clock, 2, journal, finish_by=datetime.fromtimestamp(end, UTC), zone="Asia/Tokyo"
    )
    assert (report.sent, report.failed) == (1, 1)
    later = FakeClock(start=end + HOUR, auto=True)
    again = Campaign.retry(journal, Dated(later), failed=True, clock=later)
    with pytest.raises(UsageError, match="is past: nobody would be sent to again"):
        await again.plan()
    async with Campaign.retry(
        journal, Dated(later), failed=True, clock=later, finish_by="2035-11-11 09:00"
    ) as run:
        assert (await run.wait()).sent == 2


async def test_a_plan_of_several_zones_foretells_when_the_last_of_them_is_sent_to() -> None:
    clock = FakeClock(start=utc("2026-10-24 23:50"), auto=True)  # the night of the change in Berlin
    channel = Dated(clock)
    zones = ("Asia/Tokyo", "", "Europe/Berlin")
    rows = [
        {"key": f"{zone} {n}", "id": f"{at}0000{n}", "zone": zone}
        for at, zone in enumerate(zones, 5)
        for n in range(1, 5)
    ]
    campaign = Campaign(
        channel,
        PERSONAL,
        rows,
        journal=ModelJournal(),
        clock=clock,
        between=["09:00-09:10", "02:50-03:00"],
        zone_column="zone",
    )
    times = (await campaign.plan()).times
    assert times is not None
    assert times.begins_at == utc("2026-10-25 00:00"), "nine in Tokyo"
    async with campaign as run:
        report = await run.wait()
    assert (report.state, report.sent) == ("done", 12)
    for outcome in report.outcomes():
        assert outcome.at is not None
        zone = str(outcome.recipient.key).rpartition(" ")[0] or "Asia/Shanghai"
        local = datetime.fromtimestamp(outcome.at, ZoneInfo(zone)).strftime("%H:%M")
        assert "09:00" <= local < "09:10" or "02:50" <= local < "03:00", (zone, local)
    assert max(channel.left_at) == pytest.approx(times.ends_at, abs=61.0)
