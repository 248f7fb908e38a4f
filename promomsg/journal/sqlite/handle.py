"""One open SQLite campaign: what each call of the contract is as a statement of the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.crashpoints import reached
from promomsg.errors import JournalError
from promomsg.journal.answers_contract import FAILURE_FILE_LIMIT
from promomsg.journal.reasons import CANCELLED
from promomsg.journal.records import (
    UNIQUE,
    CampaignRecord,
    ClickDay,
    Control,
    ControlRow,
    Counts,
    FirstFew,
    GroupCounts,
    GroupRow,
    Lease,
    Outage,
    Reason,
    Recovered,
    SendResult,
)
from promomsg.journal.sqlite.access import Access
from promomsg.journal.sqlite.crash_safety.sender_slots import SenderSlots
from promomsg.journal.sqlite.crash_safety.side_files import failure_file
from promomsg.journal.sqlite.crash_safety.slot_file import SlotFile
from promomsg.journal.sqlite.crash_safety.wire_slots import group_word, single_word
from promomsg.journal.sqlite.plan_handle import PlanHandle, Seal
from promomsg.journal.sqlite.statements import (
    campaign_row,
    group_results,
    groups,
    leases,
    reading,
    recovery,
    singles,
    suppression,
)
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.model import Failure, Outcome, State
from promomsg.private_files import write_private

__all__ = ["LEASE_LIFE", "SqliteHandle"]

_renew: Final = leases.renew

T = TypeVar("T")

LEASE_LIFE: Final = 120.0
"""Seconds. Nobody else can send this file's campaign, so that a lease has to outlive only a freeze."""


class SqliteHandle(PlanHandle):
    """See `promomsg.journal.contract.Handle`.

    Args:
        path: of the journal; None in memory.
        access: how it is written and read; closed with the handle.
        seal: of a plan in the making; None once there is a journal.
        slots: of a sender; None where there are none (in memory, for a reader).
        clock: by which leases are held: how much time passes, and not what a wall clock is set to.
    """

    lease_life: float = LEASE_LIFE
    linger: float = 0.004

    def __init__(
        self,
        record: CampaignRecord,
        access: Access,
        *,
        path: str | None,
        seal: Seal | None = None,
        slots: SenderSlots | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(record, access, seal)
        self._path = path
        self._slots = slots
        self._slot_file: SlotFile | None = None
        self._is_named = slots is None
        """Whether the journal says that this opening intends."""
        self._monotonic = clock.monotonic
        self._zero = clock.time() - clock.monotonic()

    @property
    def record(self) -> CampaignRecord:
        return self._record

    @property
    def path(self) -> str | None:
        return self._path

    def _now(self) -> float:
        """Unix seconds by a clock that was right when the journal was opened, and never jumps."""
        return self._zero + self._monotonic()

    async def missing(self) -> str | None:
        return None if self._seal is not None else await self._access.missing()

    # Sending.

    async def take(
        self,
        *,
        groups: bool,
        singles: bool,
        idempotent: bool,
        cohorts: Sequence[int] | None = None,
    ) -> Lease | None:
        now, life = self._now(), self.lease_life
        return await self._do(
            leases.take, groups, singles, idempotent, now, life, cohorts, skippable=True
        )

    async def is_work_left(
        self, *, groups: bool, singles: bool, cohorts: Sequence[int] | None = None
    ) -> bool:
        """See `Handle.is_work_left`: there is no other sender."""
        if cohorts is None:
            return False
        return await self._read(leases.is_work_left, groups, singles, cohorts)

    async def renew(self, leases: Sequence[Lease]) -> frozenset[int]:
        return await self._do(_renew, leases, self._now() + self.lease_life)

    async def release(self, lease: Lease) -> None:
        await self._do(leases.release, lease)

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        return await self._intend(
            singles.intend, lease, seqs, at, day, self._zero + self._monotonic()
        )

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        kept = await self._do(singles.settle, lease, results)
        reached("results-durable")
        if kept and self._slot_file is not None:
            self._slot_file.give_back([single_word(result[0]) for result in results])
        return kept

    async def _intend(self, call: Callable[..., bool], *args: Any) -> bool:
        slots = self._slots
        if slots is None or self._is_named:
            return await self._do(call, *args, skippable=True)
        slots.intends()

        def first(tx: Transaction) -> bool:
            recovery.name_opening(tx.db, slots.opening)
            return call(tx, *args)

        intended = await self._do(first, skippable=True)
        self._is_named = self._is_named or intended
        return intended

    async def make_slots(self, most: int) -> None:
        if self._slots is not None and self._seal is None:
            self._slot_file = await self._access.make_slots(self._slots, self._record.run_id, most)

    def mark_leaving(self, lease: Lease, seq: int | None = None) -> None:
        slots = self._slot_file
        if slots is None:
            return
        if seq is not None:
            slots.mark(single_word(seq), lease.epoch)
        elif lease.group_no is not None:
            slots.mark(group_word(lease.group_no), lease.epoch)
        else:
            slots.disbelieve()

    async def refuse_message(self, seq: int, reason: Reason, at: float) -> int:
        return await self._do(groups.refuse_message, seq, reason, at)

    async def intend_group(self, lease: Lease, at: float) -> bool:
        return await self._intend(groups.intend, lease, at, self._now())

    async def group_members(self, group_no: int) -> list[str]:
        return await self._read(groups.members, group_no)

    async def accept_group(
        self, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
    ) -> bool:
        return await self._end_call(groups.accept, lease, msg_id, rid, at, next_poll_at)

    async def return_group(self, lease: Lease, reason: Reason, called: bool = True) -> bool:
        return await self._end_call(groups.return_, lease, reason, called)

    async def refuse_group(
        self, lease: Lease, reason: Reason, at: float, *, everybody: bool = True
    ) -> bool:
        return await self._end_call(groups.refuse, lease, reason, at, everybody)

    async def lose_group(self, lease: Lease, reason: Reason, at: float) -> bool:
        return await self._end_call(groups.lose, lease, reason, at)

    async def _end_call(self, call: Callable[..., bool], lease: Lease, *args: Any) -> bool:
        kept = await self._do(call, lease, *args)
        reached("group-result-durable")
        if kept and self._slot_file is not None:
            self._slot_file.give_back([group_word(lease.group_no or 0)])
        return kept

    # Following.

    async def groups(self) -> list[GroupRow]:
        return await self._read(reading.groups)

    async def group(self, group_no: int) -> GroupRow:
        return await self._read(groups.get, group_no)

    async def poll_group(
        self,
        group_no: int,
        counts: GroupCounts,
        next_poll_at: float,
        *,
        polls: int | None = None,
        at_100: bool = False,
        given_up: bool = False,
        warned_of_age: bool = False,
    ) -> bool:
        return await self._do(
            group_results.poll,
            group_no,
            counts,
            next_poll_at,
            polls,
            at_100,
            given_up,
            warned_of_age,
        )

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
        own = await self._do(
            group_results.complete,
            group_no,
            counts,
            failures,
            unnamed,
            at,
            warnings,
        )
        if own is not None:
            self._warned([*warnings, *own])
        return own

    async def expire_group(self, group_no: int, at: float) -> bool:
        return await self._do(group_results.expire, group_no, at)

    async def adopt_group(self, group_no: int, msg_id: str, at: float, next_poll_at: float) -> None:
        await self._do(recovery.adopt, group_no, msg_id, at, next_poll_at)

    # What the provider says later.

    async def keep_failure_file(self, group_no: int, raw: bytes) -> None:
        if len(raw) > FAILURE_FILE_LIMIT:
            raise JournalError(f"the failure file is over {FAILURE_FILE_LIMIT} bytes")
        if self._path is None:
            return
        path = Path(failure_file(self._path, group_no))
        try:
            await asyncio.to_thread(write_private, path, raw)
        except OSError as error:
            raise JournalError(
                f"the failure file cannot be kept as {path}: {error.strerror}; "
                "make room or mend the folder's permissions, then resume"
            ) from None

    async def sent_days(self) -> list[str]:
        return await self._read(campaign_row.sent_days)

    async def keep_clicks(self, found: ClickDay) -> None:
        await self._do(lambda tx: campaign_row.keep_clicks(tx.db, found))

    async def clicks(self) -> list[ClickDay]:
        return await self._read(campaign_row.clicks)

    # Recovery after a process has ended, and what the user asks for.

    async def recover(self, *, idempotent: bool, at: float, day: str, recent: int) -> Recovered:
        slots = self._slots
        left = None if slots is None else slots.left
        found = await self._do(recovery.recover, idempotent, at, day, recent, left)
        if slots is not None:
            slots.forget_earlier()
        return found

    async def cancel_pending(self, at: float, reason: Reason = CANCELLED) -> int:
        return await self._do(recovery.cancel_pending, at, reason)

    async def reopen(self, state: State, *, include_unnamed: bool, at: float) -> int:
        return await self._do(recovery.reopen, state, include_unnamed)

    async def seal_retry(self, *, chunk_size: int) -> None:
        await self._do(recovery.seal_retry, chunk_size)
        # What is reopened must not be lost with a -wal: those who failed would look so still.
        await self._access.alone(_merge)

    async def suppress_pending(
        self, columns: Collection[str] = UNIQUE, *, smallest_group: int, at: float
    ) -> int:
        return await self._do(
            suppression.suppress_pending, columns, at, smallest_group, self._pepper
        )

    async def set_control(self, control: Control) -> None:
        await self._do(lambda tx: campaign_row.set_control(tx.db, control))

    async def control(self) -> ControlRow:
        return await self._read(campaign_row.control_row)

    async def set_first_few(self, found: FirstFew | None, *, instead_of: FirstFew | None) -> bool:
        return await self._do(lambda tx: campaign_row.save_first_few(tx.db, found, instead_of))

    async def halt(self, code: str, detail: str) -> None:
        text = f"{code}: {detail}"
        await self._do(lambda tx: campaign_row.halt(tx.db, text))
        self._record.halted = self._record.halted or text

    async def halt_by_first(self, code: str, detail: str, *, seen: FirstFew | None) -> bool:
        text = f"{code}: {detail}"
        is_halted = await self._do(lambda tx: campaign_row.halt_by_first(tx.db, text, seen))
        if is_halted:
            self._record.halted = self._record.halted or text
        return is_halted

    async def park(self, until: float) -> None:
        await self._do(lambda tx: campaign_row.park(tx.db, until))

    async def resume(self, at: float) -> None:
        await self._do(lambda tx: campaign_row.resume(tx.db, at))
        self._record.halted = None

    async def save(self, record: CampaignRecord) -> None:
        await self._do(lambda tx: campaign_row.save_record(tx.db, record))
        self._record = record

    async def keep_outage(self, outage: Outage | None) -> None:
        await self._do(lambda tx: campaign_row.save_outage(tx.db, outage))
        self._record.outage = outage

    async def warn(self, text: str) -> None:
        await self._do(lambda tx: campaign_row.add_warnings(tx.db, [text]))
        self._warned([text])

    def _warned(self, texts: Sequence[str]) -> None:
        kept = self._record.warnings
        kept += [text for text in dict.fromkeys(texts) if text not in kept]

    # Reading.

    async def counts(self) -> Counts:
        return await self._access.counts()

    async def cohort_counts(self, cohorts: Sequence[int] | None = None) -> dict[int, Counts]:
        return await self._read(reading.cohort_counts, cohorts)

    async def untouched(self) -> bool:
        return await self._read(reading.untouched)

    async def outcomes(
        self, *, after: tuple[int, int] = (-1, 0), limit: int = 500
    ) -> tuple[list[Outcome], tuple[int, int]]:
        return await self._read(reading.outcomes, after, limit)

    async def outcomes_end(self) -> tuple[int, int]:
        return await self._read(reading.outcomes_end)

    async def rows(self, states: Iterable[State] | None = None) -> AsyncIterator[list[Outcome]]:
        wanted = None if states is None else frozenset(states)
        after = -1
        while True:
            found, after = await self._read(reading.page, after, wanted)
            if not found:
                return
            yield found

    async def close(self) -> None:
        """Commits what is queued, closes, and gives back what the sender held.

        Half a plan is thrown away with it."""
        await self._access.close()


def _merge(tx: Transaction) -> None:
    tx.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
