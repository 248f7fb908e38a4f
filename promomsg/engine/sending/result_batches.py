"""Results on disk: gathered for a moment, committed together, then handed on.

Why batches: a commit with a full sync costs about as much for a thousand rows as for one (half a
millisecond and up), and nobody waits for a single result but its permit. A batch is written when
half of the calls have answered, or when no call is out that could join it, or after the journal's
linger (20 ms where a send whose result is lost is made again and the provider says the same; a
quarter of a second where a pace is what a send waits for, and permits are plenty). When no commit has
ended for the journal's linger, answers take longer than a commit, and come together: then a batch
waits for all of them, unless a worker has nobody to call meanwhile. The journal writes a chunk's batch
in two statements: plain successes have nothing but their number and the moment, so one statement
takes them all by a list of numbers; whatever has a code, a text or another state goes by a second one,
row by row.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import NamedTuple

import anyio

from promomsg.crashpoints import reached
from promomsg.engine.sending.decision import Decision
from promomsg.engine.sending.leased_chunks import LeasedChunk
from promomsg.journal.contract import Handle
from promomsg.journal.records import SendResult
from promomsg.model import Answer, SingleSend
from promomsg.wakeup import Wakeup

__all__ = ["FollowUp", "ResultBatch", "ResultWriter"]

log = logging.getLogger("promomsg.engine")


class FollowUp(NamedTuple):
    """What is left to do about a recipient whose result, once on disk, is not the end of it."""

    chunk: LeasedChunk
    single_send: SingleSend
    result: SendResult
    decision: Decision
    refusal: Answer | None = None
    """Of a recipient's own token, which is to be replaced before they are called again."""


class ResultBatch:
    """Results that are committed together.

    Attributes:
        count: how many.
        by_chunk: what the journal writes.
        follow_ups: of those among them whose result is not the end of it; plain ones have none.
    """

    __slots__ = ("by_chunk", "count", "follow_ups")

    def __init__(self) -> None:
        self.count = 0
        self.by_chunk: dict[LeasedChunk, list[SendResult]] = {}
        self.follow_ups: list[FollowUp] = []


class ResultWriter:
    """Commits results as they come.

    Args:
        quorum: results that are committed without waiting for more; twice as many once no commit has
            ended for the journal's linger.
        alone: whether no call is under way whose result could join.
        hurried: whether somebody waits for the permits of a quorum.
        linger: seconds that results wait for others before they are committed.
        committed: called with each batch once it is durable.
    """

    def __init__(
        self,
        handle: Handle,
        quorum: int,
        alone: Callable[[], bool],
        hurried: Callable[[], bool],
        linger: Callable[[], float],
        committed: Callable[[ResultBatch], Awaitable[None]],
    ) -> None:
        self._handle = handle
        self._quorum = quorum
        self._goal = quorum
        self._alone = alone
        self._hurried = hurried
        self._linger = linger
        self._committed = committed
        self._batch = ResultBatch()
        self._no_more = False
        self._wakeup = Wakeup()

    def push(
        self, chunk: LeasedChunk, result: SendResult, follow_up: FollowUp | None = None
    ) -> None:
        """Takes one result for the next commit."""
        batch = self._batch
        results = batch.by_chunk.get(chunk)
        if results is None:
            batch.by_chunk[chunk] = [result]
        else:
            results.append(result)
        if follow_up is not None:
            batch.follow_ups.append(follow_up)
        batch.count += 1
        count = batch.count
        waits = self._quorum <= count < self._goal
        if count == 1 or count == self._goal or self._alone() or (waits and self._hurried()):
            self._wakeup.set()

    def _is_due(self, count: int) -> bool:
        return count >= self._goal or self._alone() or (count >= self._quorum and self._hurried())

    def finish(self) -> None:
        """No more results will come: `run` ends when the last ones are durable."""
        self._no_more = True
        self._wakeup.set()

    async def run(self) -> None:
        """Commits until `finish`.

        Raises:
            JournalError: what was intended without a result is unknown to a later process.
        """
        committed_at = -inf
        while True:
            if not self._batch.count:
                if self._no_more:
                    return
                await self._wakeup.wait()
                continue
            quiet = anyio.current_time() - committed_at >= self._handle.linger
            self._goal = 2 * self._quorum if quiet else self._quorum
            if not self._is_due(self._batch.count):
                with anyio.move_on_after(self._linger()):
                    while not self._is_due(self._batch.count):
                        await self._wakeup.wait()
            batch, self._batch = self._batch, ResultBatch()
            await self._commit(batch)
            await self._committed(batch)
            committed_at = anyio.current_time()

    async def _commit(self, batch: ResultBatch) -> None:
        reached("before-settle-commit")
        if len(batch.by_chunk) == 1:
            [(chunk, results)] = batch.by_chunk.items()
            await self._write(chunk, results)
        else:
            async with anyio.create_task_group() as commits:
                for chunk, results in batch.by_chunk.items():
                    commits.start_soon(self._write, chunk, results)
        reached("after-settle-commit")

    async def _write(self, chunk: LeasedChunk, results: list[SendResult]) -> None:
        if not await self._handle.settle(chunk.lease, results):
            chunk.lose()
            log.error(
                "chunk %d was taken over by another sender: %d results came late",
                chunk.lease.chunk_no,
                len(results),
            )
