"""What the model holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.records import (
    CampaignRecord,
    ClickDay,
    Control,
    ControlRow,
    Counts,
    FirstFew,
    GroupRow,
    PlannedRow,
    Reached,
)
from promomsg.model import Outcome, Recipient, SingleSend, State
from promomsg.states import FINAL, GroupState

__all__ = ["Attempt", "Chunk", "Group", "Row", "Store"]

_REASONED = FINAL - {State.SENT}
_LINKS = (*((n, n) for n in ("key", "id", "openid", "unionid")), ("access_token", "fingerprint"))


class Attempt(msgspec.Struct, frozen=True):
    """An attempt that was taken back at the user's request."""

    state: State
    attempts: int
    code: str
    detail: str
    rid: str | None
    at: float | None
    msg_id: str | None


class Row:
    """One recipient."""

    def __init__(self, planned: PlannedRow) -> None:
        self.seq = planned.seq
        self.key = planned.key
        self.id = planned.id
        self.openid = planned.openid
        self.unionid = planned.unionid
        self.fingerprint = planned.fingerprint
        self.request_id = planned.request_id
        self.values: tuple[str, ...] = (
            msgspec.json.decode(planned.values, type=tuple[str, ...]) if planned.values else ()
        )
        self.message_digest = planned.message_digest
        self.state = State(planned.state)
        self.code = planned.code
        self.detail = planned.detail
        self.rid: str | None = None
        self.extra: str | None = None
        self.at: float | None = None
        self.attempts = 0
        self.maybe_sent = False
        self.generation = 0
        self.cohort = planned.cohort
        self.group: Group | None = None
        self.history: list[Attempt] = []

    @property
    def was_final_at_planning(self) -> bool:
        return self.at is None and self.state in (State.FAILED, State.SKIPPED)

    def single_send(self) -> SingleSend:
        return SingleSend(
            seq=self.seq,
            key=self.key,
            id=self.id,
            openid=self.openid,
            unionid=self.unionid,
            values=self.values,
            request_id=self.request_id,
            attempts=self.attempts,
            maybe_sent=self.maybe_sent,
            generation=self.generation,
        )


class Group:
    """One group send, and the people of an audience that are not rows."""

    def __init__(self, row: GroupRow, message_digest: bytes | None, cohort: int) -> None:
        self.row = row
        self.cohort = cohort
        self.message_digest = message_digest
        self.people: Counter[State] = Counter()

    def copy(self) -> GroupRow:
        return msgspec.structs.replace(self.row)


class Chunk:
    """What is leased: a range of the singles of one cohort, or one group."""

    def __init__(
        self, number: int, first: int, last: int, cohort: int, group: Group | None
    ) -> None:
        self.number = number
        self.first = first
        self.last = last
        self.cohort = cohort
        self.group = group
        self.epoch = 0
        self.deadline: float | None = None

    @property
    def is_group(self) -> bool:
        return self.group is not None

    def is_held(self, now: float) -> bool:
        return self.deadline is not None and self.deadline > now

    def gone(self) -> None:
        """Nobody holds it any more; what a late holder brings is late."""
        if self.deadline is not None:
            self.deadline = None
            self.epoch += 1

    def __contains__(self, seq: int) -> bool:
        return self.group is None and self.first <= seq <= self.last


class Store:
    """All of it. `finals` is the order in which rows became final; None: taken back since."""

    def __init__(self, record: CampaignRecord) -> None:
        self.record = record
        self.sealed = False
        self.cutting = False
        self.chunk_size = 0
        self.control = Control.RUN
        self.parked_until: float | None = None
        self.first_few: FirstFew | None = None
        self.rows: dict[int, Row] = {}
        self.groups: list[Group] = []
        self.chunks: dict[int, Chunk] = {}
        self.next_chunk = 1
        self.finals: list[Row | None] = []
        self.intents: list[float] = []
        self.day = ""
        """The China-time day of the last intents."""
        self.days: Counter[str] = Counter()
        self.clicks: dict[tuple[str, bool], ClickDay] = {}
        self.listed: set[str | bytes] = set()
        """The suppression list: values, and fingerprints of what may be a user token."""
        self.spellings: set[str | bytes] = set()
        self.doubtful: list[tuple[str, str, str | None, bool]] = []
        self.on_list: dict[int, str] = {}
        """What `blocked` found last."""

    def sent_days(self) -> list[str]:
        return sorted(day for day, singles in self.days.items() if singles)

    def kept_clicks(self) -> list[ClickDay]:
        return sorted(self.clicks.values(), key=lambda found: (found.day, not found.by_message))

    def in_order(self) -> list[Row]:
        return [self.rows[seq] for seq in sorted(self.rows)]

    def in_range(self, chunk: Chunk) -> list[Row]:
        if chunk.group is not None:
            return []
        numbers = range(chunk.first, chunk.last + 1)
        rows = [self.rows[seq] for seq in numbers if seq in self.rows]
        return [row for row in rows if row.cohort == chunk.cohort]

    def pending(self) -> list[Row]:
        return [row for row in self.in_order() if row.state is State.PENDING]

    def blocked(self, columns: Collection[str]) -> dict[int, str]:
        """Every row of everybody whose key or address is on the list: seq → why."""
        self.on_list = self._blocked(self.listed | self.spellings, columns)
        return self.on_list

    def _blocked(self, values: set[str | bytes], columns: Collection[str]) -> dict[int, str]:
        links = [field for name, field in _LINKS if name in ("key", *columns)]
        rows = self.in_order()
        found = {
            row.seq: "on the suppression list"
            for row in rows
            if not values.isdisjoint(
                (row.key, row.key.strip(" "), row.id, row.openid, row.unionid, row.fingerprint)
            )
        }
        while True:
            known = {
                (name, value)
                for row in rows
                if row.seq in found
                for name in links
                if (value := getattr(row, name)) is not None
            }
            more = {
                row.seq: "the same person as a row that is on the suppression list"
                for row in rows
                if row.seq not in found and any((n, getattr(row, n)) in known for n in links)
            }
            if not more:
                return found
            found.update(more)

    def reached(self, since: float, pending: bool) -> list[Reached]:
        """Everybody who was sent to or may have been since then; `pending`: or is still to be."""
        quiet = (GroupState.PLANNED, GroupState.REFUSED, GroupState.CANCELLED)

        def late(at: float | None) -> bool:
            return at is None or at >= since

        def is_out(group: Group) -> bool:
            return group.row.state not in quiet and late(group.row.sent_at)

        if not pending and any(g.row.audience is not None and is_out(g) for g in self.groups):
            raise JournalError(
                "it sent to an audience as one group, whose members it does not name: it cannot "
                "say whom it sent to"
            )
        may = (State.INTENDED, State.SENT, State.UNKNOWN)
        return [
            Reached(row.key, row.id, row.openid, row.unionid)
            for row in self.in_order()
            if (row.state in may and late(row.at))
            or any(attempt.state in may and late(attempt.at) for attempt in row.history)
            or (
                row.state is State.PENDING
                and (pending or row.maybe_sent or (row.group is not None and is_out(row.group)))
            )
        ]

    def singles(self) -> list[Row]:
        return [row for row in self.pending() if row.group is None]

    def members(self, group: Group) -> list[Row]:
        return [row for row in self.in_order() if row.group is group]

    def add_group(
        self,
        planned: int,
        *,
        message_digest: bytes | None = None,
        values: tuple[str, ...] = (),
        audience: dict[str, object] | None = None,
        cohort: int = 0,
    ) -> Group:
        row = GroupRow(
            group_no=len(self.groups) + 1,
            state=GroupState.PLANNED,
            planned=planned,
            values=values,
            audience=audience,
        )
        group = Group(row, message_digest, cohort)
        self.groups.append(group)
        return group

    def cut(self) -> None:
        """New chunks for every pending single, and one for each group that has none."""
        self.chunks = {number: c for number, c in self.chunks.items() if c.is_group}
        have = {id(chunk.group) for chunk in self.chunks.values()}
        for group in self.groups:
            if group.row.state is GroupState.PLANNED and id(group) not in have:
                self._add_chunk(-1, -1, group.cohort, group)
        for cohort in sorted({row.cohort for row in self.rows.values()}):
            singles = [row.seq for row in self.singles() if row.cohort == cohort]
            for start in range(0, len(singles), self.chunk_size):
                some = singles[start : start + self.chunk_size]
                self._add_chunk(some[0], some[-1], cohort, None)
        self.cutting = False

    def _add_chunk(self, first: int, last: int, cohort: int, group: Group | None) -> None:
        self.chunks[self.next_chunk] = Chunk(self.next_chunk, first, last, cohort, group)
        self.next_chunk += 1

    def log(self, row: Row) -> None:
        self.finals.append(row)

    def log_again(self, row: Row) -> None:
        """It was final, and is final in another way: it comes once more, and no longer where it was."""
        self.finals = [None if other is row else other for other in self.finals]
        self.log(row)

    def control_row(self) -> ControlRow:
        return ControlRow(self.control, self.record.halted, self.parked_until, self.first_few)

    def take_back(self, row: Row, *, doubted: bool = False) -> None:
        """Final → pending; what is left is kept in the row's history.

        Who is in doubt keeps the reason of it."""
        msg_id = None if row.group is None else row.group.row.msg_id
        row.history.append(
            Attempt(row.state, row.attempts, row.code, row.detail, row.rid, row.at, msg_id)
        )
        self.finals = [None if other is row else other for other in self.finals]
        row.state, row.at = State.PENDING, None
        if not doubted:
            row.code, row.detail, row.rid = "", "", None

    def outcome(self, row: Row) -> Outcome:
        group = None
        if row.group is not None:
            group = row.group.row.msg_id or str(row.group.row.group_no)
        return Outcome(
            recipient=Recipient(
                key=row.key,
                id=row.id,
                openid=row.openid,
                unionid=row.unionid,
                request_id=row.request_id,
            ),
            state=row.state,
            code=row.code,
            detail=row.detail,
            rid=row.rid,
            attempts=row.attempts,
            group=group,
            at=row.at,
            extra=row.extra,
        )

    def cohort_counts(self, cohorts: Collection[int] | None) -> dict[int, Counts]:
        found = {}
        for cohort in sorted({row.cohort for row in self.rows.values()}):
            if cohorts is None or cohort in cohorts:
                rows = [row for row in self.rows.values() if row.cohort == cohort]
                found[cohort] = _counted(Counter((row.state, row.code) for row in rows))
        return found

    def counts(self) -> Counts:
        """Counted anew each time: the plain truth."""
        people = Counter((row.state, row.code) for row in self.rows.values())
        for group in self.groups:
            for state, number in group.people.items():
                people[state, group.row.code] += number
        return _counted(people)


def _counted(people: Counter[tuple[State, str]]) -> Counts:
    counts = Counts()
    for (state, code), number in people.items():
        if not number:
            continue
        name = State.PENDING if state is State.INTENDED else state
        setattr(counts, name, getattr(counts, name) + number)
        counts.planned += number
        if state in _REASONED:
            counts.by_code[code] = counts.by_code.get(code, 0) + number
    return counts
