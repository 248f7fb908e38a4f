"""When a campaign may send: one decision from its start, its end, its hours and the time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clocks import china

from promomsg import UsageError
from promomsg.clock import Clock
from promomsg.engine.schedule.plan_times import check_times, late_notices, plan_times
from promomsg.engine.schedule.schedule import EARLIER, Schedule
from promomsg.engine.schedule.time_options import kept_times
from promomsg.engine.schedule.waiting import waiting_at
from promomsg.engine.settings import Settings, settings_of
from promomsg.errors import JournalError
from promomsg.fleet.asked_clock import AskedClock
from promomsg.hours import Hours, parse_hours
from promomsg.testing.fake_clock import FakeClock

HOUR = 3600.0


def schedule(**options: Any) -> Schedule:
    found = settings_of(options).in_zone_of("wechat").times.schedule()
    assert found is not None
    return found


def test_without_times_there_is_no_schedule() -> None:
    assert settings_of({"zone": "Asia/Tokyo"}).in_zone_of("alipay").times.schedule() is None


def test_before_its_start_nobody_is_sent_to() -> None:
    found = schedule(start_at="2026-12-12 09:00")
    before = found.opening(china("2026-12-11 10:00"))
    assert (before.is_closed, before.next_at) == (True, china("2026-12-12 09:00"))
    assert before.why == "it starts at 2026-12-12 09:00 (Asia/Shanghai)"
    assert found.opening(china("2026-12-12 09:00")).cohorts is None
    assert not before.holds(china("2026-12-12 09:00"))
    assert not before.holds(china("2026-12-11 09:59")), "the clock was set back"


def test_a_start_outside_its_hours_waits_for_them() -> None:
    found = schedule(start_at="2026-12-12 06:00", between="09:00-21:00")
    for now in ("2026-12-11 10:00", "2026-12-12 07:00"):
        assert found.opening(china(now)).next_at == china("2026-12-12 09:00")
    assert "2026-12-12 09:00" in found.opening(china("2026-12-11 10:00")).why


def test_hours_close_two_seconds_early_so_that_every_call_arrives_within_them() -> None:
    found = schedule(between=["Mon-Fri 09:00-21:00"])
    evening = china("2026-12-11 21:00")  # a Friday
    is_open = found.opening(evening - EARLIER - 0.001)
    assert (is_open.cohorts, is_open.closes_at) == (None, evening - EARLIER)
    closed = found.opening(evening - EARLIER)
    assert (closed.cohorts, closed.next_at) == ((), china("2026-12-14 09:00"))
    assert closed.why == (
        "outside its hours (Mon-Fri 09:00-21:00); it goes on at 2026-12-14 09:00 (Asia/Shanghai)"
    )


def test_from_finish_by_on_it_is_over() -> None:
    found = schedule(finish_by="2026-12-12 12:00", between="09:00-21:00")
    noon = china("2026-12-12 12:00")
    assert found.opening(noon - EARLIER - 1).closes_at == noon - EARLIER
    for late in (noon - EARLIER, noon, noon + 400 * 24 * HOUR):
        assert found.opening(late).is_over
        assert found.opening(late).is_closed
    night = schedule(finish_by="2026-12-12 08:00", between="09:00-21:00")
    waits = night.opening(china("2026-12-11 22:00"))
    assert waits.next_at == china("2026-12-12 08:00") - EARLIER, "what comes next is the end"
    assert "before they begin again" in waits.why


def test_cohorts_of_other_zones_open_and_close_by_their_own_clocks() -> None:
    found = Schedule(
        hours=parse_hours("09:00-10:00"),
        zone="Asia/Shanghai",
        zones=(None, "Asia/Tokyo", "Europe/Berlin", "Asia/Tokyo"),
    )
    begin = china("2026-12-12 08:00")  # nine in Tokyo
    assert found.opening(begin).cohorts == (1, 3)
    assert found.opening(begin).closes_at == begin + HOUR - EARLIER
    assert found.opening(begin).next_at == begin + HOUR
    assert found.opening(begin + HOUR).cohorts == (0,)
    assert found.opening(begin + 3 * HOUR).cohorts == ()
    assert found.opening(begin + 8 * HOUR).cohorts == (2,)
    done = found.work_through(begin, [1800.0, 0.0, 600.0, 900.0])
    assert (done.ends_at, done.left) == (begin + 8 * HOUR + 600.0, 0.0)


def test_work_goes_on_from_one_span_to_the_next() -> None:
    found = schedule(between="09:00-10:00", finish_by="2026-12-14 00:00")
    begin = china("2026-12-12 09:30")
    assert found.work_through(begin, [600.0]).ends_at == begin + 600.0
    assert found.work_through(begin, [2 * HOUR]).ends_at is None
    assert found.work_through(begin, [2 * HOUR]).left == pytest.approx(HOUR / 2 + 2 * EARLIER)
    assert found.work_through(begin, [HOUR]).ends_at == china("2026-12-13 09:30") + EARLIER
    assert found.work_through(begin, [0.0]) == (begin, 0.0)


def test_a_zone_is_looked_at_again_only_when_its_hours_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list may name hundreds, each with hours of its own, and a plan foretells days of work."""
    looks = []
    found = Hours.next_change

    def counted(hours: Hours, at: float, zone: ZoneInfo) -> float | None:
        looks.append(zone.key)
        return found(hours, at, zone)

    monkeypatch.setattr(Hours, "next_change", counted)
    zones = [f"Etc/GMT{offset:+}" for offset in range(-12, 13)]
    times = Schedule(hours=parse_hours("09:00-21:00"), zone=zones[0], zones=tuple(zones))
    begin = china("2026-12-12 09:00")
    assert times.work_through(begin, [86_400.0 / 5] * 25).ends_at is not None
    # Two changes a day, of which the end is a look further ahead.
    assert len(looks) <= 25 * 6 * 3


def test_a_plan_says_when_it_is_sent_and_warns_when_it_does_not_end_in_time() -> None:
    now = china("2026-12-12 20:00")
    found = schedule(
        start_at="2026-12-13 09:00", finish_by="2026-12-13 10:00", between="08:00-21:00"
    )
    assert check_times(found, now) == []
    times = plan_times(found, now, [1800.0])
    assert times is not None
    assert (times.begins_at, times.ends_at) == (
        china("2026-12-13 09:00"),
        china("2026-12-13 09:30"),
    )
    assert (times.hours, times.zone) == (("08:00-21:00",), "Asia/Shanghai")
    assert late_notices(found, now, [1800.0], 100) == []
    [late] = late_notices(found, now, [4 * HOUR], 1_000)
    assert "about 249 of 1,000 are sent to by then" in late
    assert plan_times(None, now, None) is None
    unlimited = plan_times(found, now, None)
    assert unlimited is not None
    assert unlimited.ends_at is None


def test_a_quota_of_the_day_makes_a_plan_end_days_later() -> None:
    begin = china("2026-12-12 20:00")
    # Three days' work: what is left of the first day is enough for its share.
    times = schedule(finish_by="2026-12-20 10:00")
    assert times.work_through(begin, [3 * HOUR], HOUR).ends_at == china("2026-12-14 01:00")
    # By two cohorts, within hours: each day's share goes when the hours open.
    hours = schedule(between="08:00-21:00", finish_by="2026-12-20 10:00")
    assert hours.work_through(begin, [HOUR, 2 * HOUR], 0.5 * HOUR).ends_at == china(
        "2026-12-17 08:30"
    )
    # A share that the hours do not take is not made up for on the next day.
    late = schedule(between="20:30-21:00")
    done = late.work_through(begin, [2 * HOUR], HOUR).ends_at
    assert done == pytest.approx(china("2026-12-16 20:30") + 4 * EARLIER)

    found = plan_times(times, begin, [3 * HOUR], HOUR)
    assert found is not None
    assert found.ends_at == china("2026-12-14 01:00")
    soon = schedule(finish_by="2026-12-13 12:00")
    [late_notice] = late_notices(soon, begin, [3 * HOUR], 300, HOUR)
    assert "about 200 of 300 are sent to by then" in late_notice
    assert late_notices(soon, begin, [3 * HOUR], 300) == []


def test_a_quota_that_takes_longer_than_a_year_has_no_end_that_is_known() -> None:
    begin = china("2026-12-12 20:00")
    assert schedule(between="08:00-21:00").work_through(begin, [1e9], 1.0).ends_at is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"finish_by": "2026-12-12 19:00"}, "is past: nothing could be sent"),
        (
            {"start_at": "2026-12-14 09:00", "finish_by": "2026-12-13 09:00"},
            "is not after start_at",
        ),
        ({"start_at": "2025-12-12 09:00"}, 'say "now" to begin at once'),
        (
            {"between": "09:00-10:00", "finish_by": "2026-12-13 08:00"},
            "there are no such hours before",
        ),
    ],
)
def test_times_that_cannot_be_meant_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_times(schedule(**options), china("2026-12-12 20:00"))


def test_a_start_that_is_a_little_past_begins_at_once_and_says_so() -> None:
    [notice] = check_times(schedule(start_at="2026-12-12 09:00"), china("2026-12-12 20:00"))
    assert notice == "start_at, 2026-12-12 09:00 (Asia/Shanghai), is past: it begins at once"


def test_a_wallet_has_no_zone_of_its_own() -> None:
    for options in (
        {"between": "09:00-21:00", "zone_column": "zone"},
        {"start_at": "2026-12-12 09:00"},
    ):
        with pytest.raises(UsageError, match="in which time zone"):
            settings_of(options).in_zone_of("alipay")
    told = settings_of({"start_at": "2026-12-12 09:00", "zone": "Asia/Manila"}).in_zone_of("alipay")
    assert told.start_at == "2026-12-12 09:00:00+08:00"
    aware = settings_of({"start_at": datetime(2026, 12, 12, 1, tzinfo=UTC)}).in_zone_of("alipay")
    assert aware.start_at == "2026-12-12 01:00:00+00:00"


@pytest.mark.parametrize(
    "options",
    [
        {"between": 9}, {"between": b"09:00-21:00"}, {"zone": "Asia/Shangai"}, {"zone_column": " "},
        {"start_at": "soon"}, {"finish_by": datetime(2026, 12, 12)},
    ],
)  # fmt: skip
def test_an_option_that_is_not_what_it_should_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        settings_of(options)


def test_the_journal_keeps_the_times_and_they_mean_the_same_later() -> None:
    settings = settings_of(
        {"start_at": "2026-12-12 09:00", "finish_by": "2026-12-13 09:00", "between": "09:00-21:00"}
    ).in_zone_of("wechat")
    kept = settings.snapshot()
    assert Settings.from_snapshot(kept) == settings == settings.in_zone_of("wechat")
    assert kept_times(kept) == settings.times
    assert not kept_times({"concurrency": 64}).are_given, "a journal of an earlier version"
    with pytest.raises(JournalError, match="cannot be read back"):
        kept_times({"start_at": 5})


def test_now_takes_a_start_back() -> None:
    assert settings_of({"start_at": "now"}).times.schedule() is None


def test_who_waits_is_told_for_what() -> None:
    now = china("2026-12-12 20:00")
    found = schedule(start_at="2026-12-13 09:00", finish_by="2026-12-14 09:00")
    waiting = waiting_at(found.opening(now), now + 60, now)
    assert (waiting.until, waiting.why) == (
        china("2026-12-13 09:00"),
        "it starts at 2026-12-13 09:00 (Asia/Shanghai)",
    )
    is_open = found.opening(china("2026-12-13 10:00"))
    assert waiting_at(is_open, None, now).why == ""
    assert "daily quota" in waiting_at(is_open, now + 60, now).why
    assert waiting_at(found.opening(china("2026-12-15 10:00")), None, now).why == ""


@pytest.mark.asyncio
async def test_another_machines_clock_is_counted_on_until_this_machines_clocks_run_apart(
    clock: FakeClock,
) -> None:
    mine: Clock = clock
    asked = AskedClock(mine, 5_000.0)
    await clock.advance(100.0)
    assert asked.time() == 5_100.0
    clock.jump(1.0)  # as NTP may
    assert asked.time() == 5_100.0
    for jump in (HOUR, -HOUR):
        clock.jump(jump)
        assert asked.time() is None
        clock.jump(-jump)
        assert asked.time() == 5_100.0
