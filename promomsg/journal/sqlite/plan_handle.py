"""A plan in the making, in SQLite: the first part of a campaign's handle."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from promomsg.crashpoints import reached
from promomsg.errors import JournalError
from promomsg.journal.plan_contract import KeptTokens
from promomsg.journal.planned_columns import AddedRows, PlannedColumns, as_columns
from promomsg.journal.records import NEVER, UNIQUE, CampaignRecord, Place, PlannedRow, SharedMessage
from promomsg.journal.sqlite.access import Access
from promomsg.journal.sqlite.planning import planned_groups, planned_rows, sealing
from promomsg.journal.sqlite.statements import suppression
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.model import State

if TYPE_CHECKING:
    from promomsg.journal.frequency.cap_contract import MessageCap, OverCap
    from promomsg.journal.sqlite.frequency.folder_cap import FolderCap

__all__ = ["PlanHandle", "Seal"]

T = TypeVar("T")

Seal = Callable[[sqlite3.Connection, CampaignRecord], None]
"""Makes the plan that this connection has written the journal; called in the writer thread."""

_SOME: Final = 5_000
"""Keys of `select` handed over at a time."""


class PlanHandle:
    """See `promomsg.journal.plan_contract.PlanWriter`.

    Args:
        access: how it is written and read; closed with the handle.
        seal: of a plan in the making; None once there is a journal.
    """

    def __init__(self, record: CampaignRecord, access: Access, seal: Seal | None) -> None:
        self._record = record
        self._access = access
        self._seal = seal
        self._pepper: bytes | None = None
        self._added = AddedRows()
        self._do = access.do
        self._read = access.read
        self._folder_cap: FolderCap | None = None
        self._cap_counted_at = NEVER

    @property
    def path(self) -> str | None:
        """Where the journal is, or will be; None in memory."""
        raise NotImplementedError

    async def _plan(self, call: Callable[..., T], *args: Any) -> T:
        if self._seal is None:
            raise JournalError(f"{self._access.name}: its plan is complete; nothing is added to it")
        return await self._do(call, *args)

    @property
    def _known(self) -> AddedRows | None:
        """What is known of the rows of a plan in the making; None of a journal that was opened."""
        return None if self._seal is None else self._added

    async def recipient_tokens(self, *, make: bool = False) -> KeptTokens | None:
        return None

    async def add_rows(self, rows: Sequence[PlannedRow]) -> None:
        pending = [row for row in rows if row.state == State.PENDING]
        if pending:
            await self.add_columns(as_columns(pending))
        if len(pending) < len(rows):
            final = [row for row in rows if row.state != State.PENDING]
            await self._plan(planned_rows.add_final, final)
            reached("plan-batch")

    async def add_columns(self, rows: PlannedColumns) -> None:
        await self._plan(planned_rows.add_columns, rows)
        self._added.add(rows)
        reached("plan-batch")

    async def assign_ids(self, found: Sequence[tuple[str | None, str | None, str]]) -> int:
        self._added.given_ids()
        return await self._plan(planned_rows.assign_ids, found)

    async def list_suppressed(
        self,
        values: Sequence[str],
        spellings: Sequence[str] = (),
        doubtful: Sequence[tuple[str, str, str | None, bool]] = (),
        *,
        first: bool = False,
        secret: bool = False,
    ) -> int:
        self._pepper = bytes.fromhex(self._record.run_id) if secret else None
        return await self._do(
            suppression.list_values, values, spellings, doubtful, first, self._pepper
        )

    async def absent_key(self) -> str | None:
        return await self._do(lambda tx: suppression.absent_key(tx.db, self._pepper))

    async def suppress(self, columns: Collection[str] = UNIQUE) -> int:
        return self._skipped(await self._plan(suppression.suppress_listed, columns, self._pepper))

    def _skipped(self, count: int) -> int:
        """Keeps that so many rows were skipped."""
        if count:
            self._added.changed = True
        return count

    async def left_out(self) -> int:
        return await self._do(lambda tx: suppression.left_out(tx.db))

    async def select(self, keys: Iterable[str]) -> int:
        rest = iter(keys)
        first = True
        while (some := list(islice(rest, _SOME))) or first:
            await self._do(suppression.choose_keys, some, first)
            first = False
        self._added.changed = True
        return await self._plan(suppression.select_chosen)

    async def mark_duplicates(
        self, columns: Collection[str] = UNIQUE, places: Sequence[Place] = ()
    ) -> int:
        return self._skipped(
            await self._plan(planned_rows.mark_duplicates, self._added, columns, places)
        )

    def _cap(self) -> FolderCap:
        if self._folder_cap is None:
            # Only a campaign with a cap loads what counts.
            from promomsg.journal.sqlite.frequency.folder_cap import FolderCap

            self._folder_cap = FolderCap(self._access, self._record, self.path)
        return self._folder_cap

    async def hold_cap(self) -> bool:
        return self._cap().hold()

    async def release_cap(self) -> None:
        if self._folder_cap is not None:
            self._folder_cap.release()

    async def skip_over_cap(self, cap: MessageCap, *, smallest_group: int, at: float) -> OverCap:
        planning = self._seal is not None
        over = await self._cap().skip(cap, planning=planning, smallest_group=smallest_group, at=at)
        self._skipped(over.skipped)
        self._cap_counted_at = at
        return over

    async def is_cap_counted(self, since: float) -> bool:
        return self._cap_counted_at >= since

    async def pending_keys(self, after: int, limit: int) -> list[tuple[int, str, int]]:
        return await self._read(planned_rows.pending_keys, after, limit)

    async def set_cohort(self, seqs: Sequence[int], cohort: int) -> None:
        await self._plan(planned_rows.set_cohort, seqs, cohort)
        self._added.cohorts = True

    async def shared_messages(self, at_least: int) -> list[SharedMessage]:
        return await self._do(planned_groups.shared_messages, at_least, self._known)

    async def make_groups(
        self, message_digest: bytes | None, sizes: Sequence[int], cohort: int = 0
    ) -> None:
        await self._do(planned_groups.make_groups, message_digest, sizes, cohort, self._known)
        self._added.groups += len(sizes)
        self._added.in_groups += sum(sizes)

    async def add_audience_group(self, audience: Mapping[str, Any], planned: int) -> None:
        await self._plan(planned_groups.add_audience_group, audience, planned)
        self._added.groups += 1

    async def seal(self, record: CampaignRecord, *, chunk_size: int) -> None:
        seal = self._seal
        if seal is None:
            raise JournalError(f"{self._access.name}: its plan is complete already")
        if record.planned_at is None:
            raise JournalError(
                f"{self._access.name}: a complete plan has the time it was completed"
            )

        def sealed(tx: Transaction) -> None:
            tx.db.execute("BEGIN")
            sealing.seal(tx.db, record, chunk_size, self._added)
            tx.db.execute("COMMIT")
            seal(tx.db, record)

        await self._access.alone(sealed)
        self._seal = None
        self._record = record
        reached("plan-sealed")

    async def sample(self, limit: int) -> list[tuple[str, str, tuple[str, ...]]]:
        return await self._read(planned_rows.sample, limit)

    async def plan_counts(self) -> tuple[int, int]:
        return await self._read(planned_rows.plan_counts, self._known)
