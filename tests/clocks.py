"""The clock of `promomsg.testing`, under the name that this project's own tests know it by, and one that
only says another time."""

from __future__ import annotations

from promomsg.clock import DAY, SystemClock
from promomsg.testing.fake_clock import FakeClock

__all__ = ["FakeClock", "Later"]


class Later(SystemClock):
    """The machine's clock, as it will be after so many days."""

    def __init__(self, days: float) -> None:
        self._ahead = days * DAY

    def time(self) -> float:  # type: ignore[override]
        return SystemClock.time() + self._ahead
