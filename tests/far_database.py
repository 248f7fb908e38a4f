"""An account's quota in a database far away: answers take time, and every clock says something else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, cast

from clocks import FakeClock

from promomsg.journal.postgres.account_quota.quota_connection import (
    LockedRow,
    QuotaConnection,
    RowKey,
)
from promomsg.journal.postgres.account_quota.quota_rows import QuotaRows
from promomsg.journal.postgres.account_quota.server_clock import ServerClock
from promomsg.transport.quota.shared_limiter import SharedLimiter
from promomsg.transport.quota.store import QuotaStoreAway, QuotaStoreError

__all__ = ["FarDatabase", "OwnClock"]

KEY = RowKey("wechat", "https://api.weixin.qq.com", "wx1", "singles")


class OwnClock:
    """A machine's clock: it began at another time, and runs a little faster or slower.

    Args:
        true: the time that there is.
        began: what it says at the true time 0.
        drift: seconds a second by which it runs faster.
    """

    def __init__(self, true: FakeClock, began: float = 0.0, drift: float = 0.0) -> None:
        self._true = true
        self._began = began
        self._drift = drift

    def monotonic(self) -> float:
        return self._began + self._true.monotonic() * (1 + self._drift)

    def time(self) -> float:
        return self._true.time()

    async def sleep(self, seconds: float) -> None:
        await self._true.sleep(seconds / (1 + self._drift))


class FarDatabase:
    """Rows that are locked, changed and committed one after the other, each step after a random time.

    Args:
        true: the time that there is.
        longest: seconds that a question, or its answer, may take.

    Attributes:
        ahead: by how much the server's clock is ahead of the true time.
        started: which start of the server it is.
        is_away: it answers nobody.
        loses_answers: it commits, and nobody hears of it.
        changes: how many transactions there were.
    """

    def __init__(self, true: FakeClock, *, longest: float = 0.01, seed: int = 0) -> None:
        self.true = true
        self.longest = longest
        self.rng = random.Random(seed)
        self.ahead = 1_700_000_000.0
        self.started = "1699999999.5"
        self.is_away = False
        self.loses_answers = False
        self.changes = 0
        self.rows: dict[RowKey, str] = {}
        self.turn = asyncio.Lock()

    async def on_the_way(self) -> None:
        """A question, or an answer."""
        await self.true.sleep(self.rng.random() * self.longest)

    def sender(
        self, a_second: float = 20, *, clock: OwnClock | None = None, day: int | None = None
    ) -> SharedLimiter:
        """A sender of the account on a machine of its own."""
        own = clock or OwnClock(self.true, self.rng.uniform(0, 1e6))
        rows = QuotaRows("postgresql://db.example/fleet", *KEY[:3])
        connection = cast(QuotaConnection, _FarConnection(self, own))
        rows._connected = lambda: _known(rows, connection)  # type: ignore[method-assign]
        limiter = SharedLimiter(rows, "singles", own)
        limiter.set_quotas((a_second, 1.0))
        limiter.day_limit = day
        return limiter


def _known(rows: QuotaRows, connection: QuotaConnection) -> QuotaConnection:
    rows._connection = connection
    return connection


class _FarConnection:
    """What `QuotaConnection` does, over a network of the test's own."""

    keepers = 0

    def __init__(self, database: FarDatabase, own: OwnClock) -> None:
        self._database = database
        self._own = own
        self._tasks: set[asyncio.Task[Any]] = set()
        self.clock = ServerClock()

    def put(
        self,
        key: RowKey,
        change: Callable[[LockedRow], tuple[str, Callable[[], None]]],
        failed: Callable[[QuotaStoreError], None],
    ) -> None:
        task = asyncio.create_task(self._change(key, change, failed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _change(
        self,
        key: RowKey,
        change: Callable[[LockedRow], tuple[str, Callable[[], None]]],
        failed: Callable[[QuotaStoreError], None],
    ) -> None:
        database = self._database
        asked_at = self._own.monotonic()
        await database.on_the_way()
        if database.is_away:
            failed(QuotaStoreAway("db.example: it cannot be reached now"))
            return
        async with database.turn:
            now = database.true.monotonic() + database.ahead
            row = LockedRow(database.rows.get(key, ""), now, database.started)
            await database.on_the_way()
            self.clock.heard(asked_at, now, self._own.monotonic())
            try:
                text, tell = change(row)
            except QuotaStoreError as error:
                failed(error)
                return
            await database.on_the_way()
            database.rows[key] = text
            database.changes += 1
        await database.on_the_way()
        if database.loses_answers:
            failed(QuotaStoreAway("db.example: the connection is lost"))
        else:
            tell()
