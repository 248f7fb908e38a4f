"""Hours of the week and moments, in the local time of a zone: a calendar that reads no clock.

A moment is within the hours when the clocks of the zone show a time within them. So an hour that the
clocks skip is not there, one that they show twice is there twice, and a span whose beginning is skipped
begins when the clocks are set forward.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from promomsg.errors import UsageError
from promomsg.suggest import did_you_mean, quoted

__all__ = ["Hours", "find_zone", "format_moment", "parse_hours", "parse_moment"]

_DAY: Final = 1_440
_WEEK: Final = 7 * _DAY
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
_SPAN: Final = re.compile(
    r"(?:(?P<days>[^\d]+?)\s+)?(?P<begin>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)", re.ASCII
)
_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)[ T]\s*(\d\d?):(\d\d)(?::(\d\d)(\.\d{1,6})?)?\s*(Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_LOOK_EVERY: Final = 6 * 3600
"""Seconds between looks for a change of the clocks: none is undone so soon."""
_LOOK_FOR: Final = 9 * 86_400
"""A week, and room for a day that a zone skips."""
_WEEKS: Final = 3
"""The one span of a week may be in an hour that the clocks skip."""


class Hours(msgspec.Struct, frozen=True):
    """Spans of the week, the same in every week.

    Attributes:
        spans: from and to, in minutes since Monday 00:00; in order, and none touches another.
        texts: how they were written.
    """

    spans: tuple[tuple[int, int], ...]
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.texts)

    def are_open(self, at: float, zone: ZoneInfo) -> bool:
        """Whether a moment (Unix seconds) is within them."""
        local = datetime.fromtimestamp(at, zone)
        minute = local.weekday() * _DAY + local.hour * 60 + local.minute
        found = bisect_right(self.spans, (minute, _WEEK)) - 1
        return found >= 0 and minute < self.spans[found][1]

    def next_change(self, at: float, zone: ZoneInfo) -> float | None:
        """The first moment after this one (Unix seconds) at which they open or close; None: never."""
        is_open = self.are_open(at, zone)
        if self.spans == ((0, _WEEK),):
            return None
        for week in range(_WEEKS):
            for moment in self._moments(at + week * _LOOK_FOR, zone):
                if moment > at and self.are_open(moment, zone) != is_open:
                    return moment
        return None

    def opens_at(self, at: float, zone: ZoneInfo) -> float | None:
        """The first moment from this one on that is within them; None: there is none."""
        return at if self.are_open(at, zone) else self.next_change(at, zone)

    def _moments(self, at: float, zone: ZoneInfo) -> Iterator[float]:
        """The moments around and after this one at which they may open or close, in order."""
        begin = datetime.fromtimestamp(at, zone).date() - timedelta(days=1)
        days = [begin + timedelta(days=n) for n in range(11)]
        changes = list(_clock_changes(at, at + _LOOK_FOR, zone))
        if not changes:
            for day in days:
                yield from sorted(self._bounds(day, zone))
            return
        # Clocks that are set back bring the bounds of two days out of order.
        yield from sorted(
            {*changes, *(moment for day in days for moment in self._bounds(day, zone))}
        )

    def _bounds(self, day: date, zone: ZoneInfo) -> set[float]:
        """The moments of a day at which the clocks show the beginning or the end of a span."""
        first = day.weekday() * _DAY
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        found = set()
        for minute in {minute for span in self.spans for minute in span}:
            if first <= minute <= first + _DAY:
                local = midnight + timedelta(minutes=minute - first)
                found |= {local.timestamp(), local.replace(fold=1).timestamp()}
        return found


def _clock_changes(begin: float, end: float, zone: ZoneInfo) -> Iterator[float]:
    """The moments at which the clocks of a zone are set forward or back."""

    def offset(at: float) -> timedelta | None:
        return datetime.fromtimestamp(at, zone).utcoffset()

    low = int(begin)
    while low < end:
        high = low + _LOOK_EVERY
        if offset(low) != offset(high):
            before, after = low, high
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (
                    (before, middle) if offset(middle) != offset(low) else (middle, after)
                )
            yield float(after)
        low = high


def parse_hours(texts: str | Iterable[str]) -> Hours:
    """The hours that texts say: `"09:00-21:00"`, `"Mon-Fri 09:00-21:00"`, `"Sat,Sun 10:00-18:00"`, or a
    list of these. `"22:00-02:00"` goes on into the day after.

    Raises:
        UsageError: one that says nothing of the kind, or none at all.
    """
    given = [texts] if isinstance(texts, str) else list(texts)
    if not given:
        raise UsageError('between: no hours; write "09:00-21:00"')
    spans: list[tuple[int, int]] = []
    for text in given:
        spans += _read_spans(text)
    return Hours(_merged(spans), tuple(given))


def _read_spans(text: Any) -> list[tuple[int, int]]:
    if not isinstance(text, str):
        raise UsageError(f'between: {text!r} is not text; write "09:00-21:00"')
    # As it is typed in China too: 09：00－21：00.
    plain = unicodedata.normalize("NFKC", text).translate({0x2013: "-", 0x2014: "-", 0x7E: "-"})
    found = _SPAN.fullmatch(plain.strip())
    if found is None:
        raise UsageError(
            f'between: {text!r} is not hours; write "09:00-21:00" or "Mon-Fri 09:00-21:00", '
            "several of them as a list"
        )
    begin, end = _minute(found["begin"], text), _minute(found["end"], text)
    if begin in (end, _DAY):
        raise UsageError(f'between: {text!r} ends where it begins; the whole day is "00:00-24:00"')
    length = end - begin if end > begin else end + _DAY - begin
    days = range(7) if found["days"] is None else _read_days(found["days"], text)
    return [(day * _DAY + begin, day * _DAY + begin + length) for day in days]


def _minute(text: str, whole: str) -> int:
    hour, minute = map(int, text.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY:
        raise UsageError(f"between: {whole!r}: {text} is no time of day, from 00:00 to 24:00")
    return hour * 60 + minute


def _read_days(text: str, whole: str) -> list[int]:
    days: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin = _read_day(first, whole)
        end = _read_day(last, whole) if dash else begin
        days += [day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)]
    return days


def _read_day(text: str, whole: str) -> int:
    name = text.strip().lower()
    for number, (short, long) in enumerate(zip(_DAYS, _LONG_DAYS, strict=True)):
        if name in (short.lower(), long):
            return number
    hint = did_you_mean(name, _LONG_DAYS) or f"; the days are {quoted(_DAYS)}"
    raise UsageError(f"between: {whole!r}: {text.strip()!r} is no day of the week{hint}")


def _merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The spans in order within one week, without gaps of no length."""
    parts = []
    for begin, end in spans:
        parts.append((begin, min(end, _WEEK)))
        if end > _WEEK:
            parts.append((0, end - _WEEK))
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(parts):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def find_zone(name: Any) -> ZoneInfo:
    """The time zone of that name, `"Asia/Shanghai"`.

    Raises:
        UsageError: there is none.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f'zone={name!r}: a time zone by its name, like "Asia/Shanghai"')
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        from zoneinfo import available_timezones

        hint = did_you_mean(name, available_timezones()) or '; write one like "Asia/Shanghai"'
        raise UsageError(f"there is no time zone {name!r}{hint}") from None


def parse_moment(value: Any, zone: ZoneInfo | None, what: str) -> datetime:
    """A moment: a datetime with its zone, or text, `"2026-12-12 09:00"` (in `zone`) or
    `"2026-12-12 09:00+08:00"`.

    Args:
        zone: None: the text has to say its offset from UTC.
        what: what it is of, for the message.

    Raises:
        UsageError: it is no moment; its zone is not known; or the clocks of the zone skip it, or show
            it twice.
    """
    example = '"2026-12-12 09:00"'
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise UsageError(
                f"{what}={value}: this datetime has no time zone; give it one (tzinfo=…), or give "
                f"text, {example}, with zone="
            )
        return value
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise UsageError(f"{what}={value!r}: a day and a time, like {example}")
    *numbers, fraction, offset = found.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    try:
        local = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - its zone comes next
        local += timedelta(seconds=float(fraction or 0))
        if offset is not None:
            return datetime.fromisoformat(f"{local.isoformat()}{offset}")
    except ValueError as error:
        raise UsageError(f"{what}={value!r}: there is no such day or time ({error})") from None
    if zone is None:
        raise UsageError(
            f"{what}={value!r}: in which time zone? say it by zone, like {'Asia/Shanghai'!r}, or "
            f"write the offset from UTC behind it: {value.strip()}+08:00"
        )
    return _in_zone(local, zone, f"{what}={value!r}")


def _in_zone(local: datetime, zone: ZoneInfo, told: str) -> datetime:
    """A local time that the clocks of the zone show exactly once."""
    one, other = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
    if one.utcoffset() == other.utcoffset():
        return one
    if one.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        raise UsageError(
            f"{told}: the clocks of {zone.key} skip this time on that day, when they are set forward; "
            "give an earlier or a later one"
        )
    raise UsageError(
        f"{told}: the clocks of {zone.key} show this time twice on that day, when they are set back; "
        f"write which one is meant: {_with_offset(one)} or {_with_offset(other)}"
    )


def _with_offset(moment: datetime) -> str:
    return moment.isoformat(" ", "minutes")


def format_moment(at: float, zone: str | None) -> str:
    """A moment (Unix seconds) for people: `2026-12-12 09:00 (Asia/Shanghai)`; without a zone, in UTC."""
    local = datetime.fromtimestamp(at, UTC if zone is None else ZoneInfo(zone))
    shown = f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"
    return f"{shown} ({zone or 'UTC'})"
