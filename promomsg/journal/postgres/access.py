"""How an open campaign is written and read: in transactions on connections of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from promomsg.errors import JournalError
from promomsg.journal.postgres.database import Connection, connect, explain
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction, Undone

__all__ = ["CampaignAccess"]

T = TypeVar("T")


class CampaignAccess:
    """What a handle does its work through.

    Args:
        url: of the database.
        name: the journal's, for messages.
        campaign: its number in the database.
        worker: who writes, in the tally and the leases; '' is planning's.
        session: a connection that is held already (a plan in the making); closed with this.
        writes: whether anything may be written.
    """

    def __init__(
        self,
        url: str,
        name: str,
        campaign: int,
        *,
        worker: str = "",
        session: Connection | None = None,
        writes: bool = True,
    ) -> None:
        self.url = url
        self.name = name
        self.campaign = campaign
        self.worker = worker
        self.writes = writes
        self._session = session
        self._turn = asyncio.Lock()
        self._closed = False

    async def session(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """`call(transaction, *args)` as one transaction, on the one connection that keeps the
        temporary tables of this handle; one after the other."""
        return await self._on_session(call, args)

    async def do(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """`call(transaction, *args)` as one transaction; returns when it is committed."""
        return await self._on_session(call, args)

    async def read(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What `call(reads, *args)` reads of what is committed."""
        async with self._turn:
            db = await self._connected()
            try:
                return await call(CampaignReads(db, self.campaign), *args)
            except psycopg.Error as error:
                raise explain(error, self.name) from None

    async def _on_session(self, call: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        if not self.writes:
            raise JournalError(f"{self.name}: it is open for reading only")
        async with self._turn:
            db = await self._connected()
            try:
                async with db.transaction():
                    tx = Transaction(db, self.campaign, self.worker)
                    value = await call(tx, *args)
                    await tx.finish()
                    return value
            except Undone as undone:
                return undone.value  # type: ignore[no-any-return]
            except psycopg.Error as error:
                raise explain(error, self.name) from None

    async def _connected(self) -> Connection:
        if self._closed:
            raise JournalError(f"{self.name}: the journal is closed")
        if self._session is None:
            self._session = await connect(self.url)
        return self._session

    async def close(self) -> None:
        """Lets go of the connections; a second call does nothing."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
