"""Group sends of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from journal_model.store import Chunk, Group, Row, Store
from promomsg.clock import Clock
from promomsg.errors import JournalError
from promomsg.journal.records import (
    CampaignRecord,
    Control,
    ControlRow,
    FirstFew,
    GroupCounts,
    GroupRow,
    Lease,
    Outage,
    PlannedRow,
    Reason,
)
from promomsg.model import Code, Failure, State
from promomsg.states import Event, GroupEvent, GroupState, move, move_group

__all__ = ["INTERRUPTED", "ModelGroups"]

INTERRUPTED = "the process ended between the intent and the result"
_EXPIRED = "the result can be had for 7 days only"
_UNNAMED = "the provider counted failures without naming them"

_EVENT = {
    State.SENT: Event.SENT,
    State.FAILED: Event.FAILED,
    State.UNKNOWN: Event.GROUP_LOST,
    State.CANCELLED: Event.CANCEL,
    State.SKIPPED: Event.SKIP,
}

_OVER = (GroupState.DONE, GroupState.EXPIRED)

_UNSENT = (State.FAILED, State.SKIPPED, State.CANCELLED)


class _Owner(Protocol):
    def closed(self, handle: ModelGroups) -> None: ...


class ModelGroups:
    """The part of a handle that is about groups and whole campaigns."""

    path: str | None = None
    lease_life: float = 120.0
    linger: float = 0.004

    def __init__(self, journal: _Owner, store: Store, clock: Clock, *, write: bool) -> None:
        self._journal = journal
        self._store = store
        self._write = write
        self._monotonic = clock.monotonic
        self._zero = clock.time() - clock.monotonic()
        self._closed = False

    @property
    def record(self) -> CampaignRecord:
        return self._store.record

    def _store_for_writing(self) -> Store:
        if self._closed:
            raise JournalError("the journal is closed")
        if not self._write:
            raise JournalError("it was opened for reading only")
        return self._store

    def _planning(self) -> Store:
        store = self._store_for_writing()
        if store.sealed:
            raise JournalError("its plan is complete; nothing is added to it")
        return store

    def _now(self) -> float:
        return self._zero + self._monotonic()

    def _held(self, lease: Lease) -> Chunk | None:
        chunk = self._store_for_writing().chunks.get(lease.chunk_no)
        return chunk if chunk is not None and chunk.epoch == lease.epoch else None

    def _may_intend(self, chunk: Chunk) -> bool:
        return chunk.is_held(self._now()) and self._store.control is Control.RUN

    def _group_of(self, lease: Lease) -> Group | None:
        chunk = self._held(lease)
        return None if chunk is None else chunk.group

    def _get(self, group_no: int) -> Group:
        if not 1 <= group_no <= len(self._store.groups):
            raise JournalError(f"there is no group {group_no} in this journal")
        return self._store.groups[group_no - 1]

    def _move(self, group: Group, event: GroupEvent) -> None:
        group.row.state = move_group(group.row.state, event)

    # Ends.

    def _close_row(self, row: Row, state: State, reason: Reason, at: float) -> None:
        if row.maybe_sent and state in _UNSENT:
            state = State.UNKNOWN
        row.state = move(row.state, _EVENT[state])
        row.code, row.detail, row.rid = reason
        row.at = at
        if row.group is not None:
            row.attempts += row.group.row.attempts
        self._store.log(row)

    def _close_all(self, rows: list[Row], state: State, reason: Reason, at: float) -> int:
        # Those in doubt come first, as the order of outcomes is part of the contract.
        for row in sorted(rows, key=lambda row: not row.maybe_sent):
            if row.maybe_sent and row.code and state in _UNSENT:
                kept = Reason(row.code, row.detail, row.rid)
                self._close_row(row, State.UNKNOWN, kept, at)
            else:
                self._close_row(row, state, reason, at)
        return len(rows)

    def _close_group(self, group: Group, state: State, reason: Reason, at: float) -> int:
        people = group.people.pop(State.PENDING, 0)
        if people:
            group.people[state] += people
        members = [r for r in self._store.members(group) if r.state is State.PENDING]
        return self._close_all(members, state, reason, at) + people

    def _refuse_one(self, group: Group, reason: Reason, at: float) -> int:
        self._move(group, GroupEvent.REFUSED)
        group.row.code, group.row.detail, group.row.rid = reason
        return self._close_group(group, State.FAILED, reason, at)

    def _refuse_same(self, message_digest: bytes | None, reason: Reason, at: float) -> int:
        singles = [row for row in self._store.singles() if row.message_digest == message_digest]
        count = self._close_all(singles, State.FAILED, reason, at)
        for group in self._store.groups:
            if group.row.state is GroupState.PLANNED and group.message_digest == message_digest:
                count += self._refuse_one(group, reason, at)
        return count

    # Sending.

    async def refuse_message(self, seq: int, reason: Reason, at: float) -> int:
        row = self._store_for_writing().rows.get(seq)
        if row is None:
            raise JournalError(f"there is no row {seq} in this journal")
        return self._refuse_same(row.message_digest, reason, at)

    async def intend_group(self, lease: Lease, at: float) -> bool:
        chunk = self._held(lease)
        group = None if chunk is None else chunk.group
        if chunk is None or group is None:
            return False
        if group.row.state is GroupState.INTENDED and group.row.sent_at == at:
            return True
        if not self._may_intend(chunk):
            return False
        if group.row.state in (GroupState.REFUSED, GroupState.CANCELLED):
            return False
        self._move(group, GroupEvent.INTEND)
        group.row.attempts += 1
        group.row.sent_at = at
        return True

    async def group_members(self, group_no: int) -> list[str]:
        return [row.id for row in self._store.members(self._get(group_no)) if row.id is not None]

    async def accept_group(
        self, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
    ) -> bool:
        group = self._group_of(lease)
        if group is None:
            return False
        row = group.row
        if row.state is GroupState.ACCEPTED and row.msg_id == msg_id:
            return True
        self._move(group, GroupEvent.ACCEPTED)
        row.followed_since = at
        row.msg_id, row.rid, row.sent_at, row.next_poll_at = msg_id, rid, at, next_poll_at
        row.code = row.detail = ""
        return True

    async def return_group(self, lease: Lease, reason: Reason, called: bool = True) -> bool:
        group = self._group_of(lease)
        if group is None:
            return False
        if group.row.state is GroupState.PLANNED:
            return True
        self._move(group, GroupEvent.NOT_SENT)
        group.row.code, group.row.detail, _ = reason
        group.row.attempts -= not called
        return True

    async def refuse_group(
        self, lease: Lease, reason: Reason, at: float, *, everybody: bool = True
    ) -> bool:
        group = self._group_of(lease)
        if group is None:
            return False
        if group.row.state is GroupState.REFUSED and group.row.code == reason.code:
            return True
        self._refuse_one(group, reason, at)
        if everybody:
            self._refuse_same(group.message_digest, reason, at)
        return True

    def _lose(self, group: Group, reason: Reason, at: float) -> None:
        self._move(group, GroupEvent.LOST)
        group.row.code, group.row.detail, _ = reason
        self._close_group(group, State.UNKNOWN, reason, at)

    async def lose_group(self, lease: Lease, reason: Reason, at: float) -> bool:
        group = self._group_of(lease)
        if group is None:
            return False
        if group.row.state is not GroupState.UNKNOWN:
            self._lose(group, reason, at)
        return True

    # Following.

    async def groups(self) -> list[GroupRow]:
        return [group.copy() for group in self._store.groups]

    async def group(self, group_no: int) -> GroupRow:
        return self._get(group_no).copy()

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
        self._store_for_writing()
        row = self._get(group_no).row
        if row.state is not GroupState.ACCEPTED or polls not in (None, row.polls):
            return False
        row.percent, row.send_cnt, row.fail_cnt = counts
        row.next_poll_at = next_poll_at
        row.polls += 1
        row.polls_at_100 += at_100
        row.given_up = row.given_up or given_up
        row.warned_of_age = row.warned_of_age or warned_of_age
        return True

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
        self._store_for_writing()
        group = self._get(group_no)
        if group.row.state in _OVER:
            return None
        self._move(group, GroupEvent.COMPLETE)
        row = group.row
        row.percent, row.send_cnt, row.fail_cnt = counts
        row.next_poll_at = None
        row.polls += 1
        named = {failure.id: failure.code for failure in reversed(failures)}
        named = {failure.id: named[failure.id] for failure in failures}
        if row.audience is None:
            own = self._complete_rows(group, named, unnamed, at)
        else:
            own = self._complete_audience(group, named, unnamed, at)
        for text in (*warnings, *own):
            await self.warn(text)
        return own

    def _complete_rows(
        self, group: Group, named: dict[str, str], unnamed: int, at: float
    ) -> list[str]:
        members = [r for r in self._store.members(group) if r.state is State.PENDING]
        failed = [row for row in members if row.id in named]
        for row in failed:
            self._close_row(row, State.FAILED, Reason(named[row.id or ""]), at)
        rest = [row for row in members if row.id not in named]
        if unnamed:
            self._close_all(rest, State.UNKNOWN, Reason(Code.UNNAMED.value, _UNNAMED), at)
        else:
            self._close_all(rest, State.SENT, Reason(), at)
        strangers = len(named) - len(failed)
        if strangers <= 0:
            return []
        return [
            f"group {group.row.msg_id}: {strangers} of the {len(named)} named failures are not "
            "among its recipients; they change nobody"
        ]

    def _complete_audience(
        self, group: Group, named: dict[str, str], unnamed: int, at: float
    ) -> list[str]:
        store, row = self._store, group.row
        failed = len(named) + unnamed
        if row.fail_cnt is not None:
            failed = max(len(named), row.fail_cnt)
        before = row.planned
        row.planned = max(before if row.send_cnt is None else row.send_cnt, failed)
        for id, code in named.items():
            seq = max(store.rows, default=-1) + 1
            person = store.rows[seq] = Row(
                PlannedRow(
                    seq, id, id, None, None, None, None, None, None, State.FAILED.value, code, ""
                )
            )
            person.group, person.at, person.attempts = group, at, row.attempts
            store.log(person)
        group.people.clear()
        group.people[State.FAILED] = failed - len(named)
        group.people[State.SENT] = row.planned - failed
        row.code = Code.UNNAMED.value if failed > len(named) else ""
        row.detail = _UNNAMED if failed > len(named) else ""
        if row.planned == before:
            return []
        return [
            f"group {row.msg_id}: planned for {before}, but the provider counts {row.planned}; "
            "its count is taken"
        ]

    async def expire_group(self, group_no: int, at: float) -> bool:
        self._store_for_writing()
        group = self._get(group_no)
        if group.row.state in _OVER:
            return False
        self._move(group, GroupEvent.EXPIRE)
        group.row.next_poll_at = None
        group.row.code, group.row.detail = Code.EXPIRED.value, _EXPIRED
        self._close_group(group, State.UNKNOWN, Reason(Code.EXPIRED.value, _EXPIRED), at)
        return True

    async def adopt_group(self, group_no: int, msg_id: str, at: float, next_poll_at: float) -> None:
        self._store_for_writing()
        group = self._get(group_no)
        self._move(group, GroupEvent.ADOPT)
        for member in self._store.members(group):
            if member.state is State.UNKNOWN:
                move(member.state, Event.ADOPT)
                self._store.take_back(member)
                member.attempts -= group.row.attempts
        people = group.people.pop(State.UNKNOWN, 0)
        if people:
            group.people[State.PENDING] += people
        row = group.row
        row.msg_id, row.next_poll_at, row.followed_since = msg_id, next_poll_at, at
        row.polls_at_100, row.given_up, row.warned_of_age = 0, False, False
        row.code = row.detail = ""

    # The record.

    async def set_control(self, control: Control) -> None:
        self._store_for_writing().control = control

    async def control(self) -> ControlRow:
        return self._store.control_row()

    async def set_first_few(self, found: FirstFew | None, *, instead_of: FirstFew | None) -> bool:
        store = self._store_for_writing()
        if store.first_few != instead_of:
            return False
        store.first_few = found
        return True

    async def halt(self, code: str, detail: str) -> None:
        record = self._store_for_writing().record
        record.halted = record.halted or f"{code}: {detail}"

    async def halt_by_first(self, code: str, detail: str, *, seen: FirstFew | None) -> bool:
        if self._store_for_writing().first_few != seen:
            return False
        await self.halt(code, detail)
        return True

    async def park(self, until: float) -> None:
        self._store_for_writing().parked_until = until

    async def resume(self, at: float) -> None:
        store = self._store_for_writing()
        store.record.halted = store.parked_until = None
        for group in store.groups:
            if group.row.state is GroupState.ACCEPTED:
                group.row.given_up, group.row.followed_since = False, at

    async def missing(self) -> str | None:
        return None

    async def save(self, record: CampaignRecord) -> None:
        store = self._store_for_writing()
        record.outage = store.record.outage
        store.record = record

    async def keep_outage(self, outage: Outage | None) -> None:
        self._store_for_writing().record.outage = outage

    async def warn(self, text: str) -> None:
        kept = self._store_for_writing().record.warnings
        if text not in kept:
            kept.append(text)
