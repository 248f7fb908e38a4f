"""A clock that moves only when a test moves it, or when nobody has anything left to do.

It is for tests alone: it looks into the event loop to see whether anybody has something to do."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

__all__ = ["FakeClock"]


class FakeClock:
    """A `promomsg.clock.Clock` of the test's own.

    Args:
        start: what `time()` says at first, Unix seconds; `monotonic()` begins at 1000.
        auto: jump to the next sleeper whenever every task of the loop is idle.
        grace: real seconds to wait for sockets and threads before such a jump (auto only);
            the loop cannot be asked whether an answer is still on its way.

    Attributes:
        slept: the seconds of every sleep asked for, in order.
    """

    def __init__(
        self, start: float = 1_760_000_000.0, *, auto: bool = False, grace: float = 0.0
    ) -> None:
        self._offset = start - 1000.0
        self._now = 1000.0
        self._auto = auto
        self._grace = grace
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._watching = False
        self.slept: list[float] = []

    def time(self) -> float:
        return self._now + self._offset

    def monotonic(self) -> float:
        return self._now

    @property
    def sleepers(self) -> int:
        """How many tasks sleep now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def jump(self, seconds: float) -> None:
        """Sets the wall clock alone forward (negative: back), as an administrator would."""
        self._offset += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        if self._auto and not self._watching:
            self._watching = True
            loop.call_soon(self._watch, loop, 0)
        await future

    async def advance(self, seconds: float) -> None:
        """Moves the time on, waking each sleeper at its own moment, and lets them run."""
        end = self._now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._wake_next()
            await self.settle()
        self._now = end
        await self.settle()

    async def advance_until(
        self,
        condition: Callable[[], object],
        step: float,
        *,
        each: Callable[[], object] = lambda: None,
    ) -> None:
        """Moves the time on by steps until something is true.

        Between steps a moment of real time goes by, in which sockets and threads do their work.

        Args:
            step: seconds of this clock at a time.
            each: called after each step.
        """
        end = asyncio.get_running_loop().time() + 30
        while not condition():
            assert asyncio.get_running_loop().time() < end, "it did not happen in time"
            await self.advance(step)
            await asyncio.sleep(0.002)
            each()

    async def settle(self) -> None:
        """Lets every task run until it waits for something."""
        loop = asyncio.get_running_loop()
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(0)
            quiet = 0 if loop._ready else quiet + 1  # type: ignore[attr-defined]

    def _wake_next(self) -> None:
        when, _, future = heapq.heappop(self._sleepers)
        self._now = max(self._now, when)
        if not future.done():
            future.set_result(None)

    def _watch(self, loop: asyncio.AbstractEventLoop, quiet: int) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            self._watching = False
            return
        if loop._ready:  # type: ignore[attr-defined]
            quiet = 0
        elif quiet >= 3:
            self._wake_next()
            quiet = 0
        if quiet == 2 and self._grace:
            loop.call_later(self._grace, self._watch, loop, 3)
        else:
            loop.call_soon(self._watch, loop, quiet + 1)
