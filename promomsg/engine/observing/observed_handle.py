"""An open journal whose commits are timed, and whose outcomes are counted, for hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Literal

from promomsg.journal.contract import Handle
from promomsg.journal.records import GroupCounts, Lease, Reason, SendResult
from promomsg.model import Failure, State

__all__ = ["ObservedHandle"]

Committed = Callable[[Literal["intents", "results"], int, float], None]
Counted = Callable[[str, int], None]


class ObservedHandle:
    """Everything of a handle; what sends wait for is timed.

    Args:
        committed: told what was committed, how many rows, and the seconds.
        counted: told so many recipients that this process made final, by state.
    """

    def __init__(self, handle: Handle, committed: Committed, counted: Counted) -> None:
        self._handle = handle
        self._committed = committed
        self._counted = counted
        self.mark_leaving = handle.mark_leaving  # once a message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        """See `Handle`."""
        began = monotonic()
        ok = await self._handle.intend(lease, seqs, at, day)
        self._committed("intents", len(seqs), monotonic() - began)
        return ok

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        """See `Handle`."""
        began = monotonic()
        ok = await self._handle.settle(lease, results)
        self._committed("results", len(results), monotonic() - began)
        if ok:
            for result in results:
                self._counted(result.state, 1)
        return ok

    async def refuse_message(self, seq: int, reason: Reason, at: float) -> int:
        """See `Handle`."""
        count = await self._handle.refuse_message(seq, reason, at)
        self._counted(State.FAILED.value, count)
        return count

    async def intend_group(self, lease: Lease, at: float) -> bool:
        """See `Handle`."""
        began = monotonic()
        ok = await self._handle.intend_group(lease, at)
        self._committed("intents", 1, monotonic() - began)
        return ok

    async def accept_group(
        self, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
    ) -> bool:
        """See `Handle`."""
        began = monotonic()
        ok = await self._handle.accept_group(lease, msg_id, rid, at, next_poll_at)
        self._committed("results", 1, monotonic() - began)
        return ok

    async def lose_group(self, lease: Lease, reason: Reason, at: float) -> bool:
        """See `Handle`."""
        ok = await self._handle.lose_group(lease, reason, at)
        await self._count_group(lease.group_no, State.UNKNOWN, ok)
        return ok

    async def refuse_group(
        self, lease: Lease, reason: Reason, at: float, *, everybody: bool = True
    ) -> bool:
        """See `Handle`."""
        ok = await self._handle.refuse_group(lease, reason, at, everybody=everybody)
        await self._count_group(lease.group_no, State.FAILED, ok)
        return ok

    async def expire_group(self, group_no: int, at: float) -> bool:
        """See `Handle`."""
        ok = await self._handle.expire_group(group_no, at)
        await self._count_group(group_no, State.UNKNOWN, ok)
        return ok

    async def complete_group(
        self,
        group_no: int,
        counts: GroupCounts,
        *,
        failures: Sequence[Failure],
        unnamed: int,
        at: float,
        warnings: Sequence[str] = (),
    ) -> list[str] | None:
        """See `Handle`."""
        began = monotonic()
        found = await self._handle.complete_group(
            group_no, counts, failures=failures, unnamed=unnamed, at=at, warnings=warnings
        )
        self._committed("results", 1, monotonic() - began)
        if found is not None:
            group = await self._handle.group(group_no)
            failed = len(failures) + (unnamed if group.audience is not None else 0)
            rest = State.UNKNOWN if unnamed and group.audience is None else State.SENT
            self._counted(State.FAILED.value, failed)
            self._counted(rest.value, max(0, group.planned - failed))
        return found

    async def _count_group(self, group_no: int | None, state: State, ok: bool) -> None:
        if ok and group_no is not None:
            self._counted(state.value, (await self._handle.group(group_no)).planned)
