"""Planning, and what the user asks for between runs: each call of the contract as a statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeVar

from promomsg.crashpoints import reached
from promomsg.errors import JournalError
from promomsg.journal.planned_columns import AddedRows, PlannedColumns, as_columns
from promomsg.journal.postgres.open_campaign import OpenCampaign
from promomsg.journal.postgres.planning import (
    anew,
    planned_groups,
    planned_rows,
    sealing,
    suppression,
)
from promomsg.journal.postgres.statements import campaign_row
from promomsg.journal.reasons import CANCELLED
from promomsg.journal.records import (
    UNIQUE,
    CampaignRecord,
    Outage,
    Place,
    PlannedRow,
    Reason,
    SharedMessage,
)
from promomsg.journal.unreachable import JournalUnreachable
from promomsg.model import State

__all__ = ["PlanningCalls"]

T = TypeVar("T")

_SOME: Final = 5_000
"""Keys of `select` handed over at a time."""


class PlanningCalls(OpenCampaign):
    """The calls of `promomsg.journal.contract.Handle` that plan, and that plan anew."""

    @property
    def _known(self) -> AddedRows | None:
        """What is known of the rows of a plan in the making; None of a campaign that was opened."""
        return self._added if self._planning else None

    async def _plan(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        self._refuse_complete()
        return await self._access.session(call, *args)

    async def _over_all(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """A statement over all rows: the server has to know first how many there are by now."""
        if self._planning and self._looked_at != self._added.count:
            await self._access.session(planned_rows.look_at_all)
            self._looked_at = self._added.count
        return await self._access.session(call, *args)

    async def _plan_over_all(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        self._refuse_complete()
        return await self._over_all(call, *args)

    async def add_rows(self, rows: Sequence[PlannedRow]) -> None:
        """See `Handle.add_rows`."""
        pending = [row for row in rows if row.state == State.PENDING]
        if pending:
            await self.add_columns(as_columns(pending))
        if len(pending) < len(rows):
            final = [row for row in rows if row.state != State.PENDING]
            await self._plan(planned_rows.add_final, final)
            reached("plan-batch")

    async def add_columns(self, rows: PlannedColumns) -> None:
        """See `Handle.add_columns`."""
        await self._plan(planned_rows.add_columns, rows)
        self._added.add(rows)
        reached("plan-batch")

    async def assign_ids(self, found: Sequence[tuple[str | None, str | None, str]]) -> int:
        """See `Handle.assign_ids`."""
        self._added.given_ids()
        return await self._plan_over_all(planned_rows.assign_ids, found)

    async def list_suppressed(
        self,
        values: Sequence[str],
        spellings: Sequence[str] = (),
        doubtful: Sequence[tuple[str, str, str | None, bool]] = (),
        *,
        first: bool = False,
        secret: bool = False,
    ) -> int:
        """See `Handle.list_suppressed`."""
        self._pepper = bytes.fromhex(self._record.run_id) if secret else None
        return await self._access.session(
            suppression.list_values, values, spellings, doubtful, first, self._pepper
        )

    async def absent_key(self) -> str | None:
        """See `Handle.absent_key`."""
        return await self._over_all(suppression.absent_key, self._pepper)

    async def suppress(self, columns: Collection[str] = UNIQUE) -> int:
        """See `Handle.suppress`."""
        return self._skipped(
            await self._plan_over_all(suppression.suppress_listed, columns, self._pepper)
        )

    def _skipped(self, count: int) -> int:
        """Keeps that so many rows were skipped."""
        if count:
            self._added.changed = True
        return count

    async def left_out(self) -> int:
        """See `Handle.left_out`."""
        return await self._access.session(suppression.left_out)

    async def select(self, keys: Iterable[str]) -> int:
        """See `Handle.select`."""
        rest = iter(keys)
        first = True
        while (some := list(islice(rest, _SOME))) or first:
            await self._access.session(suppression.choose_keys, some, first)
            first = False
        self._added.changed = True
        return await self._plan_over_all(suppression.select_chosen)

    async def mark_duplicates(
        self, columns: Collection[str] = UNIQUE, places: Sequence[Place] = ()
    ) -> int:
        """See `Handle.mark_duplicates`."""
        return self._skipped(
            await self._plan_over_all(planned_rows.mark_duplicates, self._added, columns, places)
        )

    async def pending_keys(self, after: int, limit: int) -> list[tuple[int, str, int]]:
        """See `Handle.pending_keys`."""
        return await self._plan_over_all(planned_rows.pending_keys, after, limit)

    async def set_cohort(self, seqs: Sequence[int], cohort: int) -> None:
        """See `Handle.set_cohort`."""
        await self._plan(planned_rows.set_cohort, seqs, cohort)
        self._added.cohorts = True

    async def shared_messages(self, at_least: int) -> list[SharedMessage]:
        """See `Handle.shared_messages`."""
        return await self._over_all(planned_groups.shared_messages, at_least, self._known)

    async def make_groups(
        self, message_digest: bytes | None, sizes: Sequence[int], cohort: int = 0
    ) -> None:
        """See `Handle.make_groups`."""
        await self._access.session(
            planned_groups.make_groups, message_digest, sizes, cohort, self._known
        )
        self._added.groups += len(sizes)
        self._added.in_groups += sum(sizes)

    async def add_audience_group(self, audience: Mapping[str, Any], planned: int) -> None:
        """See `Handle.add_audience_group`."""
        await self._plan(planned_groups.add_audience_group, audience, planned)
        self._added.groups += 1

    async def seal(self, record: CampaignRecord, *, chunk_size: int) -> None:
        """See `Handle.seal`."""
        if not self._planning:
            raise JournalError(f"{self._access.name}: its plan is complete already")
        if record.planned_at is None:
            raise JournalError(
                f"{self._access.name}: a complete plan has the time it was completed"
            )
        try:
            await self._access.session(sealing.seal_plan, record, chunk_size, self._added)
        except JournalUnreachable:
            # Where only the answer was lost, others may be sending it by now.
            if not await self._access.do(sealing.is_sealed):
                raise
        self._planning = False
        self._record = record
        reached("plan-sealed")
        with suppress(JournalError):  # what is held goes with a connection that is lost
            await self._access.session(sealing.end_planning)

    async def _discard_half_plan(self) -> None:
        if not self._planning:
            return
        self._planning = False
        # Where the server is away, whoever plans a campaign of this name next throws it away.
        with suppress(JournalError):
            await self._access.session(sealing.discard_half_plan)

    async def sample(self, limit: int) -> list[tuple[str, str, tuple[str, ...]]]:
        """See `Handle.sample`."""
        return await self._access.read(planned_rows.sample, limit)

    async def plan_counts(self) -> tuple[int, int]:
        """See `Handle.plan_counts`."""
        return await self._access.read(planned_rows.plan_counts, self._known)

    # Planned anew.

    async def cancel_pending(self, at: float, reason: Reason = CANCELLED) -> int:
        """See `Handle.cancel_pending`."""
        return await self._access.do(anew.cancel_pending, at, reason)

    async def reopen(self, state: State, *, include_unnamed: bool, at: float) -> int:
        """See `Handle.reopen`."""
        return await self._access.do(anew.reopen, state, include_unnamed)

    async def seal_retry(self, *, chunk_size: int) -> None:
        """See `Handle.seal_retry`."""
        await self._access.do(anew.seal_retry, chunk_size)

    async def suppress_pending(
        self, columns: Collection[str] = UNIQUE, *, smallest_group: int, at: float
    ) -> int:
        """See `Handle.suppress_pending`."""
        return await self._access.session(
            anew.suppress_pending, columns, at, smallest_group, self._pepper
        )

    async def save(self, record: CampaignRecord) -> None:
        """See `Handle.save`. Warnings that others have kept stay."""
        await self._access.do(campaign_row.save_record, record)
        self._record = record

    async def keep_outage(self, outage: Outage | None) -> None:
        """See `Handle.keep_outage`."""
        await self._access.do(campaign_row.save_outage, outage)
        self._record.outage = outage

    async def warn(self, text: str) -> None:
        """See `Handle.warn`."""
        await self._access.do(campaign_row.add_warnings, [text])
        self._warned([text])
