"""What writes a journal, in one thread: operations wait in a queue and share commits.

Each commit is `BEGIN IMMEDIATE`, the statements of every operation that was waiting, one row of
the log, `COMMIT`, and the commit mark; then one `call_soon_threadsafe` tells all who wait.
`sqlite3` gives the GIL away around every step, so what counts beside a busy event loop is the
number of statements, not rows: operations use one statement a batch.

An operation that fails by itself undoes the commit it was in, and the operations are run again one
by one: rare, and cheaper than a savepoint for each. An error of SQLite (a full disk) breaks the
writer: everybody who waits, and everybody later, gets one `JournalError`; nothing is half written.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from promomsg.errors import JournalError
from promomsg.journal.counts import RunningCounts
from promomsg.journal.sqlite import writer_threads
from promomsg.journal.sqlite.connect import explain
from promomsg.journal.sqlite.crash_safety.commit_mark import CommitMark, close_clean
from promomsg.journal.sqlite.crash_safety.side_files import WAL
from promomsg.journal.sqlite.crash_safety.slot_file import SlotFile
from promomsg.journal.sqlite.statements.transaction import Transaction, Undone

__all__ = ["Operation", "Writer"]

T = TypeVar("T")

_MOST: Final = 256
"""Operations in one commit at the most."""
_LEAST_WAL: Final = 512 * 1024
_MOST_WAL: Final = 8 * 1024 * 1024
"""Bytes of the write-ahead log at which it is merged: as many as the journal has, in between."""
_LOOK_AT_WAL: Final = 16
"""Commits between looks at its size."""


class Operation:
    """One operation that waits for its commit."""

    __slots__ = ("alone", "call", "error", "future", "reads", "result", "skippable")

    def __init__(
        self,
        call: Callable[[Transaction], Any],
        future: asyncio.Future[Any],
        alone: bool,
        skippable: bool,
        reads: bool,
    ) -> None:
        self.call = call
        self.future = future
        self.alone = alone
        self.skippable = skippable
        self.reads = reads
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """What writes one open journal, in a thread that it may share with others.

    Args:
        path: for messages.
        db: a connection in autocommit mode (`isolation_level=None`), used by the thread alone.
        today: the China-time day of the last intents, and how many it had.
        mark: where commits are counted, and then the log has a row for each of them; None while
            nothing has to survive (a plan in the making).
    """

    def __init__(
        self,
        path: str,
        db: sqlite3.Connection,
        today: tuple[str, int] = ("", 0),
        mark: CommitMark | None = None,
    ) -> None:
        self.path = path
        self.db = db
        self.mark = mark
        self.slots: SlotFile | None = None
        """Where commits are counted too; set and closed in the thread."""
        self.counts = RunningCounts()
        """Changed by the event loop's thread alone, with each commit's results."""
        self._today = today
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Operation | None] = SimpleQueue()
        self._broken: JournalError | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when everything is written and the connection is closed."""
        self._stopping = False
        self._commits = 0
        self._merge_at = 0
        self._start()

    def _start(self) -> None:
        self._thread = writer_threads.join()

    def _put(self, op: Operation | None) -> None:
        self._queue.put(op)
        self._thread.call(self._serve)

    def submit(
        self,
        call: Callable[[Transaction], T],
        *,
        alone: bool = False,
        skippable: bool = False,
        reads: bool = False,
    ) -> asyncio.Future[T]:
        """Queues an operation; the future is done when its commit is.

        Args:
            alone: it manages transactions (and may replace the connection) by itself.
            skippable: not started when its future was cancelled before the writer thread came to it.
            reads: it changes nothing, and sees what is committed. An error of it breaks nothing.
        """
        if self._stopping:
            raise JournalError(f"{self.path}: the journal is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(Operation(call, future, alone, skippable, reads))
        return future

    async def stop(self) -> None:
        """Does what is queued, checkpoints and closes the connection."""
        self.stop_soon()
        await asyncio.shield(self.ended)

    def stop_soon(self) -> None:
        """The same, without waiting for it: see `ended`."""
        if not self._stopping:
            self._stopping = True
            self._put(None)

    # In the thread.

    def _serve(self) -> None:
        if not self._do_queued():
            try:
                self._end()
            finally:
                self._thread.leave()

    def _do_queued(self) -> bool:
        """Does all operations that are queued; False after the last ones."""
        batch: list[Operation] = []
        ended = False
        with suppress(Empty):
            while len(batch) < _MOST and not ended:
                op = self._queue.get_nowait()
                if op is None:
                    ended = True
                else:
                    batch.append(op)
        self._do(batch)
        return not ended

    def _end(self) -> None:
        clean = self.mark is not None and self._broken is None
        if self.mark is not None and self._broken is None:
            close_clean(self.db, self.mark)
        else:
            with suppress(sqlite3.Error):
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with suppress(sqlite3.Error):
                self.db.close()
            if self.mark is not None:
                self.mark.close(remove=False)
        if self.slots is not None:
            self.slots.close(remove=clean)
        self._tell(self._ended)

    def _do(self, batch: list[Operation]) -> None:
        run: list[Operation] = []
        reads: list[Operation] = []
        for op in batch:
            if op.reads:
                reads.append(op)
            elif op.alone:
                self._commit(run)
                run = []
                self._alone(op)
            else:
                run.append(op)
        self._commit(run)
        if reads:
            self._read(reads)

    def _read(self, ops: list[Operation]) -> None:
        for op in ops:
            try:
                op.result = op.call(Transaction(self.db, self._today))
            except (sqlite3.Error, OSError) as error:
                op.error = explain(error, self.path)
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                op.error = error
        self._tell(self._deliver, ops, RunningCounts())

    def _alone(self, op: Operation) -> None:
        tx = Transaction(self.db, self._today)
        try:
            if self._broken is not None:
                raise self._broken
            op.result = op.call(tx)
        except (sqlite3.Error, OSError) as error:
            self._broken = op.error = explain(error, self.path)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            op.error = error
        self._tell(self._deliver, [op], tx.counts)

    def _commit(self, ops: list[Operation]) -> None:
        if not ops:
            return
        tx = Transaction(self.db, self._today)
        try:
            if self._broken is not None:
                raise self._broken
            self.db.execute("BEGIN IMMEDIATE")
            for op in ops:
                if not (op.skippable and op.future.cancelled()):
                    op.result = op.call(tx)
            if self.mark is None:
                tx.flush()
                tx.keep_counts()
                self.db.execute("COMMIT")
            else:
                tx.finish()
                self.db.execute("COMMIT")
                self._mark(self.mark, tx)
        except (sqlite3.Error, OSError) as error:
            self._undo()
            self._broken = explain(error, self.path)
            self._fail(ops, self._broken)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            self._undo()
            if error is self._broken:
                self._fail(ops, error)
            elif len(ops) > 1:
                for op in ops:
                    self._commit([op])
            elif isinstance(error, Undone):
                ops[0].result = error.value
                self._tell(self._deliver, ops, RunningCounts())
            else:
                self._fail(ops, error)
        else:
            self._today = tx.today
            self._tell(self._deliver, ops, tx.counts)
            if self.mark is not None:
                self._merge_in_time()

    def _mark(self, mark: CommitMark, tx: Transaction) -> None:
        if tx.number:
            edge = tx.chunk_over or bool(tx.singles) or bool(tx.groups)
            mark.write(tx.number, tx.singles, tx.groups, sync=edge)
            if self.slots is not None:
                self.slots.committed(tx.number)

    def _merge_in_time(self) -> None:
        """Merges the write-ahead log when it has grown, so that little of a journal stands in it.

        All of it or, while somebody reads, what can be, without waiting for them.
        """
        self._commits += 1
        if self._commits % _LOOK_AT_WAL:
            return
        with suppress(OSError, sqlite3.Error):
            size = os.stat(f"{self.path}{WAL}").st_size
            least = min(max(_LEAST_WAL, os.stat(self.path).st_size), _MOST_WAL)
            if size < max(least, self._merge_at):
                return
            self.db.execute("PRAGMA busy_timeout = 0")
            try:
                (busy, _, _) = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self.db.execute("PRAGMA busy_timeout = 10000")
            self._merge_at = size + least if busy else 0

    def _undo(self) -> None:
        with suppress(sqlite3.Error):
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    def _fail(self, ops: list[Operation], error: BaseException) -> None:
        for op in ops:
            op.error = error
        self._tell(self._deliver, ops, RunningCounts())

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)

    # In the event loop's thread.

    def _deliver(self, ops: list[Operation], counts: RunningCounts) -> None:
        self.counts.merge(counts)
        for op in ops:
            if op.future.done():
                continue
            if op.error is None:
                op.future.set_result(op.result)
            elif isinstance(op.error, JournalError):
                # Each waiter its own, or their tracebacks grow into one another.
                op.future.set_exception(JournalError(*op.error.args))
            else:
                op.future.set_exception(op.error)

    def _ended(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
