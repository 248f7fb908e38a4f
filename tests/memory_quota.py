"""An account's quota in memory, for senders on one clock of the test's own."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import TypeVar

import msgspec
from clocks import FakeClock

from promomsg.clock import Clock
from promomsg.transport.quota.quota_state import QuotaState
from promomsg.transport.quota.shared_limiter import SharedLimiter
from promomsg.transport.quota.store import QuotaStoreError

__all__ = ["MemoryQuota", "send", "sharing", "worst"]

T = TypeVar("T")


class MemoryQuota:
    """A `QuotaStore` for several limiters at once.

    Attributes:
        error: what every transaction fails with; empty: none does.
        changes: how many there were.
    """

    key = where = "memory"
    is_needed = False
    spread = 0.0

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._rows: dict[str, bytes] = {}
        self.error = ""
        self.changes = 0

    def submit(self, kind: str, step: Callable[[QuotaState, float], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self.error:
            loop.call_soon(future.set_exception, QuotaStoreError(self.error))
            return future
        self.changes += 1
        state = self.row(kind)
        result = step(state, self._clock.monotonic())
        self._rows[kind] = msgspec.json.encode(state)
        loop.call_soon(future.set_result, result)
        return future

    def row(self, kind: str = "singles") -> QuotaState:
        """A row as it is now."""
        raw = self._rows.get(kind)
        return QuotaState() if raw is None else msgspec.json.decode(raw, type=QuotaState)

    def to_local(self, at: float) -> float:
        return at

    def to_local_by(self, at: float) -> float:
        return at

    def to_stored(self, at: float) -> float:
        return at

    def keep_open(self) -> None:
        pass

    async def close(self) -> None:
        pass


def sharing(
    store: MemoryQuota,
    clock: FakeClock,
    a_second: float = 20,
    *,
    day: int | None = None,
    kind: str = "singles",
) -> SharedLimiter:
    """A sender of the account."""
    limiter = SharedLimiter(store, kind, clock)
    limiter.set_quotas((a_second, 1.0))
    limiter.day_limit = day
    return limiter


def worst(times: list[float]) -> int:
    """The most calls in any second."""
    times = sorted(times)
    return max(i + 1 - bisect_right(times, at - 1.0) for i, at in enumerate(times))


async def send(
    limiter: SharedLimiter, clock: Clock, count: int, times: list[float], commit: float = 0.002
) -> int:
    """Sends as the engine does: a bunch, a commit, the gate; how many went before the day ended."""
    sent = 0
    while sent < count:
        given = await limiter.reserve(min(64, count - sent))
        if not given:
            break
        await clock.sleep(commit)
        for _ in range(given):
            if limiter.try_gate() or await limiter.gate():
                times.append(clock.monotonic())
                sent += 1
            else:
                limiter.give_back(1)
    return sent
