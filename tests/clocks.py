"""The clock of `promomsg.testing`, under the name that this project's own tests know it by, and one that
only says another time; moments as tests write them."""

from __future__ import annotations

from datetime import UTC, datetime

from promomsg.clock import DAY, SystemClock
from promomsg.testing.fake_clock import FakeClock

__all__ = ["FakeClock", "Later", "china", "seconds_until", "utc"]


def utc(text: str) -> float:
    """Unix seconds of `2026-12-12 09:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def china(text: str) -> float:
    """The same in China."""
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


def seconds_until(time_of_day: str) -> float:
    """Seconds from now to the next `12:00` in China."""
    return (china(f"2026-01-01 {time_of_day}") - SystemClock.time()) % DAY


class Later(SystemClock):
    """The machine's clock, as it will be after so many days."""

    def __init__(self, days: float) -> None:
        self._ahead = days * DAY

    def time(self) -> float:  # type: ignore[override]
        return SystemClock.time() + self._ahead
