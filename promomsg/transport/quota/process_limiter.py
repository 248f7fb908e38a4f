"""The quotas of an account as one process keeps them, for whoever shares them with nobody."""

from __future__ import annotations

from typing import Final

from promomsg.clock import SYSTEM_CLOCK, Clock, china_day
from promomsg.transport.rate_limit import GUARD, WindowLimiter

__all__ = ["DayCounts", "ProcessLimiter"]

_DAYS: Final = 7
"""China-time days whose counts are kept: of a clock that was wrong, the right day's count stays."""


class DayCounts:
    """How many calls each of the last China-time days had.

    Args:
        counts: by day, `2026-11-24`; changed in place.
    """

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self._counts = {} if counts is None else counts

    def left(self, day: str, limit: int) -> int:
        """How many more a day may have."""
        return max(0, limit - self._counts.get(day, 0))

    def add(self, day: str, count: int) -> None:
        """So many more; negative: so many fewer."""
        self._counts[day] = max(0, self._counts.get(day, 0) + count)
        if len(self._counts) > _DAYS:
            del self._counts[min(other for other in self._counts if other != day)]

    def at_least(self, day: str, count: int) -> None:
        """Another count of the same day: the higher one is right."""
        self.add(day, max(0, count - self._counts.get(day, 0)))


class ProcessLimiter(WindowLimiter):
    """The windows of one process, and its count of the day.

    Attributes:
        day_limit: calls in a China-time day; None for no limit.
        away: as `RateLimiter.away`.
    """

    _sharing = False
    _day_left: int | None = None
    """Of a shared quota: calls that are left of the day, as it was heard last."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, guard: float = GUARD) -> None:
        super().__init__(clock, guard=guard)
        self.day_limit: int | None = None
        self.away = ""
        self._days = DayCounts()
        self._latest = ""

    @property
    def limit_today(self) -> int | None:
        """As `RateLimiter.limit_today`."""
        return self.day_limit

    @property
    def used_today(self) -> int | None:
        """Calls of this China-time day, whoever shares it; None: it has no limit, and nobody counts, or
        it is not known yet."""
        limit, left = self.limit_today, self._day_left
        if not self._sharing:
            left = None if limit is None else self._days.left(self._today(), limit)
        return None if limit is None or left is None else limit - left

    def _today(self) -> str:
        """The China-time day; a clock that is set back has no new one."""
        self._latest = max(self._latest, china_day(self._clock.time()))
        return self._latest

    async def reserve(self, most: int) -> int:
        limit = self.day_limit
        if limit is None:
            return await super().reserve(most)
        left = self._days.left(self._today(), limit)
        if not left:
            return 0
        count = await super().reserve(min(most, left))
        # Others may have taken them during the wait, or midnight have come.
        day = self._today()
        count = min(count, self._days.left(day, limit))
        self._days.add(day, count)
        return count

    def give_back(self, count: int) -> None:
        if self.day_limit is not None:
            self._days.add(self._today(), -count)

    def count_today(self, count: int) -> None:
        """As `RateLimiter.count_today`."""
        self._days.at_least(self._today(), count)
