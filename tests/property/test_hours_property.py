"""Hours open and close when the clocks of their zone say so, minute by minute, over every change of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from promomsg.hours import parse_hours

CHANGES = (
    ("Europe/Berlin", "2026-03-28"), ("Europe/Berlin", "2026-10-24"), ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"), ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"), ("Africa/Cairo", "2026-04-23"), ("Africa/Cairo", "2026-10-29"),
    ("Asia/Shanghai", "2026-12-11"), ("Asia/Kathmandu", "2026-02-27"),
)  # fmt: skip
"""A zone, and the day before its clocks are set, where they are."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@st.composite
def spans(draw: st.DrawFn) -> tuple[int | None, int, int]:
    """A day of the week or each, and two different times of the day in minutes."""
    day = draw(st.none() | st.integers(0, 6))
    begin = draw(st.integers(0, 1439))
    end = draw(st.integers(1, 1440).filter(lambda end: end not in (begin, begin + 1440)))
    return day, begin, end


def text_of(span: tuple[int | None, int, int]) -> str:
    day, begin, end = span
    days = "" if day is None else f"{DAYS[day]} "
    return f"{days}{begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d}"


def shown_within(local: datetime, given_spans: list[tuple[int | None, int, int]]) -> bool:
    """What a person says who looks at the clock on the wall."""
    today, minute = local.weekday(), local.hour * 60 + local.minute
    for day, begin, end in given_spans:
        is_today = day in (None, today)
        was_yesterday = day in (None, (today - 1) % 7)
        if end > begin and is_today and begin <= minute < end:
            return True
        if end < begin and ((is_today and minute >= begin) or (was_yesterday and minute < end)):
            return True
    return False


@settings(max_examples=40, deadline=None)
@given(given_spans=st.lists(spans(), min_size=1, max_size=3), change=st.sampled_from(CHANGES))
@example(given_spans=[(None, 150, 151)], change=CHANGES[0])  # 02:30 is skipped
@example(given_spans=[(None, 150, 165)], change=CHANGES[1])  # and shown twice
@example(given_spans=[(None, 0, 1440)], change=CHANGES[0])
@example(given_spans=[(6, 1320, 120)], change=CHANGES[1])
def test_hours_are_open_when_the_clock_on_the_wall_says_so(
    given_spans: list[tuple[int | None, int, int]], change: tuple[str, str]
) -> None:
    zone = ZoneInfo(change[0])
    hours = parse_hours([text_of(span) for span in given_spans])
    begin = datetime.fromisoformat(f"{change[1]}T12:00").replace(tzinfo=UTC).timestamp()
    was_open: bool | None = None
    next_change: float | None = None
    for minute in range(30 * 60):
        at = begin + 60 * minute
        is_open = hours.are_open(at, zone)
        assert is_open is shown_within(datetime.fromtimestamp(at, zone), given_spans)
        if is_open is not was_open:
            assert was_open is None or next_change == at
            was_open, next_change = is_open, hours.next_change(at, zone)
            assert hours.opens_at(at, zone) == (at if is_open else next_change)
        assert next_change is None or next_change > at
    if next_change is not None:
        assert next_change - begin <= timedelta(days=17).total_seconds()
