"""Intents and results of a sender: whatever waits goes into the next commit, as one statement.

One commit is under way at a time, on a connection of its own; what comes meanwhile waits for the next
one. While the server is away the same commit is asked for again: nothing of it is done twice
(`commit_statement`, `one_batch`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors

from promomsg.errors import JournalError
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.commits.batches import Intent, Settlement
from promomsg.journal.postgres.commits.commit_statement import commit_arguments, commit_text
from promomsg.journal.postgres.commits.one_batch import correct_late, intend_one, settle_one
from promomsg.journal.postgres.database import Connection
from promomsg.journal.postgres.statements.transaction import (
    Transaction,
    statement,
)
from promomsg.journal.records import Lease, SendResult

__all__ = ["GroupCommit"]

T = TypeVar("T")

_MOST: Final = 256
"""Batches in one commit at the most."""
_ANSWERS_IN: Final = 10.0
"""Seconds that a commit may take."""


class _Waiting:
    """One batch that waits for its commit."""

    __slots__ = ("batch", "done")

    def __init__(self, batch: Intent | Settlement, done: asyncio.Future[bool]) -> None:
        self.batch = batch
        self.done = done

    def seqs(self) -> Sequence[int]:
        """The rows that it changes."""
        if isinstance(self.batch, Intent):
            return self.batch.seqs
        return [result.seq for result in self.batch.results]


class GroupCommit:
    """What writes the intents and results of one open campaign.

    Args:
        access: of the campaign.
    """

    def __init__(self, access: CampaignAccess) -> None:
        self._access = access
        self._queue: deque[_Waiting] = deque()
        self._db: Connection | None = None
        self._running: asyncio.Task[None] | None = None

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        """See `Handle.intend`."""
        return await self._put(Intent(lease, seqs, at, day))

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        """See `Handle.settle`."""
        return await self._put(Settlement.of(lease, results))

    async def _put(self, batch: Intent | Settlement) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(batch, done))
        if self._running is None:
            # No task group is open here for as long as the campaign is; `close` waits for it.
            self._running = asyncio.create_task(self._run())
        return await done

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._commit(self._next())
        finally:
            self._running = None

    def _next(self) -> list[_Waiting]:
        """What goes into the next commit: no row twice, since a statement changes each row once."""
        waiting: list[_Waiting] = []
        seqs: set[int] = set()
        while self._queue and len(waiting) < _MOST:
            first = self._queue[0]
            if isinstance(first.batch, Intent) and first.done.cancelled():
                self._queue.popleft()
                continue
            own = first.seqs()
            if not seqs.isdisjoint(own):
                break
            seqs.update(own)
            waiting.append(self._queue.popleft())
        return waiting

    async def _commit(self, waiting: list[_Waiting]) -> None:
        try:
            refused = await self._together(waiting)
            if refused is None:
                for one in waiting:
                    await self._alone(one)
                return
            for one in waiting:
                if one not in refused:
                    _tell(one.done, True)
            for one in refused:
                await self._alone(one)
        except BaseException as error:
            for one in waiting:
                _fail(one.done, error)
            if not isinstance(error, Exception):
                raise

    async def _together(self, waiting: list[_Waiting]) -> list[_Waiting] | None:
        """All of them in one statement; those whose lease has moved on, or None: it was undone."""
        if not waiting:
            return []
        intents = [one for one in waiting if isinstance(one.batch, Intent)]
        told = [one for one in waiting if isinstance(one.batch, Settlement)]
        settlements = [one.batch for one in told if isinstance(one.batch, Settlement)]
        args = commit_arguments(
            [one.batch for one in intents if isinstance(one.batch, Intent)],
            settlements,
            self._access.worker,
        )
        others = any(settlement.others for settlement in settlements)
        sent = any(settlement.sent for settlement in settlements) or not others
        text = commit_text(bool(intents), bool(told) and sent, others)
        try:
            asked, held = await self._asked_again(self._execute, text, args)
        except errors.DivisionByZero:
            return None
        let_in = {id(intents[op - 1]) for op in asked or ()} | {
            id(told[op - 1]) for op in held or ()
        }
        return [one for one in waiting if id(one) not in let_in]

    async def _alone(self, one: _Waiting) -> None:
        """One batch, looked at row by row: why it cannot be done, that it is done already, or what of
        it comes late."""
        try:
            if isinstance(one.batch, Intent):
                _tell(
                    one.done, await self._asked_again(self._in_transaction, intend_one, one.batch)
                )
                return
            held = await self._asked_again(self._in_transaction, settle_one, one.batch)
            if not held:
                await self._asked_again(self._in_transaction, correct_late, one.batch)
            _tell(one.done, held)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            _fail(one.done, error)

    async def _asked_again(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        async def once() -> T:
            if self._db is None:
                self._db = await self._access.connected(answers_in=_ANSWERS_IN)
            try:
                with self._access.watched(self._db):
                    return await call(self._db, *args)
            except errors.DivisionByZero:
                raise
            except psycopg.Error as error:
                await self._drop()
                raise self._access.explained(error) from None

        return await self._access.asked_again(once)

    async def _execute(self, db: Connection, text: str, args: dict[str, Any]) -> tuple[Any, Any]:
        campaign = self._access.campaign
        cursor = await db.execute(
            statement(text, campaign), {"campaign": campaign, **args}, prepare=True
        )
        row = await cursor.fetchone()
        assert row is not None
        return row[0], row[1]

    async def _in_transaction(
        self, db: Connection, call: Callable[..., Awaitable[T]], batch: Intent | Settlement
    ) -> T:
        async with db.transaction():
            tx = Transaction(db, self._access.campaign, self._access.worker)
            value = await call(tx, batch)
            await tx.finish()
            return value

    async def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(psycopg.Error):
                await db.close()

    async def close(self) -> None:
        """Commits what is queued, and lets go of the connection."""
        while self._running is not None:
            await asyncio.shield(self._running)
        await self._drop()


def _tell(done: asyncio.Future[bool], value: bool) -> None:
    if not done.done():
        done.set_result(value)


def _fail(done: asyncio.Future[bool], error: BaseException) -> None:
    if done.done():
        return
    if isinstance(error, JournalError):
        # Each waiter its own, or their tracebacks grow into one another.
        error = type(error)(*error.args)
    done.set_exception(error)
