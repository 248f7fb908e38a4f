"""When a campaign may send: its start, its end and its hours, as one decision at a moment
(docs/design.md, "When it is sent").

Pure: the time is passed in. Whoever may send asks with the wall clock at that moment, so a clock that was
set, a process that slept and one that was started anew come to the right answer by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from promomsg.clock import next_china_midnight

if TYPE_CHECKING:
    from promomsg.hours import Hours

    _HoursAt = Callable[[Hours, float, str], tuple[float | None, float]]

__all__ = ["ALWAYS_OPEN", "EARLIER", "TIME_NOT_KNOWN", "Opening", "Schedule", "WorkDone"]

EARLIER: Final = 2.0
"""Seconds before the end of its hours, and before `finish_by`, from which nothing goes out: it has to
arrive before them, and the provider's clock is another."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Who may be sent to, from a moment on.

    Attributes:
        cohorts: the numbers of the cohorts that are open; None: all of them.
        since, until: Unix seconds from and before which this is so; a clock that was set is asked anew.
        closes_at: when the first of those that are open closes; None: not because of the time.
        next_at: when the next of those that are closed opens; None: none does, or it is not known when.
        why: while nobody may be sent to, the reason for people.
        is_over: `finish_by` has come: who was not sent to is cancelled.
    """

    cohorts: tuple[int, ...] | None = None
    since: float = -inf
    until: float = inf
    closes_at: float | None = None
    next_at: float | None = None
    why: str = ""
    is_over: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether nobody may be sent to."""
        return self.cohorts == ()

    def holds(self, now: float) -> bool:
        """Whether it is still so at that moment (Unix seconds)."""
        return self.since <= now < self.until


ALWAYS_OPEN: Final = Opening()
TIME_NOT_KNOWN: Final = Opening(cohorts=(), why="what time it is has to be asked for again")


class WorkDone(NamedTuple):
    """What came of work at the times of a schedule.

    Attributes:
        ends_at: Unix seconds at which it ends; None: not before `finish_by`.
        left: seconds of it that are left then.
    """

    ends_at: float | None
    left: float


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The times at which a campaign may send.

    Attributes:
        start_at: Unix seconds before which nothing goes out; None: at once.
        finish_by: Unix seconds from which nothing goes out; None: however long it takes.
        hours: outside of which nothing goes out; None: at any time.
        zone: whose clocks they are of, by name; also for the moments that people are told.
        zones: the same by cohort, None for `zone`; one cohort when nobody is of another.
    """

    start_at: float | None = None
    finish_by: float | None = None
    hours: Hours | None = None
    zone: str | None = None
    zones: tuple[str | None, ...] = (None,)

    def opening(self, now: float) -> Opening:
        """Who may be sent to at that moment (Unix seconds)."""
        return self._opening(now, _hours_at)

    def _opening(self, now: float, hours_at: _HoursAt) -> Opening:
        finish_by, start_at = self.finish_by, self.start_at
        if finish_by is not None and now >= finish_by - EARLIER:
            why = f"it was to be finished by {self.shown(finish_by)}"
            return Opening(cohorts=(), since=now, why=why, is_over=True)
        end = inf if finish_by is None else finish_by - EARLIER
        if start_at is not None and now < start_at:
            opens = self.first_opening(start_at)
            why = f"it starts at {self.shown(start_at if opens is None else opens)}"
            return Opening(
                cohorts=(),
                since=now,
                until=min(start_at, end),
                next_at=_sooner(opens, end),
                why=why,
            )
        if self.hours is None:
            return Opening(since=now, until=end, closes_at=None if end == inf else end)
        return self._opening_by_hours(self.hours, now, end, hours_at)

    def _opening_by_hours(
        self, hours: Hours, now: float, end: float, hours_at: _HoursAt
    ) -> Opening:
        is_open: list[int] = []
        closes, opens = end, inf
        by_zone = {zone: hours_at(hours, now, zone) for zone in set(self._zones())}
        for number, zone in enumerate(self._zones()):
            closes_at, opens_at = by_zone[zone]
            if closes_at is None:
                opens = min(opens, opens_at)
            else:
                is_open.append(number)
                closes = min(closes, closes_at)
        why = ""
        if not is_open:
            then = f"it goes on at {self.shown(opens)}"
            if self.finish_by is not None and opens >= end:
                then = f"it was to be finished by {self.shown(self.finish_by)}, before they begin again"
            why = f"outside its hours ({hours}); {then}"
        everybody = len(is_open) == len(self.zones)
        return Opening(
            cohorts=None if everybody else tuple(is_open),
            since=now,
            until=min(closes, opens),
            closes_at=closes if is_open and closes < inf else None,
            next_at=None if everybody else _sooner(opens, end),
            why=why,
        )

    def without_those_open(self, opening: Opening) -> Opening:
        """What an opening is to a campaign that has nobody left among those who are open."""
        why = "those who are left are outside their hours"
        if opening.next_at is not None:
            why += f"; it goes on at {self.shown(opening.next_at)}"
        return msgspec.structs.replace(opening, cohorts=(), why=why)

    def first_opening(self, at: float) -> float | None:
        """The first moment from this one on at which the hours of a cohort are open; None: there is none."""
        if self.hours is None:
            return at
        found = []
        for zone in set(self._zones()):
            closes_at, opens_at = _hours_at(self.hours, at, zone)
            found.append(at if closes_at is not None else opens_at)
        first = min(found)
        return None if first == inf else first

    def work_through(
        self, now: float, work: Sequence[float], per_day: float | None = None
    ) -> WorkDone:
        """When work that is begun now comes to its end, at the earliest.

        Those who are open share the pace; who closes first goes first.

        Args:
            work: seconds of work by cohort, at the pace that all of them share.
            per_day: seconds of it that a China-time day may have, above 0; None: all of it.
        """
        left = list(work)
        at, closed = now, 0
        days, of_today, midnight = 0, inf, inf
        if per_day is not None:
            of_today, midnight = per_day, next_china_midnight(now)
        hours_at = _HoursAhead()
        while any(seconds > 0 for seconds in left):
            found = self._opening(at, hours_at)
            if found.is_over or closed > _MOST_CLOSED or days > _MOST_DAYS:
                return WorkDone(None, sum(left))
            open_now = range(len(left)) if found.cohorts is None else found.cohorts
            until = min(found.until, midnight)
            busy = [n for n in open_now if n < len(left) and left[n] > 0]
            if busy:
                closed = 0
            elif found.until == inf:
                return WorkDone(None, sum(left))
            elif found.until <= midnight:
                closed += 1
            # Nobody else can use the time of those whose hours end first.
            for number in sorted(busy, key=lambda number: self._closes(number, at, hours_at)):
                seconds = min(left[number], until - at, of_today)
                left[number] -= seconds
                of_today -= seconds
                at += seconds
            if any(seconds > 0 for seconds in left):
                if until == inf:
                    return WorkDone(None, sum(left))
                at = until
                if per_day is not None and at >= midnight:
                    days, of_today, midnight = days + 1, per_day, next_china_midnight(at)
        return WorkDone(at, 0.0)

    def _closes(self, number: int, at: float, hours_at: _HoursAt) -> float:
        if self.hours is None:
            return inf
        closes_at, _ = hours_at(self.hours, at, self._zone(number))
        return inf if closes_at is None else closes_at

    def _zone(self, number: int) -> str:
        return (self.zones[number] if number < len(self.zones) else None) or self.zone or "UTC"

    def _zones(self) -> Iterator[str]:
        return (self._zone(number) for number in range(len(self.zones)))

    def shown(self, at: float) -> str:
        """A moment for people, in the campaign's zone."""
        from promomsg.hours import format_moment  # time zones take a while to load

        return format_moment(at, self.zone)


_MOST_CLOSED: Final = 100
"""Openings in a row at which nobody who is left may be sent to: their hours never come."""
_MOST_DAYS: Final = 400
"""China-time days that it looks ahead."""


def _sooner(opens: float | None, end: float) -> float | None:
    found = min(inf if opens is None else opens, end)
    return None if found == inf else found


def _hours_at(hours: Hours, now: float, name: str) -> tuple[float | None, float]:
    """When hours that are open close (None: they are closed), and when those that are closed open; both
    `inf` for never."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(name)
    change = hours.next_change(now, zone)
    if not hours.are_open(now, zone):
        return None, inf if change is None else change
    if change is None:
        return inf, inf
    if now < change - EARLIER:
        return change - EARLIER, inf
    after = hours.next_change(change, zone)
    return None, inf if after is None else after


class _HoursAhead:
    """`_hours_at` for moments that only go on: a zone is looked at again once its hours have changed, since a
    list may name hundreds."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float | None, float]] = {}

    def __call__(self, hours: Hours, now: float, name: str) -> tuple[float | None, float]:
        found = self._found.get(name)
        if found is None or now >= (found[1] if found[0] is None else found[0]):
            found = self._found[name] = _hours_at(hours, now, name)
        return found
