"""The journal, its handle and its reader; see `journal_model`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any

from journal_model.groups import INTERRUPTED, ModelGroups
from journal_model.people import ModelPeople
from journal_model.recovery import ModelRecovery
from journal_model.store import Chunk, Row, Store
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.crashpoints import reached
from promomsg.errors import JournalError
from promomsg.journal.planned_columns import PlannedColumns
from promomsg.journal.records import (
    NEVER,
    UNIQUE,
    CampaignRecord,
    ClickDay,
    Control,
    Counts,
    FirstFew,
    GroupRow,
    Lease,
    Place,
    PlannedRow,
    Reached,
    Reason,
    SendResult,
    SharedMessage,
    Standing,
)
from promomsg.model import Code, Outcome, SingleSend, State
from promomsg.states import FINAL, Event, GroupState, IllegalMove, move
from promomsg.timeline import Timeline, timeline_of

__all__ = ["ModelHandle", "ModelJournal", "ModelReader"]

_SETTLING = {
    State.SENT: Event.SENT,
    State.FAILED: Event.FAILED,
    State.UNKNOWN: Event.UNKNOWN,
    State.PENDING: Event.NOT_SENT,
}


class ModelReader(ModelPeople):
    """What `JournalReader` is to a file."""

    def __init__(self, store: Store, is_being_sent: Callable[[], bool] = lambda: False) -> None:
        self._store = store
        self._is_being_sent = is_being_sent

    def standing(self) -> Standing:
        return Standing(self.counts(), self.groups(), self._is_being_sent())

    @property
    def record(self) -> CampaignRecord:
        return self._store.record

    def control(self) -> Control:
        return self._store.control

    def parked_until(self) -> float | None:
        return self._store.parked_until

    def first_few(self, cohorts: Sequence[int]) -> tuple[FirstFew | None, dict[int, Counts]]:
        return self._store.first_few, self._store.cohort_counts(cohorts)

    def counts(self) -> Counts:
        return self._store.counts()

    def groups(self) -> list[GroupRow]:
        return [group.copy() for group in self._store.groups]

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        wanted = None if states is None else set(states)
        for row in self._store.in_order():
            if wanted is None or row.state in wanted:
                yield self._store.outcome(row)

    def timeline(self, most: int) -> Timeline:
        found = [row for row in self._store.in_order() if row.state in FINAL]
        return timeline_of(((row.at, row.state) for row in found if row.at is not None), most)

    def elapsed(self) -> float:
        times = [row.at for row in self._store.rows.values() if row.at is not None]
        times += [g.row.sent_at for g in self._store.groups if g.row.sent_at is not None]
        began = self._store.record.planned_at
        return max(max(times) - began, 0.0) if times and began is not None else 0.0

    def failure_file(self, group_no: int) -> bytes | None:
        return None

    def sent_days(self) -> list[str]:
        return self._store.sent_days()

    def clicks(self) -> list[ClickDay]:
        return self._store.kept_clicks()

    def keep(self) -> None:
        """It has all of it."""

    def close(self) -> None:
        """Nothing is held."""


class ModelHandle(ModelRecovery):
    """See `promomsg.journal.contract.Handle`."""

    # Planning.

    async def recipient_tokens(self, *, make: bool = False) -> None:
        return None

    async def add_rows(self, rows: Sequence[PlannedRow]) -> None:
        store = self._planning()
        for row in rows:
            store.rows[row.seq] = Row(row)
        reached("plan-batch")
        await asyncio.sleep(0)

    async def add_columns(self, rows: PlannedColumns) -> None:
        nothing = (None,) * len(rows.seq)
        columns = [nothing if column is None else column for column in rows[:9]]
        cohorts = rows.cohort or (0,) * len(rows.seq)
        pending = [
            PlannedRow(*fields, "pending", "", "", cohort)
            for *fields, cohort in zip(*columns, cohorts, strict=True)
        ]
        await self.add_rows(pending)

    async def assign_ids(self, found: Sequence[tuple[str | None, str | None, str]]) -> int:
        pending = self._planning().pending()
        changed = 0
        for number, name in enumerate(("openid", "unionid")):
            ids = {entry[number]: entry[2] for entry in found if entry[number] is not None}
            for row in pending:
                if row.id is None and (id := ids.get(getattr(row, name))) is not None:
                    row.id = id
                    changed += 1
        return changed

    def _skip(self, row: Row, code: Code, detail: str) -> None:
        row.state = move(row.state, Event.SKIP)
        row.code, row.detail = code.value, detail

    async def suppress(self, columns: Collection[str] = UNIQUE) -> int:
        blocked = self._planning().blocked(columns)
        found = [row for row in self._store.pending() if row.seq in blocked]
        for row in found:
            self._skip(row, Code.SUPPRESSED, blocked[row.seq])
        return len(found)

    async def select(self, keys: Iterable[str]) -> int:
        wanted = set(keys)
        pending = self._planning().pending()
        for row in pending:
            if row.key not in wanted:
                self._skip(row, Code.NOT_SELECTED, "not selected")
        return sum(row.key in wanted for row in pending)

    async def mark_duplicates(
        self, columns: Collection[str] = UNIQUE, places: Sequence[Place] = ()
    ) -> int:
        store = self._planning()
        total = 0
        for name, words, code in (
            ("key", "key", Code.DUPLICATE_KEY),
            ("id", "id", Code.DUPLICATE_ADDRESS),
            ("openid", "openid", Code.DUPLICATE_ADDRESS),
            ("unionid", "unionid", Code.DUPLICATE_ADDRESS),
            ("fingerprint", "access_token", Code.DUPLICATE_ADDRESS),
            ("request_id", "request_id", Code.DUPLICATE_REQUEST_ID),
        ):
            if words not in ("key", *columns):
                continue
            first: dict[Any, str] = {}
            for row in store.pending():
                value = getattr(row, name)
                if value is None:
                    continue
                if value in first:
                    self._skip(row, code, f"same {words} as {first[value]}")
                    total += 1
                else:
                    first[value] = f"{row.key}{_stands(row.seq, places)}"
        return total

    async def pending_keys(self, after: int, limit: int) -> list[tuple[int, str, int]]:
        rows = [row for row in self._store.pending() if row.seq > after]
        return [(row.seq, row.key, row.cohort) for row in rows[:limit]]

    async def set_cohort(self, seqs: Sequence[int], cohort: int) -> None:
        store = self._planning()
        for seq in seqs:
            store.rows[seq].cohort = cohort

    async def shared_messages(self, at_least: int) -> list[SharedMessage]:
        store = self._store_for_writing()
        count = Counter(
            (row.message_digest, row.cohort) for row in store.singles() if row.id is not None
        )
        found = [
            SharedMessage(digest, number, cohort)
            for (digest, cohort), number in count.items()
            if number >= at_least
        ]
        return sorted(found, key=lambda one: (one[0] is not None, one[0] or b"", one[2]))

    async def make_groups(
        self, message_digest: bytes | None, sizes: Sequence[int], cohort: int = 0
    ) -> None:
        store = self._store_for_writing()
        members = [
            r
            for r in store.singles()
            if (r.message_digest, r.cohort) == (message_digest, cohort) and r.id is not None
        ]
        if sum(sizes) > len(members) or any(size < 1 for size in sizes):
            raise JournalError("the set has fewer recipients than that")
        for size in sizes:
            some, members = members[:size], members[size:]
            values = some[0].values
            group = store.add_group(
                size, message_digest=message_digest, values=values, cohort=cohort
            )
            for row in some:
                row.group = group

    async def add_audience_group(self, audience: Mapping[str, Any], planned: int) -> None:
        group = self._planning().add_group(planned, audience=dict(audience))
        group.people[State.PENDING] = planned

    async def seal(self, record: CampaignRecord, *, chunk_size: int) -> None:
        store = self._planning()
        if record.planned_at is None:
            raise JournalError("a complete plan has the time it was completed")
        store.record = record
        store.chunk_size = chunk_size
        store.cut()
        store.sealed = True
        reached("plan-sealed")

    async def sample(self, limit: int) -> list[tuple[str, str, tuple[str, ...]]]:
        return [
            (row.key, row.openid or row.unionid or row.id or "", row.values)
            for row in self._store.pending()[:limit]
        ]

    async def plan_counts(self) -> tuple[int, int]:
        planned = sum(g.row.state is GroupState.PLANNED for g in self._store.groups)
        return len(self._store.singles()), planned

    # Sending.

    async def take(
        self,
        *,
        groups: bool,
        singles: bool,
        idempotent: bool,
        cohorts: Sequence[int] | None = None,
    ) -> Lease | None:
        store = self._store_for_writing()
        now = self._now()
        await asyncio.sleep(0)
        for wants_groups in (True, False):
            if not (groups if wants_groups else singles):
                continue
            for chunk in store.chunks.values():
                if cohorts is not None and chunk.cohort not in cohorts:
                    continue
                if chunk.is_group == wants_groups and not chunk.is_held(now):
                    lease = self._try(chunk, now, idempotent)
                    if lease is not None:
                        return lease
        return None

    async def is_work_left(
        self, *, groups: bool, singles: bool, cohorts: Sequence[int] | None = None
    ) -> bool:
        now = self._now()
        return any(
            chunk.is_held(now) or self._has_work(chunk)
            for chunk in self._store.chunks.values()
            if (groups if chunk.is_group else singles)
            and (cohorts is None or chunk.cohort in cohorts)
        )

    def _has_work(self, chunk: Chunk) -> bool:
        if chunk.group is not None:
            return chunk.group.row.state is GroupState.PLANNED
        rows = self._store.in_range(chunk)
        return any(row.group is None and row.state is State.PENDING for row in rows)

    def _try(self, chunk: Chunk, now: float, idempotent: bool) -> Lease | None:
        single_sends: tuple[SingleSend, ...] = ()
        group_no = None
        if chunk.group is None:
            rows = [r for r in self._store.in_range(chunk) if r.group is None]
            if chunk.deadline is None and any(r.state is State.INTENDED for r in rows):
                return None
            self._end_leftovers(rows, idempotent=idempotent)
            single_sends = tuple(row.single_send() for row in rows if row.state is State.PENDING)
            if not single_sends:
                chunk.gone()
                return None
        else:
            row = chunk.group.row
            group_no = row.group_no
            if row.state is GroupState.INTENDED:
                if chunk.deadline is None:
                    return None
                self._lose(chunk.group, Reason(Code.INTERRUPTED.value, INTERRUPTED), now)
            if row.state is not GroupState.PLANNED:
                chunk.gone()
                return None
        chunk.epoch += 1
        chunk.deadline = now + self.lease_life
        return Lease(chunk.number, chunk.epoch, group_no, single_sends, chunk.cohort)

    async def renew(self, leases: Sequence[Lease]) -> frozenset[int]:
        self._store_for_writing()
        deadline = self._now() + self.lease_life
        held = (self._held(lease) for lease in leases)
        chunks = [chunk for chunk in held if chunk is not None and chunk.deadline is not None]
        for chunk in chunks:
            chunk.deadline = deadline
        return frozenset(chunk.number for chunk in chunks)

    async def release(self, lease: Lease) -> None:
        chunk = self._held(lease)
        if chunk is None:
            return
        rows = self._store.in_range(chunk)
        if chunk.group is None and any(row.state is State.INTENDED for row in rows):
            return
        if chunk.group is not None and chunk.group.row.state is GroupState.INTENDED:
            return
        chunk.deadline = None

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        store = self._store_for_writing()
        await asyncio.sleep(0)
        chunk = self._held(lease)
        if chunk is None:
            return False
        known = [store.rows.get(seq) for seq in seqs]
        if known and all(r and r.state is State.INTENDED and r.at == at for r in known):
            return True
        if not self._may_intend(chunk):
            return False
        rows = self._singles_of(chunk, seqs)
        for row in rows:
            if row.state in (State.INTENDED, State.SENT, State.SKIPPED):
                move(row.state, Event.INTEND)
        if any(row.state is not State.PENDING for row in rows):
            return False
        for row in rows:
            row.state = move(row.state, Event.INTEND)
            row.attempts += 1
            row.at = at
        store.intents += [at] * len(rows)
        store.days[day] += len(rows)
        store.day = day
        return True

    def _singles_of(self, chunk: Chunk, seqs: Sequence[int]) -> list[Row]:
        rows = [self._store.rows.get(seq) for seq in seqs]
        found = [r for r in rows if r is not None and r.group is None and r.seq in chunk]
        if len(found) != len(seqs) or len({row.seq for row in found}) != len(seqs):
            raise IllegalMove(f"chunk {chunk.number}: not all of these are its singles")
        return found

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        store = self._store_for_writing()
        await asyncio.sleep(0)
        moves = {result.seq: _SETTLING.get(State(result.state)) for result in results}
        for result in results:
            if moves[result.seq] is None:
                raise IllegalMove(f"a recipient that is intended cannot become {result.state}")
        chunk = self._held(lease)
        if chunk is None:
            for result in results:
                self._settle_late(lease, result)
            return False
        rows = self._singles_of(chunk, [result.seq for result in results])
        if results and all(
            (row.state.value, row.at) == (result.state, result.at)
            for row, result in zip(rows, results, strict=True)
        ):
            return True
        if any(row.state is not State.INTENDED for row in rows):
            raise IllegalMove("only what is intended can be settled")
        for row, result in zip(rows, results, strict=True):
            event = moves[row.seq]
            assert event is not None
            row.state = move(row.state, event)
            if not (
                row.maybe_sent and row.code and result.maybe_sent and row.state is State.PENDING
            ):
                row.code, row.detail, row.rid = result.code, result.detail, result.rid
            row.at, row.extra = result.at, result.extra
            row.maybe_sent = result.maybe_sent and row.state is State.PENDING
            row.attempts -= not result.called
            store.days[store.day] -= not result.called
            if row.state is not State.PENDING:
                store.log(row)
        return True

    def _settle_late(self, lease: Lease, result: SendResult) -> None:
        """A result of an attempt that was taken for lost when its chunk was taken over."""
        chunk, row = self._store.chunks.get(lease.chunk_no), self._store.rows.get(result.seq)
        event = {
            State.SENT: Event.SENT_AFTER_ALL,
            State.FAILED: Event.FAILED_AFTER_ALL,
        }.get(State(result.state))
        if chunk is None or row is None or row.seq not in chunk or row.group is not None:
            return
        if event is None or chunk.epoch < lease.epoch or result.intended_at is None:
            return
        lost = (State.UNKNOWN, Code.INTERRUPTED.value, result.intended_at)
        if (row.state, row.code, row.at) == lost:
            row.state = move(row.state, event)
            row.code, row.detail, row.rid = result.code, result.detail, result.rid
            row.at, row.extra, row.maybe_sent = result.at, result.extra, False
            self._store.log_again(row)

    # What the provider says later.

    async def keep_failure_file(self, group_no: int, raw: bytes) -> None:
        self._store_for_writing()

    async def sent_days(self) -> list[str]:
        return self._store.sent_days()

    async def keep_clicks(self, found: ClickDay) -> None:
        kept = self._store_for_writing().clicks
        earlier = kept.setdefault((found.day, found.by_message), found)
        if earlier.asked_at <= found.asked_at:
            kept[found.day, found.by_message] = found

    async def clicks(self) -> list[ClickDay]:
        return self._store.kept_clicks()

    # Reading.

    async def counts(self) -> Counts:
        return self._store.counts()

    async def cohort_counts(self, cohorts: Sequence[int] | None = None) -> dict[int, Counts]:
        return self._store.cohort_counts(cohorts)

    async def untouched(self) -> bool:
        store = self._store
        doubtful = (State.INTENDED, State.SENT, State.UNKNOWN)
        harmless = (GroupState.PLANNED, GroupState.REFUSED, GroupState.CANCELLED)
        return all(g.row.state in harmless for g in store.groups) and not any(
            row.state in doubtful
            or row.maybe_sent
            or any(earlier.state is State.UNKNOWN for earlier in row.history)
            for row in store.in_order()
        )

    async def outcomes(
        self, *, after: tuple[int, int] = (-1, 0), limit: int = 500
    ) -> tuple[list[Outcome], tuple[int, int]]:
        store = self._store
        await asyncio.sleep(0)
        part, at = after
        if part < 0:
            left = [r for r in store.in_order() if r.seq >= at and r.was_final_at_planning]
            if left:
                some = left[:limit]
                return [store.outcome(row) for row in some], (-1, some[-1].seq + 1)
            at = 0
        found: list[Outcome] = []
        while at < len(store.finals) and len(found) < limit:
            row = store.finals[at]
            if row is not None:
                found.append(store.outcome(row))
            at += 1
        return found, (0, at)

    async def outcomes_end(self) -> tuple[int, int]:
        return 0, len(self._store.finals)

    async def rows(self, states: Iterable[State] | None = None) -> AsyncIterator[list[Outcome]]:
        page = list(ModelReader(self._store).rows(states))
        if page:
            yield page

    async def close(self) -> None:
        self._closed = True
        self._journal.closed(self)


class ModelJournal:
    """A journal that ends with its process. It keeps one campaign, like a file."""

    path: str | None = None
    address: str | None = None

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._store: Store | None = None
        self._sender: ModelHandle | None = None

    def _free(self) -> None:
        if self._sender is not None:
            raise JournalError("a sender has this journal open already; wait for it to end")

    async def create(self, record: CampaignRecord) -> ModelHandle:
        """See `Journal.create`."""
        self._free()
        if self._store is not None:
            raise JournalError("there is a journal already; resume it, or take another one")
        self._store = Store(record)
        self._sender = ModelHandle(self, self._store, self._clock, write=True)
        return self._sender

    async def open(self, *, write: bool = False, after_lost_wal: bool = False) -> ModelHandle:
        """See `Journal.open`."""
        if self._store is None or not self._store.sealed:
            raise JournalError("there is no journal")
        if not write:
            return ModelHandle(self, self._store, self._clock, write=False)
        self._free()
        self._sender = ModelHandle(self, self._store, self._clock, write=True)
        return self._sender

    def closed(self, handle: ModelGroups) -> None:
        """Called by a handle that closes: half a plan goes with its maker."""
        if handle is self._sender:
            self._sender = None
            if self._store is not None and not self._store.sealed:
                self._store = None

    def reached(self, since: float = NEVER, *, pending: bool = False) -> Iterator[list[Reached]]:
        """See `Journal.reached`."""
        if self._store is None or not self._store.sealed:
            raise JournalError("there is no journal")
        yield self._store.reached(since, pending)

    def reader(self) -> ModelReader:
        """See `Journal.reader`."""
        if self._store is None or not self._store.sealed:
            raise JournalError("there is no journal")
        return ModelReader(self._store, self.is_being_sent)

    def exists(self) -> bool:
        """See `Journal.exists`."""
        return self._store is not None and self._store.sealed

    def is_being_sent(self) -> bool:
        """See `Journal.is_being_sent`."""
        return self._sender is not None

    def senders(self) -> list[str]:
        """See `Journal.senders`."""
        return []

    async def request(self, control: Control) -> None:
        """See `Journal.request`."""
        if self._store is None:
            raise JournalError("there is no journal")
        self._store.control = control

    def rows_later(self) -> ModelReader:
        """See `Journal.rows_later`."""
        if self._store is None:
            raise JournalError("there is no journal")
        return ModelReader(self._store)

    def token_store(self, channel: str, origin: str, account: str) -> None:
        """See `Journal.token_store`."""

    def quota_store(self, channel: str, origin: str, account: str) -> None:
        """See `Journal.quota_store`: the machine's own."""

    def discard(self) -> None:
        """Forgets the campaign; open readers keep it."""
        self._store = None


def _stands(seq: int, places: Sequence[Place]) -> str:
    """` (line 2)`; empty when nobody knows."""
    before = [place for place in places if place.seq <= seq]
    if not before:
        return ""
    return f" ({before[-1].unit} {before[-1].number + seq - before[-1].seq})"
