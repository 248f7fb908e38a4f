"""Another machine's clock, which was asked and is counted on from there."""

from __future__ import annotations

from typing import Final

from promomsg.clock import Clock

__all__ = ["AskedClock"]

_APART: Final = 2.0
"""Seconds by which this machine's two clocks may run apart until the other one is to be asked anew."""


class AskedClock:
    """The time of a clock that several machines go by, whatever each has for the time itself.

    Args:
        clock: this machine's.
        told: Unix seconds, as the other clock has just said.
    """

    def __init__(self, clock: Clock, told: float) -> None:
        self._clock = clock
        self.tell(told)

    def tell(self, told: float) -> None:
        """The other clock has just said that time: it may have been set."""
        self._told = told
        self._monotonic, self._wall = self._clock.monotonic(), self._clock.time()

    def time(self) -> float | None:
        """Unix seconds; None: it is not known any more, since this machine's clock was set or the machine
        has slept."""
        gone = self._clock.monotonic() - self._monotonic
        if abs(self._clock.time() - self._wall - gone) > _APART:
            return None
        return self._told + gone
