"""What the engine and the direct calls ask of a rate limiter, whoever keeps the count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

__all__ = ["SINGLES_PER_DAY", "RateLimiter"]

SINGLES_PER_DAY: Final = "SINGLES_PER_DAY"
"""The code of a halt by the user's own limit for one China-time day."""


class RateLimiter(Protocol):
    """One kind of call of one account: single sends, or group sends.

    A call passes twice: `reserve` gives out some before their intents are committed, and the gate
    (`try_gate`, or `gate` when that says no) checks each once more right before its first byte.
    """

    @property
    def rate(self) -> float | None:
        """Calls a second that it lets through now; None when nothing limits them."""
        ...

    @property
    def held_until(self) -> float | None:
        """The monotonic time until which nobody may call; None when there is no hold."""
        ...

    @property
    def limit_today(self) -> int | None:
        """Calls that a China-time day may have; None for no limit."""
        ...

    @property
    def away(self) -> str:
        """Why nobody may call before a database answers; empty when it does, or none is asked."""
        ...

    async def wait_while_held(self) -> None:
        """Returns when there is no hold."""
        ...

    async def reserve(self, most: int) -> int:
        """Waits until at least one call may be intended.

        Args:
            most: how many the caller has, 1 or more.

        Returns:
            How many of them may go about now; 0 when the day's quota is used up.
        """
        ...

    def give_back(self, count: int) -> None:
        """So many of those that `reserve` gave out were not called after all: the day has them again."""
        ...

    def try_gate(self) -> bool:
        """Admits and records one call if it may go at this very moment."""
        ...

    async def gate(self, patience: float = 1.0) -> bool:
        """The last check before a call, first come first served.

        Args:
            patience: seconds it may take.

        Returns:
            True: go now, it is recorded. False: it would take longer than `patience`; put the
            recipient back to pending, then `reserve` again.
        """
        ...

    def throttled(self, retry_after: float | None = None) -> None:
        """The provider refused a call for its pace: holds everybody, and lowers the pace.

        Args:
            retry_after: seconds to hold; None when the provider names none.
        """
        ...

    def count_earlier(self, times: Iterable[float], now_wall: float) -> None:
        """Counts the calls of an earlier process in the windows.

        Args:
            times: when, Unix seconds, in any order; a time in the future counts as now.
            now_wall: the Unix time now.
        """
        ...

    def count_today(self, count: int) -> None:
        """So many were called on this China-time day, as a journal has it. What is counted already
        is not counted twice: the higher count is right."""
        ...
