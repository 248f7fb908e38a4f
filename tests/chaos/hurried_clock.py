"""The machine's clock with waits cut short: what is to take a minute takes a tenth of a second."""

from __future__ import annotations

import asyncio
import time

__all__ = ["HurriedClock"]


class HurriedClock:
    """A `promomsg.clock.Clock` whose `monotonic` and `sleep` run `factor` times as fast.

    `time()` stays the machine's: a journal outlives its process, so what is written down must mean
    the same in the next one.
    """

    def __init__(self, factor: float = 600.0) -> None:
        self._factor = factor

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() * self._factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._factor)
