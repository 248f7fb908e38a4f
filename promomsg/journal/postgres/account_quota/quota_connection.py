"""The one connection of a process over which quotas are asked for: what waits goes as one transaction.

A row is locked, changed by its sender's step and written back in that transaction, at the time that the
server has once the row is locked. A process that stands still in between loses the connection, and with
it the locks, after `_STANDS_STILL`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import psycopg

from promomsg.errors import JournalError
from promomsg.journal.postgres.account_quota.server_clock import ServerClock
from promomsg.journal.postgres.connections.lost_answers import hung_up_after
from promomsg.journal.postgres.database import Connection, connect, explain, is_away, place
from promomsg.journal.unreachable import JournalUnreachable
from promomsg.transport.quota.store import QuotaStoreAway, QuotaStoreError

__all__ = ["LockedRow", "QuotaConnection", "RowKey"]

_ANSWERS_IN: Final = 3.0
"""Seconds for a statement, a wait for others' locks included."""
_STANDS_STILL: Final = 2.0
_HANGS_UP: Final = 8.0
"""Seconds for a transaction; a connection on which it takes longer is lost."""
_CLOSES_IN: Final = 2.0
"""The same once nobody needs it any more."""
_THEN: Final = "sending can go on"
"""What comes of it once the server can do it again, in a worker and in a process that sends by itself."""

_LOCK: Final = b"""
WITH locked AS MATERIALIZED (
    SELECT quota.channel, quota.origin, quota.account, quota.kind, quota.state
    FROM quota JOIN unnest(%s::text[], %s::text[], %s::text[], %s::text[])
        AS asked (channel, origin, account, kind) USING (channel, origin, account, kind)
    ORDER BY quota.channel, quota.origin, quota.account, quota.kind
    FOR UPDATE OF quota)
SELECT channel, origin, account, kind, state,
       extract(epoch FROM clock_timestamp())::double precision,
       extract(epoch FROM pg_postmaster_start_time())::text
FROM locked
"""
_ADD: Final = b"""
INSERT INTO quota (channel, origin, account, kind)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) ORDER BY 1, 2, 3, 4
ON CONFLICT DO NOTHING
"""
_WRITE: Final = b"""
UPDATE quota SET state = told.state
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS told (channel, origin, account, kind, state)
WHERE quota.channel = told.channel AND quota.origin = told.origin
  AND quota.account = told.account AND quota.kind = told.kind
"""


class RowKey(NamedTuple):
    """Which row: of whom, and of which calls."""

    channel: str
    origin: str
    account: str
    kind: str


class LockedRow(NamedTuple):
    """A row while it is locked.

    Attributes:
        state: its text; '' of a new one.
        now: the server's time.
        started: when the server was started, by its clock.
    """

    state: str
    now: float
    started: str


Change = Callable[[LockedRow], tuple[str, Callable[[], None]]]
"""Makes the row's new text, and what is to be done once that is committed. Raises QuotaStoreError: the row
cannot be read; it stays as it is. It is called again when the transaction has to be repeated."""


class _AskedChange(NamedTuple):
    key: RowKey
    change: Change
    failed: Callable[[QuotaStoreError], None]


_OPEN: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, QuotaConnection]] = (
    WeakKeyDictionary()
)


class QuotaConnection:
    """The connection to one database, of one event loop; it is opened for the first transaction.

    Args:
        url: the database's.

    Attributes:
        clock: the server's.
        keepers: how many want it to stay open between two transactions.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._where = place(url)
        self._waiting: list[_AskedChange] = []
        self._db: Connection | None = None
        self._running: asyncio.Task[None] | None = None
        self._closing = False
        self.clock = ServerClock()
        self.keepers = 0

    @classmethod
    def of(cls, url: str) -> QuotaConnection:
        """The one that this event loop has to a database."""
        opened = _OPEN.setdefault(asyncio.get_running_loop(), {})
        return opened.get(url) or opened.setdefault(url, cls(url))

    def put(self, key: RowKey, change: Change, failed: Callable[[QuotaStoreError], None]) -> None:
        """Has a row changed with the next transaction."""
        self._waiting.append(_AskedChange(key, change, failed))
        if self._running is None:
            # No task group is open here for as long as somebody sends; `close` waits for it.
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                try:
                    await self._change(waiting)
                except BaseException as error:
                    for one in waiting:
                        one.failed(self._explained(error))
                    if not isinstance(error, Exception):
                        raise
            if not self.keepers:
                await self._drop()
        finally:
            self._running = None

    def _explained(self, error: BaseException) -> QuotaStoreError:
        if not isinstance(error, Exception):
            return QuotaStoreAway(f"{self._where}: stopped")
        told = error if isinstance(error, JournalError) else explain(error, self._where, _THEN)
        if isinstance(told, JournalUnreachable):
            return QuotaStoreAway(str(told))
        return QuotaStoreError(str(told))

    async def _change(self, waiting: list[_AskedChange]) -> None:
        """One transaction; once more on a new connection when this one turns out to be closed."""
        is_new = self._db is None
        try:
            done = await self._transaction(waiting)
        except psycopg.Error as error:
            await self._drop()
            if is_new or self._closing or not is_away(error):
                raise
            try:
                done = await self._transaction(waiting)
            except BaseException:
                await self._drop()
                raise
        except BaseException:
            await self._drop()
            raise
        for tell in done:
            tell()

    async def _transaction(self, waiting: list[_AskedChange]) -> list[Callable[[], None]]:
        if self._db is None:
            self._db = await connect(
                self._url,
                answers_in=_ANSWERS_IN,
                idle_in_transaction=_STANDS_STILL,
                then=_THEN,
            )
        db = self._db
        changes: defaultdict[RowKey, list[_AskedChange]] = defaultdict(list)
        for one in waiting:
            changes[one.key].append(one)
        done: list[Callable[[], None]] = []
        with hung_up_after(db, _HANGS_UP):
            async with db.transaction():
                rows = await self._locked(db, list(changes))
                if len(rows) < len(changes):
                    new = [key for key in changes if key not in rows]
                    await db.execute(_ADD, _columns(new))
                    rows = await self._locked(db, list(changes))
                texts: dict[RowKey, str] = {}
                for key, row in rows.items():
                    for one in changes[key]:
                        try:
                            text, tell = one.change(row)
                        except QuotaStoreError as error:
                            one.failed(error)
                            continue
                        row = row._replace(state=text)
                        texts[key] = text
                        done.append(tell)
                if texts:
                    await db.execute(_WRITE, [*_columns(list(texts)), list(texts.values())])
        return done

    async def _locked(self, db: Connection, keys: list[RowKey]) -> dict[RowKey, LockedRow]:
        asked_at = time.monotonic()
        rows = await (await db.execute(_LOCK, _columns(keys))).fetchall()
        answered_at = time.monotonic()
        for row in rows:
            self.clock.heard(asked_at, row[5], answered_at)
        return {RowKey(*row[:4]): LockedRow(*row[4:]) for row in rows}

    async def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            await db.close()

    async def close(self) -> None:
        """Closes it once nothing is under way, or soon; nothing to do while somebody keeps it open."""
        while not self.keepers and (running := self._running) is not None:
            self._closing = True
            try:
                with nullcontext() if self._db is None else hung_up_after(self._db, _CLOSES_IN):
                    await asyncio.wait({running})
            finally:
                self._closing = False
        if not self.keepers:
            await self._drop()


def _columns(keys: list[RowKey]) -> list[Any]:
    return [list(column) for column in zip(*keys, strict=True)]
