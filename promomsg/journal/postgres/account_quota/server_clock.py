"""The server's clock, as a process that asks it knows it by its own."""

from __future__ import annotations

from typing import Final

__all__ = ["ServerClock"]

DRIFT: Final = 0.001
"""Seconds a second by which the two clocks may run apart: NTP slews each by up to half of it."""
_AHEAD: Final = 1.0
"""Seconds ahead for which most times are given."""
_A_STEP: Final = 0.001
"""Seconds from which a contradiction is a clock that was set."""


class ServerClock:
    """Between which bounds the server's time is, by this process's monotonic clock.

    The server told its time some while between a question and its answer: so the difference of the two
    clocks lies between two bounds, and each answer makes them closer, or shows that the server's clock
    was set. What was not asked for a while may have drifted.

    Attributes:
        steps: how often it was found to be set, or this process to have been suspended.
    """

    def __init__(self) -> None:
        self._low = self._high = 0.0
        """Between these is the process's time less the server's."""
        self._heard_at: float | None = None
        self.steps = 0

    @property
    def spread(self) -> float:
        """Seconds by which a time may be taken for a later one; 0 while nothing is known."""
        if self._heard_at is None:
            return 0.0
        return self._high - self._low + 2 * DRIFT * _AHEAD

    def heard(self, asked_at: float, server: float, answered_at: float) -> None:
        """The server said that its time is `server`, in answer to a question.

        Args:
            asked_at, answered_at: by this process's clock, before and after.
        """
        low, high = asked_at - server, answered_at - server
        if self._heard_at is not None:
            drift = DRIFT * max(0.0, answered_at - self._heard_at)
            known_low, known_high = self._low - drift, self._high + drift
            if low > known_high + _A_STEP or high < known_low - _A_STEP:
                self.steps += 1
            elif max(low, known_low) <= min(high, known_high):
                low, high = max(low, known_low), min(high, known_high)
        # When it told its time is not known, so that they may have run apart since the question.
        self._low, self._high, self._heard_at = low, high, asked_at

    def to_local(self, at: float) -> float:
        """A time of the server's by this process's clock; never too early."""
        return at + self._high + self._apart(at)

    def to_local_by(self, at: float) -> float:
        """The same; never too late."""
        return at + self._low - self._apart(at)

    def to_server(self, at: float) -> float:
        """The other way round, never too early; 0 while nothing is known."""
        if self._heard_at is None:
            return 0.0
        return at - self._low + DRIFT * abs(at - self._heard_at)

    def _apart(self, at: float) -> float:
        """Seconds by which the clocks may have run apart at a time of the server's."""
        if self._heard_at is None:
            return 0.0
        return DRIFT * (abs(at + self._high - self._heard_at) + self._high - self._low)
