"""How an open campaign is written and read: in transactions, on a few connections of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final, TypeVar

import psycopg

from promomsg.clock import SYSTEM_CLOCK
from promomsg.errors import JournalError
from promomsg.journal.postgres.connections.lost_answers import watched
from promomsg.journal.postgres.database import (
    Connection,
    connect,
    explain,
    is_at_work,
    is_away,
)
from promomsg.journal.postgres.schema import SENDERS
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction, Undone
from promomsg.journal.unreachable import JournalUnreachable, until_reached

__all__ = ["CampaignAccess"]

T = TypeVar("T")

_MOST: Final = 3
"""Connections at the most, besides the session's and the one of intents and results."""


class CampaignAccess:
    """What a handle does its work through.

    Args:
        url: of the database.
        name: the journal's, for messages.
        campaign: its number in the database.
        worker: who writes, in the tally and the leases; '' is planning's.
        session: a connection that is held already (a plan in the making); closed with this.
        idle: one that is open already and nobody's.
        writes: whether anything may be written.
        then: as `explain` has it.

    Attributes:
        lease_life: seconds for which a lease is good, and for which a server that is away is asked
            again.
    """

    lease_life: float = 15.0

    def __init__(
        self,
        url: str,
        name: str,
        campaign: int,
        *,
        worker: str = "",
        session: Connection | None = None,
        idle: Connection | None = None,
        writes: bool = True,
        then: str = "resume",
    ) -> None:
        self.url = url
        self.name = name
        self.campaign = campaign
        self.worker = worker
        self.writes = writes
        self._then = then
        self._session = session
        self._turn = asyncio.Lock()
        self._idle = [] if idle is None else [idle]
        self._permits = asyncio.Semaphore(_MOST)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def session(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """`call(transaction, *args)` as one transaction, on the one connection that keeps the
        temporary tables of this handle; one after the other. It is undone when the caller is
        cancelled."""
        self._refuse_reader()
        return await self._apart(self._on_session(call, args), stop=True)

    async def _on_session(self, call: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        async with self._turn:
            if self._session is None or self._session.closed:
                self._refuse_closed()
                self._session = await connect(self.url, then=self._then)
            try:
                with self.watched(self._session):
                    return await self._transaction(self._session, call, args)
            except psycopg.Error as error:
                raise self.explained(error) from None

    async def do(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """`call(transaction, *args)` as one transaction; returns when it is committed. While the
        server is away it is asked again, for as long as a lease lives. It goes on to its end when
        the caller is cancelled."""
        self._refuse_reader()

        async def once() -> T:
            async with self._connection() as db:
                with self.watched(db):
                    return await self._transaction(db, call, args)

        return await self._apart(self.asked_again(once))

    async def read(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What `call(reads, *args)` reads of what is committed; asked again in the same way."""

        async def once() -> T:
            async with self._connection() as db:
                with self.watched(db):
                    return await call(CampaignReads(db, self.campaign), *args)

        return await self._apart(self.asked_again(once), stop=True)

    async def asked_again(self, once: Callable[[], Awaitable[T]]) -> T:
        """What `once` returns, as soon as the server can be reached; for as long as a lease lives.

        That is counted from the first failure: a process that stood still finds its connections
        ended and its time over, and the server there.
        """
        try:
            return await once()
        except JournalUnreachable:
            return await until_reached(once, life=self.lease_life, clock=SYSTEM_CLOCK)

    async def _apart(self, work: Coroutine[Any, Any, T], *, stop: bool = False) -> T:
        """Does `work` in a task of its own, which `close` waits for. A cancellation of the caller
        reaches it once and not at each of its awaits, so that the connection can be used again.

        Args:
            stop: the cancellation reaches it at all.
        """
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if stop:
                task.cancel()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it has it, or nobody does any more

    async def connected(self, *, answers_in: float = 0.0) -> Connection:
        """A new connection to send with, which the caller closes; `answers_in`: as
        `database.connect`. A process that is frozen loses what it has locked before its leases are
        over."""
        self._refuse_closed()
        idle = self.lease_life / 3
        # The first connection has found the tables to be of our version.
        db = await connect(
            self.url,
            check=False,
            answers_in=answers_in,
            idle_in_transaction=idle,
            then=self._then,
        )
        try:
            with self.watched(db):
                await self.announce(db)
        except psycopg.Error as error:
            await db.close()
            raise self.explained(error) from None
        except BaseException:
            await db.close()
            raise
        return db

    def watched(self, db: Connection) -> AbstractContextManager[None]:
        """A block in which a connection whose questions or answers are lost on the way is found out
        before the leases are over, and hung up."""
        return watched(db, lambda: is_at_work(self.url, db.process), every=self.lease_life / 5)

    async def announce(self, db: Connection) -> None:
        """Says on a connection that a sender of the campaign is at work, until it is closed."""
        if self.writes:
            text = f"SELECT pg_advisory_lock_shared({SENDERS}, {self.campaign})"
            await db.execute(text.encode())

    def _refuse_closed(self) -> None:
        if self._closed:
            raise JournalError(f"{self.name}: the journal is closed")

    def _refuse_reader(self) -> None:
        if not self.writes:
            raise JournalError(f"{self.name}: it was opened for reading only")

    async def _transaction(
        self, db: Connection, call: Callable[..., Awaitable[T]], args: tuple[Any, ...]
    ) -> T:
        try:
            async with db.transaction():
                tx = Transaction(db, self.campaign, self.worker)
                value = await call(tx, *args)
                await tx.finish()
                return value
        except Undone as undone:
            return undone.value  # type: ignore[no-any-return]

    def explained(self, error: psycopg.Error) -> JournalError:
        """An error of the server as the journal's."""
        return explain(error, self.name, self._then)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """One of the connections, for one call."""
        async with self._permits:
            db = self._idle.pop() if self._idle else await self.connected()
            try:
                yield db
            except psycopg.Error as error:
                if is_away(error):
                    await self._drop_idle()  # those who wait are no better
                raise self.explained(error) from None
            finally:
                # Also whoever was cancelled in between leaves a connection that can be used, or none.
                if db.closed or self._closed or db.info.transaction_status:
                    await db.close()
                else:
                    self._idle.append(db)

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for db in idle:
            await db.close()

    async def close(self) -> None:
        """Waits for what is under way, and lets go of the connections; a second call does nothing."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._drop_idle()
