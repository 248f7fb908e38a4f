"""Hours of the week and moments, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from promomsg import UsageError
from promomsg.hours import find_zone, format_moment, parse_hours, parse_moment

NINE, NOON, EVENING = 9 * 60, 12 * 60, 21 * 60
DAY = 1440


def spans(*texts: str) -> tuple[tuple[int, int], ...]:
    return parse_hours(texts).spans


def test_hours_are_of_each_day_or_of_some_days_of_the_week() -> None:
    assert spans("09:00-21:00") == tuple((NINE + d * DAY, EVENING + d * DAY) for d in range(7))
    assert spans("Mon,Wed 9:00 - 12:00") == ((NINE, NOON), (NINE + 2 * DAY, NOON + 2 * DAY))
    assert spans("sat-mon 09:00-12:00") == spans("Saturday,SUNDAY,Mon 09:00-12:00")
    assert spans("00:00-24:00") == ((0, 7 * DAY),)


def test_spans_may_touch_overlap_and_go_over_midnight() -> None:
    assert spans("Mon 09:00-12:00", "Mon 12:00-21:00", "Mon 10:00-11:00") == ((NINE, EVENING),)
    assert spans("Mon 22:00-02:00") == ((22 * 60, 26 * 60),)
    assert spans("Sun 22:00-02:00") == ((0, 120), (6 * DAY + 22 * 60, 7 * DAY))
    assert spans("Mon 20:00-00:00") == spans("Mon 20:00-24:00")


def test_hours_may_be_typed_as_in_china() -> None:
    assert (
        spans("09：00－21：00")
        == spans("09:00–21:00")
        == spans("09:00~21:00")
        == spans("09:00-21:00")
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("9-21", "is not hours"),
        ("09:00-25:00", "25:00 is no time of day"),
        ("09:00-09:00", 'the whole day is "00:00-24:00"'),
        ("24:00-09:00", 'the whole day is "00:00-24:00"'),
        ("Mo 09:00-21:00", "'Mo' is no day of the week"),
        ("Thirsday 09:00-21:00", "did you mean 'thursday'"),
        ([], "no hours"),
        ([9], "9 is not text"),
    ],
)
def test_what_is_no_hours_is_refused_in_one_line(given: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        parse_hours(given)
    assert "\n" not in str(refused.value)


def test_a_zone_is_known_by_its_name() -> None:
    assert find_zone("Asia/Shanghai").key == "Asia/Shanghai"
    for name, told in (
        ("asia/shanghai", "did you mean 'Asia/Shanghai'"),
        ("../etc", "write one like"),
    ):
        with pytest.raises(UsageError, match=told):
            find_zone(name)
    for wrong in ("", None, 8):
        with pytest.raises(UsageError, match="a time zone by its name"):
            find_zone(wrong)


def test_a_moment_is_text_of_a_zone_or_says_its_offset() -> None:
    shanghai = find_zone("Asia/Shanghai")
    wanted = datetime(2026, 12, 12, 1, tzinfo=UTC)
    for given in (
        "2026-12-12 09:00", "2026-12-12T09:00:00", "2026-12-12 02:00+01:00", "2026-12-12 01:00Z",
        datetime(2026, 12, 12, 10, tzinfo=timezone(timedelta(hours=9))),
    ):  # fmt: skip
        assert parse_moment(given, shanghai, "start_at") == wanted
    assert format_moment(wanted.timestamp(), "Asia/Shanghai") == "2026-12-12 09:00 (Asia/Shanghai)"
    assert format_moment(wanted.timestamp() + 1, None) == "2026-12-12 01:00:01 (UTC)"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("2026-03-29 02:30", "the clocks of Europe/Berlin skip this time on that day"),
        ("2026-10-25 02:30", r"twice .* 2026-10-25 02:30\+02:00 or 2026-10-25 02:30\+01:00"),
        ("2026-13-01 09:00", "there is no such day or time"),
        ("2026-12-12", "a day and a time"),
        ("tomorrow", "a day and a time"),
        (1_797_037_200, "a day and a time"),
        (datetime(2026, 12, 12, 9), "has no time zone"),
    ],
)
def test_what_is_no_moment_or_two_is_refused_in_one_line(given: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        parse_moment(given, find_zone("Europe/Berlin"), "start_at")
    assert str(refused.value).startswith("start_at=")
    assert "\n" not in str(refused.value)


def test_a_time_without_a_zone_asks_for_one() -> None:
    with pytest.raises(UsageError, match="in which time zone"):
        parse_moment("2026-12-12 09:00", None, "start_at")
