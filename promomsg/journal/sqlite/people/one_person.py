"""One recipient of a SQLite journal with everything that is kept of them, and what people see of all."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from promomsg.journal.counts import STATES
from promomsg.journal.people.asked_people import request_id_of_calls
from promomsg.journal.people.people_contract import EarlierAttempt, Person, SinglesOfDay
from promomsg.journal.sqlite.statements.groups import get as group_of
from promomsg.journal.sqlite.statements.reading import AS_JSON, RowSource, numbered, record, today
from promomsg.model import State
from promomsg.states import FINAL

__all__ = ["one_person", "sample_values", "singles_of"]

_FIRST: Final = 10_000
"""Recipients that are looked at for a sample."""

_KEPT: Final = (
    "SELECT message_values, cohort, group_no, maybe_sent, generation, state, attempts"
    " FROM recipient WHERE seq = ?"
)
_HISTORY: Final = (
    "SELECT state, attempts, code, detail, rid, at, msg_id FROM attempt_history WHERE seq = ?"
    " ORDER BY history_no"
)
_SAMPLES: Final = (
    f"SELECT message_values FROM (SELECT * FROM recipient ORDER BY seq LIMIT {_FIRST})"
    " WHERE message_values IS NOT NULL LIMIT 1",
    f"SELECT message_values FROM (SELECT * FROM group_send ORDER BY group_no LIMIT {_FIRST})"
    " WHERE message_values IS NOT NULL LIMIT 1",
)

_values = msgspec.json.Decoder(tuple[str, ...]).decode


def one_person(db: sqlite3.Connection, *, seq: int, source: RowSource) -> Person | None:
    """See `PeopleView.person`: all of one moment; `source`: what rows are read from."""
    db.execute("BEGIN")
    try:
        return _person(db, seq, source)
    finally:
        db.execute("ROLLBACK")


def _person(db: sqlite3.Connection, seq: int, source: RowSource) -> Person | None:
    (text,) = db.execute(
        f"SELECT {AS_JSON} FROM (SELECT * FROM {source.rows} WHERE seq = :seq) AS r",
        {**source.args, "seq": seq},
    ).fetchone()
    found = numbered(db, text)
    if not found:
        return None
    [(_, outcome)] = found
    values, cohort, group_no, maybe_sent, generation, state, attempts = db.execute(
        _KEPT, (seq,)
    ).fetchone()
    # Whom a sender that died had called: a resume asks for them again.
    is_asked_again = (STATES[state], outcome.state, outcome.attempts) == (
        State.INTENDED,
        State.PENDING,
        attempts,
    )
    recipient = outcome.recipient
    return Person(
        seq=seq,
        outcome=outcome,
        values=_values(values) if values else (),
        cohort=cohort,
        group=None if group_no is None else group_of(db, group_no),
        request_id=request_id_of_calls(
            record(db), recipient.key or "", recipient.request_id, generation
        ),
        maybe_sent=outcome.state not in FINAL and (bool(maybe_sent) or is_asked_again),
        history=tuple(
            EarlierAttempt(
                state=STATES[was],
                attempts=calls,
                code=code,
                detail=detail,
                rid=rid,
                at=at,
                group=msg_id,
            )
            for was, calls, code, detail, rid, at, msg_id in db.execute(_HISTORY, (seq,))
        ),
    )


def singles_of(db: sqlite3.Connection, *, day: str) -> SinglesOfDay:
    """See `PeopleView.singles_of`: what is known is the last day that singles were intended on."""
    last, singles = today(db)
    return SinglesOfDay(day=day, singles=singles if last == day else 0, of_account=False)


def sample_values(db: sqlite3.Connection) -> tuple[str, ...] | None:
    """See `PeopleView.sample_values`."""
    for text in _SAMPLES:
        row = db.execute(text).fetchone()
        if row is not None:
            return _values(row[0])
    return None
