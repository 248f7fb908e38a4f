"""How fast a campaign goes: single sends a second, and the time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

__all__ = ["RateMeter", "SingleSends"]

_WINDOW: Final = 10.0
"""Seconds that the rate is taken over."""


class SingleSends(NamedTuple):
    """Recipients who are in no group send: those of a group are settled in one moment, whatever the rate.

    Attributes:
        settled, pending: how many of them.
    """

    settled: int
    pending: int

    @classmethod
    def among(cls, planned: int, pending: int, groups: Iterable[tuple[int, bool]]) -> SingleSends:
        """Those of a campaign.

        Args:
            planned, pending: all its recipients.
            groups: of each group send how many are in it, and whether they are pending.
        """
        in_groups = of_them_pending = 0
        for members, are_pending in groups:
            in_groups += members
            of_them_pending += members if are_pending else 0
        left = max(pending - of_them_pending, 0)
        return cls(max(planned - in_groups - left, 0), left)


class RateMeter:
    """Settled single sends over the last ten seconds, and the time left at that rate.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: deque[tuple[float, int]] = deque()
        self._moved = now()

    def record(self, settled: int) -> None:
        """So many single sends are settled now."""
        now = self._now()
        if not self._seen or self._seen[-1][1] != settled:
            self._moved = now
        self._seen.append((now, settled))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Single sends a second; 0 while nothing moves."""
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
