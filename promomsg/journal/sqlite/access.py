"""How an open journal is written and read: a sender does both in the writer thread; who only reads
does it in a thread of its own, and so never delays a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.records import Counts
from promomsg.journal.sqlite.crash_safety.sender_slots import SenderSlots
from promomsg.journal.sqlite.crash_safety.slot_file import SlotFile
from promomsg.journal.sqlite.readers.reader import DAMAGED, NOT_OURS, Reader
from promomsg.journal.sqlite.statements import reading as read
from promomsg.journal.sqlite.writer import Writer

__all__ = ["Access", "ReadAccess", "WriteAccess"]

T = TypeVar("T")


class Access(Protocol):
    """What a handle does its work through.

    Attributes:
        name: the journal's, for messages.
    """

    name: str

    async def do(self, call: Callable[..., T], *args: Any, skippable: bool = False) -> T:
        """Queues `call(transaction, *args)`; returns when its commit is durable.

        Args:
            skippable: not started when the caller was cancelled before the writer thread came to it.
        """
        ...

    async def alone(self, call: Callable[..., T], *args: Any) -> T:
        """The same for a call that manages transactions by itself; to its end, also when the
        caller is cancelled."""
        ...

    async def read(self, call: Callable[..., T], *args: Any) -> T:
        """What `call(connection, *args)` reads of what is committed."""
        ...

    async def counts(self) -> Counts: ...
    async def missing(self) -> str | None:
        """See `Handle.missing`."""
        ...

    async def make_slots(self, slots: SenderSlots, run_id: str, most: int) -> SlotFile | None:
        """The file of a sender's wire slots; None: it cannot be made."""
        ...

    async def close(self) -> None: ...


class WriteAccess:
    """A sender's access. It reads with the connection that it writes with, which takes no more file
    descriptors.

    Args:
        name: the journal's, for messages.
        writer: of its one connection.
        missing: says what of the journal has been moved or removed under the sender.
        release: called once everything is written and closed.
    """

    def __init__(
        self,
        name: str,
        writer: Writer,
        *,
        missing: Callable[[], str | None] | None = None,
        release: Callable[[], None],
    ) -> None:
        self.name = name
        self.writer = writer
        self._missing = missing
        self._release = release
        self._closed = False

    async def do(self, call: Callable[..., T], *args: Any, skippable: bool = False) -> T:
        try:
            return await self.writer.submit(lambda tx: call(tx, *args), skippable=skippable)
        except msgspec.MsgspecError:
            raise JournalError(f"{self.name}: {DAMAGED}") from None

    async def alone(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.shield(self.writer.submit(lambda tx: call(tx, *args), alone=True))

    async def read(self, call: Callable[..., T], *args: Any) -> T:
        try:
            return await self.writer.submit(lambda tx: call(tx.db, *args), reads=True)
        except (msgspec.MsgspecError, *NOT_OURS):
            raise JournalError(f"{self.name}: {DAMAGED}") from None

    async def counts(self) -> Counts:
        return self.writer.counts.totals()

    async def missing(self) -> str | None:
        missing = self._missing
        if missing is None or self._closed:
            return None
        return await self.writer.submit(lambda _: missing(), reads=True)

    async def make_slots(self, slots: SenderSlots, run_id: str, most: int) -> SlotFile | None:
        writer = self.writer
        await writer.submit(lambda _: slots.make(writer, run_id, most), reads=True)
        return slots.file

    async def close(self) -> None:
        self._closed = True
        try:
            await self.writer.stop()
        except asyncio.CancelledError:
            # What is held is given back when the thread has written all, not before.
            self.writer.ended.add_done_callback(lambda _: self._release())
            self.writer.stop_soon()
            raise
        self._release()


class ReadAccess:
    """The access of whoever only reads. The reader is closed with it."""

    def __init__(self, reader: Reader) -> None:
        self.name = reader.name
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="promomsg-journal-reader")
        self._closing: Future[None] | None = None

    async def do(self, call: Callable[..., T], *args: Any, skippable: bool = False) -> T:
        raise JournalError(f"{self.name}: it was opened for reading only")

    alone = do

    async def read(self, call: Callable[..., T], *args: Any) -> T:
        if self._closing is not None:
            raise JournalError(f"{self.name}: the journal is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, self._reader.read, lambda db: call(db, *args)
        )

    async def counts(self) -> Counts:
        return (await self.read(read.kept_counts)).totals()

    async def missing(self) -> str | None:
        return None

    async def make_slots(self, slots: SenderSlots, run_id: str, most: int) -> SlotFile | None:
        return None

    async def close(self) -> None:
        if self._closing is None:
            # Behind the reads under way, whose callers may have been cancelled.
            self._closing = self._thread.submit(self._reader.close)
            self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._closing))
