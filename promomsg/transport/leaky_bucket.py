"""How the calls of a pace are spread over time: by bunches, from a bucket that leaks at the pace."""

from __future__ import annotations

import math
from typing import Final

from aiolimiter import AsyncLimiter

from promomsg.clock import Clock

__all__ = ["TICK", "LeakyBucket"]

TICK: Final = 1e-6
"""No sleep is shorter: a difference that floating point leaves is no reason to wait."""


class LeakyBucket(AsyncLimiter):
    """aiolimiter's leaky bucket on the clock that was passed in instead of the event loop's.

    Calls go by bunches; of up to one and a half, all that are to go go together, since half a bunch
    would cost as many wake-ups as a whole one. The bucket holds these and 50 ms' worth more, to make
    up for a timer that fired late. Its usual size, a whole period's worth, lets nearly twice the
    quota pass in the first window.

    Args:
        bunch: calls that go together, 1 or more.
    """

    __slots__ = ("_bunch", "_carry", "_largest", "_late", "rate", "time")

    def __init__(self, rate: float, bunch: float, clock: Clock) -> None:
        self._bunch = bunch
        self._carry = 0.0
        """By how much the bunches so far were too small, since calls are whole."""
        self._largest = math.ceil(bunch * 1.5) if bunch > 1 else 1
        self._late = rate * 0.05
        burst = self._largest + self._late
        super().__init__(burst, burst / rate)
        self.rate = rate
        self.time = clock.monotonic

    @property
    def _loop(self) -> LeakyBucket:  # type: ignore[override]  # all it is asked for here is time()
        return self

    def take(self, most: int) -> int:
        """Fills the bucket by up to `most` calls, once there is room for a bunch or for all of them;
        how many there was room for."""
        self._leak()
        needed, room = self._next(most), int(self.max_rate - self._level + 1e-9)
        if room < needed:
            return 0
        if needed < most:
            self._carry = (self._carry + self._bunch) % 1
        count = min(most, room, needed + int(self._late))
        self._level += count
        return count

    def wait(self, most: int) -> float:
        """Seconds until there is room for that."""
        return max(TICK, (self._level + self._next(most) - self.max_rate) / self.rate)

    def _next(self, most: int) -> int:
        return most if most <= self._largest else int(self._bunch + self._carry + 1e-9)
