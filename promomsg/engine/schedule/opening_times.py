"""Who may be sent to at this moment of a run: what its schedule and its first few say, by a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from promomsg.clock import Clock
from promomsg.engine.schedule.first_watch import FirstWatch
from promomsg.engine.schedule.schedule import (
    ALWAYS_OPEN,
    TIME_NOT_KNOWN,
    Opening,
    Schedule,
)

__all__ = ["ASK_AGAIN", "OpeningTimes"]

ASK_AGAIN: Final = 60.0
"""Seconds of the clock that never jumps after which whoever waits for a time asks the wall clock again: it
may have been set (docs/design.md, "When it is sent")."""


class OpeningTimes:
    """Asked before every call.

    Args:
        schedule: when the campaign may send; None: at any time.
        first: its first few, who decide about the others; None: there are none.
        now: the wall clock that it goes by, as `RunControl` has it; None: `clock`'s.
    """

    def __init__(
        self,
        clock: Clock,
        schedule: Schedule | None = None,
        first: FirstWatch | None = None,
        now: Callable[[], float | None] | None = None,
    ) -> None:
        self._clock = clock
        self._schedule = schedule
        self._first = first
        self._now = now or clock.time
        self._found: Opening | None = None
        self.always = schedule is None and first is None
        """Whether anybody may be sent to at any time: so for most campaigns, and every message asks."""

    def opening(self) -> Opening:
        """Who may be sent to now."""
        if self.always:
            return ALWAYS_OPEN
        now = self._now()
        if now is None:
            return TIME_NOT_KNOWN
        # Every message asks: what was found holds until it changes, or the clock is set back.
        found = self._found
        if found is None or not found.holds(now):
            found = ALWAYS_OPEN if self._schedule is None else self._schedule.opening(now)
            if self._first is not None:
                found = self._first.opening(found)
            self._found = found
        return found

    def without_those_open(self, opening: Opening) -> Opening:
        """What an opening is to a campaign that has nobody left to call among those who are open."""
        schedule, first = self._schedule, self._first
        if schedule is None or not opening.cohorts:
            return opening
        if first is not None and not first.others_are_open and not first.counts.pending:
            return opening  # what they came to is looked at now
        return schedule.without_those_open(opening)

    def decide_anew(self) -> None:
        """The first few have come out otherwise."""
        self._found = None

    def time(self) -> float:
        """Unix seconds, by this machine's own clock when no other is known."""
        now = self._now()
        return self._clock.time() if now is None else now
