"""How fast a campaign goes: recipients a second, and the time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["RateMeter"]

_WINDOW: Final = 10.0
"""Seconds that the rate is taken over."""


class RateMeter:
    """Settled recipients a second over the last ten seconds, and the time left at that rate.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: deque[tuple[float, int]] = deque()
        self._moved = now()

    def record(self, settled: int) -> None:
        """So many are settled now."""
        now = self._now()
        if not self._seen or self._seen[-1][1] != settled:
            self._moved = now
        self._seen.append((now, settled))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Recipients a second; 0 while nothing moves."""
        if len(self._seen) < 2:
            return 0.0
        (then, before), (now, after) = self._seen[0], self._seen[-1]
        return max(after - before, 0) / (now - then) if now > then else 0.0

    @property
    def quiet(self) -> float:
        """Seconds since anybody was settled."""
        return self._now() - self._moved

    def left(self, pending: int) -> float | None:
        """Seconds to the end at this rate; None when it is not known."""
        rate = self.rate
        return pending / rate if pending and rate > 0 else None
