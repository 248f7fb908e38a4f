"""Results on disk: gathered for a moment, committed together, then handed on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import anyio

from promomsg.crashpoints import reached
from promomsg.engine.sending.decision import Decision
from promomsg.engine.sending.run_control import Wakeup
from promomsg.journal.contract import Handle
from promomsg.journal.records import Lease, Settled
from promomsg.model import Answer, SingleSend

__all__ = ["LeasedChunk", "ResultWriter", "SendResult"]

log = logging.getLogger("promomsg.engine")

_LINGER: Final = 0.004
"""Seconds that results wait for company before they are committed."""


class LeasedChunk:
    """A leased chunk, and what of it is still on its way."""

    __slots__ = ("fresh", "lease", "open")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.fresh: deque[SingleSend] = deque(lease.single_sends)
        self.open = len(lease.single_sends)
        """Recipients of the chunk that are not final yet."""


class SendResult(NamedTuple):
    """What one intended recipient came to, and what is to be done about it."""

    slot: LeasedChunk
    single_send: SingleSend
    settled: Settled
    decision: Decision
    refusal: Answer | None = None
    """Of a recipient's own token, which is to be replaced before they are called again."""


class ResultWriter:
    """Commits results as they come.

    Args:
        quorum: results that are committed without waiting for more.
        alone: whether no call is under way whose result could join.
        done: called with each batch once it is durable.
    """

    def __init__(
        self,
        handle: Handle,
        quorum: int,
        alone: Callable[[], bool],
        done: Callable[[list[SendResult]], Awaitable[None]],
    ) -> None:
        self._handle = handle
        self._quorum = quorum
        self._alone = alone
        self._done = done
        self._results: list[SendResult] = []
        self._through = False
        self._signal = Wakeup()

    @property
    def waiting(self) -> bool:
        """Whether some results are not being committed yet."""
        return bool(self._results)

    def push(self, result: SendResult) -> None:
        """Takes one result for the next commit."""
        self._results.append(result)
        if len(self._results) in (1, self._quorum) or self._alone():
            self._signal.set()

    def close(self) -> None:
        """No more results will come: `run` ends when the last ones are durable."""
        self._through = True
        self._signal.set()

    async def run(self) -> None:
        """Commits until it is closed.

        Raises:
            JournalError: what was intended without a result is unknown to a later process.
        """
        while True:
            if not self._results:
                if self._through:
                    return
                await self._signal.wait()
                continue
            if len(self._results) < self._quorum and not self._alone():
                with anyio.move_on_after(_LINGER):
                    while len(self._results) < self._quorum and not self._alone():
                        await self._signal.wait()
            batch, self._results = self._results, []
            await self._commit(batch)
            await self._done(batch)

    async def _commit(self, batch: list[SendResult]) -> None:
        by_slot: dict[LeasedChunk, list[Settled]] = {}
        for slot, _, settled, _, _ in batch:
            by_slot.setdefault(slot, []).append(settled)
        reached("before-settle-commit")
        if len(by_slot) == 1:
            [(slot, results)] = by_slot.items()
            await self._write(slot, results)
        else:
            async with anyio.create_task_group() as commits:
                for slot, results in by_slot.items():
                    commits.start_soon(self._write, slot, results)
        reached("after-settle-commit")

    async def _write(self, slot: LeasedChunk, results: list[Settled]) -> None:
        if not await self._handle.settle(slot.lease, results):
            log.error(
                "chunk %d is somebody else's now: %d results were not kept",
                slot.lease.chunk_no,
                len(results),
            )
