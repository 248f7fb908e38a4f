"""How results gather into commits: nobody waits longer than somebody gains by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import anyio
import pytest

from promomsg.engine.sending.leased_chunks import LeasedChunk
from promomsg.engine.sending.result_batches import ResultBatch, ResultWriter
from promomsg.journal.records import Lease, SendResult
from promomsg.model import State

pytestmark = pytest.mark.asyncio
FOR_EVER = 1e6


class Written:
    """A journal that only notes how many results each commit had."""

    def __init__(self, linger: float) -> None:
        self.linger = linger
        self.commits: list[int] = []

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        self.commits.append(len(results))
        return True


class Writer:
    """A `ResultWriter` with a quorum of 4, and what it asks of the dispatcher.

    Args:
        linger: seconds that results wait for others at the most.
        quiet: seconds without a commit after which they come together.
    """

    def __init__(self, *, linger: float = FOR_EVER, quiet: float = FOR_EVER) -> None:
        self.journal: Any = Written(quiet)
        self.alone = False
        self.hurried = False
        self.writer = ResultWriter(
            self.journal,
            4,
            lambda: self.alone,
            lambda: self.hurried,
            lambda: linger,
            self._committed,
        )
        self.chunk = LeasedChunk(Lease(1, 1, None), inf)
        self._seq = 0

    async def _committed(self, batch: ResultBatch) -> None:
        pass

    async def push(self, count: int) -> list[int]:
        """So many results come; the commits that they led to."""
        before = len(self.journal.commits)
        for _ in range(count):
            self._seq += 1
            result = SendResult(self._seq, State.SENT.value, "", "", None, 1.0, False, None)
            self.writer.push(self.chunk, result)
        await anyio.wait_all_tasks_blocked()
        return list(self.journal.commits[before:])


@asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[Writer]:
    """In here it commits what comes."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.writer.run)
        yield writer
        tasks.cancel_scope.cancel()


async def test_results_wait_until_a_quorum_is_there() -> None:
    async with running(Writer()) as writer:
        assert await writer.push(8) == [8]  # the first: no commit has ended yet
        assert await writer.push(3) == []
        assert await writer.push(1) == [4]


async def test_a_result_that_no_other_can_join_does_not_wait() -> None:
    async with running(Writer()) as writer:
        assert await writer.push(1) == []
        writer.alone = True
        assert await writer.push(1) == [2]
        assert await writer.push(1) == [1]


async def test_results_wait_no_longer_than_the_linger() -> None:
    async with running(Writer(linger=0.0)) as writer:
        assert await writer.push(1) == [1]


async def test_where_answers_are_slow_all_that_come_together_are_one_commit() -> None:
    async with running(Writer(quiet=0.0)) as writer:
        assert await writer.push(8) == [8]
        assert await writer.push(4) == []
        assert await writer.push(4) == [8]


async def test_a_quorum_does_not_wait_for_more_when_somebody_waits_for_its_permits() -> None:
    async with running(Writer(quiet=0.0)) as writer:
        writer.hurried = True
        assert await writer.push(3) == []
        assert await writer.push(1) == [4]


async def test_what_came_last_is_written_before_the_end() -> None:
    writer = Writer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.writer.run)
        assert await writer.push(3) == []
        writer.alone = True  # the dispatcher has no more calls
        writer.writer.finish()
    assert writer.journal.commits == [3]
