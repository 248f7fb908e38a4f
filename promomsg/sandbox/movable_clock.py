"""The sandbox's own clock: it runs with the machine's, from the day that one gives it."""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone
from typing import Final

from promomsg.errors import UsageError

__all__ = ["CHINA", "SandboxClock", "parse_day"]

CHINA = timezone(timedelta(hours=8))
"""China Standard Time, no daylight saving (docs/facts/wechat.md, "Windows")."""


_DAYS: Final = re.compile(r"([+-][0-9]{1,4})d", re.ASCII)


def parse_day(text: str) -> date | int:
    """A day as `2026-12-12`, or a number of days from the clock's own as `+1d`, `-1d`.

    Raises:
        UsageError: it is neither.
    """
    relative = _DAYS.fullmatch(text.strip())
    if relative is not None:
        return int(relative[1])
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"clock {text!r}: give a day as 2026-12-12, or a number of days as +1d or -1d"
        ) from None


class SandboxClock:
    """Real time plus an offset.

    Tokens, quotas, delivery results and click data all go by it, so that "the day after" is one
    `advance(86400)` away.
    """

    def __init__(self) -> None:
        self._offset = 0.0

    def time(self) -> float:
        """Unix seconds."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Moves forward by so many seconds; backwards is a ValueError."""
        if seconds < 0:
            raise ValueError("the sandbox's clock only moves forward")
        self._offset += seconds

    def move(self, to: date | int, *, back: bool = False) -> str:
        """Moves by whole days, the time of day stays; returns the China-time day it is then.

        Args:
            to: the China-time day, or how many days from the clock's own.
            back: whether it may be set back: only before anything was served.

        Raises:
            UsageError: it would be set back, or beyond what a calendar has.
        """
        days = to if isinstance(to, int) else (to - date.fromisoformat(self.china_day())).days
        if days < 0 and not back:
            raise UsageError(
                f"the sandbox's clock only moves forward, and there it is {self.china_day()}; "
                "start another one with an earlier --clock"
            )
        try:
            day = self.china_day(self.time() + days * 86_400)
        except (OverflowError, ValueError):
            raise UsageError(f"the sandbox's clock cannot be moved by {days:,} days") from None
        self._offset += days * 86_400
        return day

    def china_day(self, at: float | None = None) -> str:
        """The China-time natural day of `at` (now when None), `2026-11-24`."""
        return datetime.fromtimestamp(self.time() if at is None else at, CHINA).date().isoformat()
