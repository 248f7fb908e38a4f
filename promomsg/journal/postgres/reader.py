"""Reading a campaign by plain calls, without an event loop, while it is sent and after."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

import msgspec
import psycopg

from promomsg.errors import JournalError
from promomsg.journal.counts import STATES
from promomsg.journal.people.asked_people import asked_people, may_be_a_number, page_of
from promomsg.journal.people.people_contract import PeoplePage, Person, SinglesOfDay
from promomsg.journal.postgres.database import ASK_AGAIN, explain
from promomsg.journal.postgres.people import one_person
from promomsg.journal.postgres.people.people_pages import people_asked
from promomsg.journal.postgres.statements import (
    campaign_row,
    group_rows,
    provider_answers,
    reading,
)
from promomsg.journal.postgres.statements.transaction import statement
from promomsg.journal.reasons import INTERRUPTED
from promomsg.journal.records import (
    CampaignRecord,
    ClickDay,
    Control,
    Counts,
    FirstFew,
    GroupRow,
    InDoubt,
    Standing,
    is_asked_again,
)
from promomsg.journal.state_sql import group_move
from promomsg.model import Outcome, State
from promomsg.states import FINAL, GroupEvent
from promomsg.timeline import (
    EMPTY,
    Timeline,
    step_between,
    stretches_of,
    timeline_of,
)
from promomsg.url_origins import origin

__all__ = ["PostgresRows", "PostgresView"]

_LOSE_GROUP: Final = group_move(GroupEvent.LOST)


class PostgresView:
    """See `promomsg.journal.contract.CampaignView`.

    Args:
        db: a connection of its own, in autocommit mode; closed with it.
        campaign: its number in the database.
        name: the journal's, for messages.
    """

    def __init__(self, db: psycopg.Connection[tuple[Any, ...]], campaign: int, name: str) -> None:
        self._db = db
        self._campaign = campaign
        self._name = name

    def _rows(self, text: str, args: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        try:
            cursor = self._db.execute(
                statement(text, self._campaign), {"campaign": self._campaign, **(args or {})}
            )
            return cursor.fetchall()
        except psycopg.Error as error:
            raise explain(error, self._name, ASK_AGAIN) from None

    @property
    def record(self) -> CampaignRecord:
        """The campaign."""
        rows = self._rows(campaign_row.RECORD)
        if not rows:
            raise JournalError(f"{self._name}: there is no such campaign any more")
        return campaign_row.record_of(rows[0])

    def control(self) -> Control:
        """What was asked of its senders."""
        return Control(self._rows(campaign_row.CONTROL)[0][0])

    def parked_until(self) -> float | None:
        """See `CampaignView.parked_until`."""
        until: float | None = self._rows(campaign_row.CONTROL)[0][1]
        return until

    def first_few(self, cohorts: Sequence[int]) -> tuple[FirstFew | None, dict[int, Counts]]:
        """See `CampaignView.first_few`."""
        kept = campaign_row.first_few_of(self._rows(campaign_row.FIRST_FEW)[0][0])
        return kept, reading.cohort_counts_of(self._rows(*reading.cohorts_asked(cohorts)))

    def standing(self) -> Standing:
        """See `CampaignView.standing`: all of one moment."""
        with self._one_moment():
            return self._standing()

    @contextmanager
    def _one_moment(self) -> Iterator[None]:
        """Whatever is read in this block is of one moment."""
        try:
            self._db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with self._db.transaction():
                yield
        finally:
            self._db.isolation_level = None

    def _standing(self) -> Standing:
        counts = reading.counts_of(self._rows(reading.COUNTS))
        groups = [group_rows.group_row(row) for row in self._rows(group_rows.GROUPS)]
        running, singles = self._rows(reading.STANDING)[0]
        lost = [group for group in groups if group.state in _LOSE_GROUP.starts]
        if running or not (singles or lost):
            return Standing(counts, groups, running)
        in_doubt = InDoubt(singles, len(lost), sum(group.planned for group in lost))
        again = is_asked_again(self.record)
        _lose(counts, in_doubt.members + (0 if again else singles))
        return Standing(counts, [_as_lost(group) for group in groups], False, in_doubt, again)

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """See `CampaignView.rows`."""
        return map(reading.outcome, self.raw_rows(states))

    def raw_rows(self, states: Iterable[State] | None = None) -> Iterator[tuple[Any, ...]]:
        """The same, as `statements.reading.outcome` takes them."""
        source = self._source()
        text = reading.page_text(None if states is None else frozenset(states), source)
        after = -1
        while page := self._rows(text, {"after": after}):
            after = page[-1][0]
            yield from page

    def _source(self) -> str:
        """What rows are read from."""
        with self._one_moment():
            return self._source_now()

    def _source_now(self) -> str:
        standing = self._standing()
        if standing.in_doubt is None:
            return reading.AS_THEY_ARE
        return reading.AS_ASKED_AGAIN if standing.asks_again else reading.AS_LOST

    def timeline(self, most: int) -> Timeline:
        """See `promomsg.journal.read_contract.Rows.timeline`."""
        source = self._source()
        [(first, last)] = self._rows(reading.bounds_text(source))
        if first is None:
            return EMPTY
        step = step_between(first, last, most)
        rows = self._rows(reading.stretches_text(source), {"step": step})
        return stretches_of(((n, STATES[state], count) for n, state, count in rows), step)

    def people(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        states: Collection[State] | None = None,
        code: str | None = None,
        search: str | None = None,
    ) -> PeoplePage:
        """See `PeopleView.people`."""
        asked = asked_people(
            after=after, before=before, limit=limit, states=states, code=code, search=search
        )
        source = self._source()

        def find(at: int, backwards: bool, most: int) -> list[tuple[int, Outcome]]:
            rows = self._rows(*people_asked(asked, source, at, backwards, most))
            found = [(row[0], reading.outcome(row)) for row in rows]
            return found[::-1] if backwards else found

        return page_of(asked, find)

    def person(self, seq: int) -> Person | None:
        """See `PeopleView.person`: all of one moment."""
        if not may_be_a_number(seq):
            return None
        with self._one_moment():
            source, asked = self._source_now(), {"seq": seq}
            found = self._rows(one_person.person_text(source), asked)
            if not found:
                return None
            [kept] = self._rows(one_person.KEPT, asked)
            groups = self._rows(group_rows.ONE_GROUP, {"group_no": kept[2]})
            group = group_rows.group_row(groups[0]) if groups else None
            if group is not None and source != reading.AS_THEY_ARE:
                group = _as_lost(group)
            history = self._rows(one_person.HISTORY, asked)
            return one_person.person_of(self.record, found[0], kept, group, history)

    def singles_of(self, day: str) -> SinglesOfDay:
        """See `PeopleView.singles_of`: of the account."""
        record = self.record
        asked = {
            "channel": record.channel,
            "origin": origin(record.base_url),
            "account": record.account,
            "day": day,
        }
        quota = self._rows(one_person.QUOTA, asked)
        days = self._rows(one_person.ACCOUNT_DAY, asked)
        singles = one_person.singles_of_account(record, day, quota, days)
        return SinglesOfDay(day=day, singles=singles, of_account=True)

    def sample_values(self) -> tuple[str, ...] | None:
        """See `PeopleView.sample_values`."""
        for text in one_person.SAMPLES:
            for (values,) in self._rows(text):
                return one_person.values_of(values)
        return None

    def senders(self) -> list[str]:
        """See `Journal.senders`: who holds leases that live."""
        return [worker for (worker,) in self._rows(reading.SENDERS_AT_WORK)]

    def elapsed(self) -> float:
        """Seconds from the complete plan to the last result, or the last call of a group."""
        began = self.record.planned_at
        (last,) = self._rows(reading.LAST_AT)[0]
        return max(last - began, 0.0) if last is not None and began is not None else 0.0

    def failure_file(self, group_no: int) -> bytes | None:
        """See `CampaignView.failure_file`."""
        pieces = self._rows(provider_answers.FAILURE_FILE, {"group_no": group_no})
        return b"".join(piece for (piece,) in pieces) if pieces else None

    def sent_days(self) -> list[str]:
        """See `CampaignView.sent_days`."""
        return [day for (day,) in self._rows(provider_answers.SENT_DAYS)]

    def clicks(self) -> list[ClickDay]:
        """See `CampaignView.clicks`."""
        return [provider_answers.click_day(row) for row in self._rows(provider_answers.CLICKS)]

    def close(self) -> None:
        """Lets go of the connection; a second call does nothing."""
        self._db.close()


def _lose(counts: Counts, people: int) -> None:
    counts.pending -= people
    counts.unknown += people
    if people:
        counts.by_code[INTERRUPTED.code] = counts.by_code.get(INTERRUPTED.code, 0) + people


def _as_lost(group: GroupRow) -> GroupRow:
    if group.state not in _LOSE_GROUP.starts:
        return group
    return msgspec.structs.replace(
        group, state=_LOSE_GROUP.end, code=INTERRUPTED.code, detail=INTERRUPTED.detail
    )


class PostgresRows:
    """See `promomsg.journal.contract.Rows`: a connection is open for one iteration, since people keep
    reports.

    Args:
        view: opens the campaign to look at.
    """

    def __init__(self, view: Callable[[], PostgresView]) -> None:
        self._view = view
        self._kept: IO[bytes] | None = None

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq.

        Raises:
            JournalError: the campaign is gone, or cannot be read.
        """
        if self._kept is not None:
            yield from _unpacked(self._kept, states)
            return
        view = self._view()
        try:
            yield from view.rows(states)
        finally:
            view.close()

    def timeline(self, most: int) -> Timeline:
        """See `promomsg.journal.read_contract.Rows.timeline`."""
        if self._kept is not None:
            rows = _unpacked(self._kept, FINAL)
            return timeline_of(((row.at, row.state) for row in rows if row.at is not None), most)
        view = self._view()
        try:
            return view.timeline(most)
        finally:
            view.close()

    def keep(self) -> None:
        """They are copied to a temporary file, which is nobody else's."""
        if self._kept is not None:
            return
        view = self._view()
        kept = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        try:
            for row in view.raw_rows():
                line = _encode(row)
                kept.write(len(line).to_bytes(4, "big") + line)
        except BaseException:
            kept.close()
            raise
        finally:
            view.close()
        self._kept = kept

    def __del__(self) -> None:
        if hasattr(self, "_kept"):
            self.close()

    def close(self) -> None:
        """Gives back what `keep` holds."""
        if self._kept is not None:
            self._kept.close()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def _unpacked(kept: IO[bytes], states: Iterable[State] | None) -> Iterator[Outcome]:
    wanted = None if states is None else frozenset(states)
    at = 0
    while True:
        kept.seek(at)
        size = kept.read(4)
        if not size:
            return
        line = kept.read(int.from_bytes(size, "big"))
        at += 4 + len(line)
        outcome = reading.outcome(_decode(line))
        if wanted is None or outcome.state in wanted:
            yield outcome
