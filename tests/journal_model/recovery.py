"""A new process, and what the user asks for: recover, cancel, retry, a suppression list that has grown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from journal_model.groups import INTERRUPTED, ModelGroups
from journal_model.store import Row
from promomsg.errors import JournalError, UsageError
from promomsg.journal.frequency.cap_contract import MessageCap, OverCap
from promomsg.journal.reasons import CANCELLED
from promomsg.journal.records import UNIQUE, Lease, Reason, Recovered, fingerprint
from promomsg.model import Code, State
from promomsg.states import Event, GroupEvent, GroupState, move

__all__ = ["ModelRecovery"]


class ModelRecovery(ModelGroups):
    """The part of a handle that a new process, or the user, asks for."""

    async def make_slots(self, most: int) -> None:
        """It ends with its process: nobody looks for the slots."""

    def mark_leaving(self, lease: Lease, seq: int | None = None) -> None:
        """Of a model that is `recover`ed by its own process, all who are intended are in doubt."""

    async def recover(self, *, idempotent: bool, at: float, day: str, recent: int) -> Recovered:
        store = self._store_for_writing()
        found = Recovered()
        ended = self._end_leftovers(store.in_order(), idempotent=idempotent)
        if idempotent:
            found.again = len(ended)
        else:
            found.unknown = len(ended)
            for row in ended:
                row.at = at
        for group in store.groups:
            if group.row.state is GroupState.INTENDED:
                self._lose(group, Reason(Code.INTERRUPTED.value, INTERRUPTED), at)
                found.lost_groups += 1
        for chunk in store.chunks.values():
            chunk.gone()
        if store.cutting:
            store.cut()
        found.recent = tuple(store.intents[-recent:]) if recent > 0 else ()
        found.singles_today = store.days[day]
        return found

    def _end_leftovers(self, rows: Sequence[Row], *, idempotent: bool) -> list[Row]:
        """What is intended, and has nobody any more who could settle it."""
        ended = [row for row in rows if row.state is State.INTENDED]
        for row in ended:
            if idempotent:
                row.state = move(row.state, Event.NOT_SENT)
                if not (row.maybe_sent and row.code):
                    row.code, row.detail, row.rid = Code.INTERRUPTED.value, INTERRUPTED, None
                row.maybe_sent = True
            else:
                row.state = move(row.state, Event.UNKNOWN)
                row.code, row.detail = Code.INTERRUPTED.value, INTERRUPTED
                self._store.log(row)
        return ended

    async def cancel_pending(self, at: float, reason: Reason = CANCELLED) -> int:
        store = self._store_for_writing()
        count = self._close_all(store.singles(), State.CANCELLED, reason, at)
        for group in store.groups:
            if group.row.state is GroupState.PLANNED:
                self._move(group, GroupEvent.CANCEL)
                group.row.code, group.row.detail = reason.code, reason.detail
                count += self._close_group(group, State.CANCELLED, reason, at)
        return count

    async def reopen(self, state: State, *, include_unnamed: bool, at: float) -> int:
        store = self._store_for_writing()
        if state not in (State.FAILED, State.UNKNOWN):
            raise JournalError(f"recipients that are {state} cannot be tried again")
        self._nothing_out()
        store.cutting = True
        count = 0
        for row in store.in_order():
            if row.state is not state or (state is State.FAILED and row.at is None):
                continue
            if row.code == Code.UNNAMED and state is State.UNKNOWN and not include_unnamed:
                continue
            event = Event.RETRY_FAILED if state is State.FAILED else Event.RETRY_UNKNOWN
            move(row.state, event)
            store.take_back(row, doubted=state is State.UNKNOWN)
            row.group = None
            row.maybe_sent = state is State.UNKNOWN
            row.generation += state is State.FAILED
            count += 1
        lost = {
            State.FAILED: (GroupState.REFUSED,),
            State.UNKNOWN: (GroupState.UNKNOWN, GroupState.EXPIRED),
        }
        for group_state in lost[state]:
            for group in list(store.groups):
                people = group.people[state]
                if group.row.state is group_state and people:
                    del group.people[state]
                    again = store.add_group(
                        people, message_digest=group.message_digest, audience=group.row.audience
                    )
                    again.people[State.PENDING] = people
                    count += people
        return count

    def _nothing_out(self) -> None:
        if any(row.state is State.INTENDED for row in self._store.rows.values()):
            raise JournalError("single sends are out: settle or recover them, then retry")

    async def seal_retry(self, *, chunk_size: int) -> None:
        store = self._store_for_writing()
        self._nothing_out()
        store.chunk_size = chunk_size
        store.cut()

    async def list_suppressed(
        self,
        values: Sequence[str],
        spellings: Sequence[str] = (),
        doubtful: Sequence[tuple[str, str, str | None, bool]] = (),
        *,
        first: bool = False,
        secret: bool = False,
    ) -> int:
        store = self._store_for_writing()
        if first:
            store.listed, store.spellings, store.doubtful, store.on_list = set(), set(), [], {}
        new = set(values) - store.listed
        store.listed |= new
        store.spellings.update(spellings)
        if secret:
            store.spellings.update(map(self._mark, (*values, *spellings)))
        store.doubtful += doubtful
        return len(new)

    def _mark(self, text: str) -> bytes:
        return fingerprint(text, bytes.fromhex(self._store.record.run_id))

    async def absent_key(self) -> str | None:
        store = self._store_for_writing()
        keys = {row.key for row in store.rows.values()}
        among = keys | {
            value for row in store.rows.values() for value in (row.id, row.openid, row.unionid)
        }
        for value, said, inside, _ in store.doubtful:
            if inside is None and value not in keys:
                return said
        marks = {row.fingerprint for row in store.rows.values()}
        for value, said, inside, is_key in store.doubtful:
            if inside is None or value in among or self._mark(value) in marks:
                continue
            if inside in keys or (not is_key and (inside in among or self._mark(inside) in marks)):
                return said
        return None

    async def left_out(self) -> int:
        store = self._store_for_writing()
        return sum(store.rows[seq].code == Code.SUPPRESSED for seq in store.on_list)

    async def suppress_pending(
        self, columns: Collection[str] = UNIQUE, *, smallest_group: int, at: float
    ) -> int:
        store = self._store_for_writing()
        self._nothing_out()
        blocked = store.blocked(columns)
        code, detail = Code.SUPPRESSED.value, "on the suppression list"
        dissolved = False
        for group in store.groups:
            if group.row.state is not GroupState.PLANNED or group.row.audience is not None:
                continue
            members = store.members(group)
            leave = [row for row in members if row.seq in blocked]
            if not leave:
                continue
            if group.row.planned - len(leave) >= smallest_group:
                group.row.planned -= len(leave)
            else:
                self._move(group, GroupEvent.CANCEL)
                group.row.planned, group.row.code, group.row.detail = 0, code, detail
                leave, dissolved = members, True
            for row in leave:
                row.group = None
        rows = [row for row in store.singles() if row.seq in blocked]
        self._close_all(rows, State.SKIPPED, Reason(code, detail), at)
        if dissolved:
            store.cut()
        return len(rows)

    # Messages per person: nothing is beside a journal in memory.

    async def hold_cap(self) -> bool:
        raise UsageError("max_per_person: this journal is in memory")

    async def release_cap(self) -> None:
        """It is never held."""

    async def skip_over_cap(self, cap: MessageCap, *, smallest_group: int, at: float) -> OverCap:
        raise UsageError("max_per_person: this journal is in memory")

    async def is_cap_counted(self, since: float) -> bool:
        return False
