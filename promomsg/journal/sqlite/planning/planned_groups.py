"""Groups in the making: which pending recipients could be one, and how a set is split."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.planned_columns import AddedRows
from promomsg.journal.records import SharedMessage
from promomsg.journal.sqlite.planning.planned_rows import forget_guesses
from promomsg.journal.sqlite.schema import INDEXES
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import in_state
from promomsg.model import State

__all__ = ["add_audience_group", "index_cohorts", "index_digests", "make_groups", "shared_messages"]

_encode = msgspec.json.Encoder().encode

_PENDING: Final = in_state(State.PENDING)
_SET: Final = f"{_PENDING} AND group_no IS NULL AND id IS NOT NULL"


def shared_messages(tx: Transaction, at_least: int, added: AddedRows | None) -> list[SharedMessage]:
    """Sets that could be a group, by digest (None first) and cohort; a sort only when there are
    digests or cohorts.

    Args:
        added: the rows of a plan in the making; None for a journal that was opened.
    """
    db = tx.db
    if added is not None:
        every = added.one_set
        if every is None or len(every) < max(at_least, 1):
            forget_guesses(db, added)
        if every is not None and not added.groups:
            return [SharedMessage(None, len(every))] if len(every) >= max(at_least, 1) else []
    cohort = "0"
    if added is None or added.cohorts:
        cohort = "cohort"
        index_cohorts(db)
    found = db.execute(
        f"SELECT NULL, count(*), {cohort} FROM recipient WHERE {_SET} AND message_digest IS NULL"
        f" GROUP BY {cohort} + 0 HAVING count(*) >= ? ORDER BY 3",
        (max(at_least, 1),),
    ).fetchall()
    if added is None or added.digests:
        sets = db.execute(
            f"SELECT message_digest, count(*), {cohort} FROM recipient"
            f" WHERE {_SET} AND message_digest IS NOT NULL"
            f" GROUP BY message_digest, {cohort} + 0 HAVING count(*) >= ? ORDER BY 1, 3",
            (at_least,),
        ).fetchall()
        if sets:
            index_digests(db)  # `make_groups` looks each of them up
        found += sets
    return [SharedMessage(*one) for one in found]


def index_cohorts(db: sqlite3.Connection) -> None:
    """Makes the index of cohorts, unless it is there, or all rows are in cohort 0."""
    if db.execute("SELECT max(cohort) FROM recipient").fetchone()[0]:
        db.execute(f"CREATE INDEX IF NOT EXISTS recipient_cohort {INDEXES['recipient_cohort']}")


def index_digests(db: sqlite3.Connection) -> None:
    """Makes the index of rendered messages, unless it is there: for the search of those who get one
    of them. Most campaigns need none, and of a million different texts it takes a second."""
    db.execute(
        f"CREATE INDEX IF NOT EXISTS recipient_message_digest {INDEXES['recipient_message_digest']}"
    )


def make_groups(
    tx: Transaction,
    message_digest: bytes | None,
    sizes: Sequence[int],
    cohort: int,
    added: AddedRows | None,
) -> None:
    """Splits one set, in order of seq; `added` as `shared_messages` has it."""
    db = tx.db
    if message_digest is None and added is not None and not added.groups:
        every = added.one_set
        if added.are_guessed(sizes):
            added.guessed.clear()
            db.executemany(
                "INSERT INTO group_send (group_no, planned) VALUES (?, ?)", enumerate(sizes, 1)
            )
            return
        forget_guesses(db, added)
        if every is not None and sizes and min(sizes) > 0 and sum(sizes) <= len(every):
            _make_groups_of_all(db, every, sizes)
            return
    same, args = (
        ("message_digest IS NULL", ())
        if message_digest is None
        else ("message_digest = ?", (message_digest,))
    )
    (group_no,) = db.execute("SELECT coalesce(max(group_no), 0) FROM group_send").fetchone()
    after = -1
    for size in sizes:
        group_no += 1
        where = f"{_SET} AND cohort = {int(cohort)} AND {same} AND seq > ?"
        last = db.execute(
            f"SELECT seq FROM recipient WHERE {where} ORDER BY seq LIMIT 1 OFFSET ?",
            (*args, after, size - 1),
        ).fetchone()
        if last is None or size < 1:
            raise JournalError(
                f"group {group_no} of {size}: the set has fewer recipients than that"
            )
        (message_values,) = db.execute(
            f"SELECT message_values FROM recipient WHERE {where} ORDER BY seq LIMIT 1",
            (*args, after),
        ).fetchone()
        db.execute(
            f"UPDATE recipient SET group_no = ? WHERE {where} AND seq <= ?",
            (group_no, *args, after, last[0]),
        )
        db.execute(
            "INSERT INTO group_send (group_no, planned, message_values, message_digest, cohort)"
            " VALUES (?, ?, ?, ?, ?)",
            (group_no, size, message_values, message_digest, cohort),
        )
        after = last[0]


def _make_groups_of_all(db: sqlite3.Connection, every: range, sizes: Sequence[int]) -> None:
    """Groups of rows that are all in one set: each is a range of seq, and no row is looked at."""
    first = every.start
    (group_no,) = db.execute("SELECT coalesce(max(group_no), 0) FROM group_send").fetchone()
    for size in sizes:
        group_no += 1
        db.execute(
            "UPDATE recipient SET group_no = ? WHERE seq BETWEEN ? AND ?",
            (group_no, first, first + size - 1),
        )
        db.execute("INSERT INTO group_send (group_no, planned) VALUES (?, ?)", (group_no, size))
        first += size


def add_audience_group(tx: Transaction, audience: Mapping[str, Any], planned: int) -> None:
    """A group whose people are not rows."""
    tx.db.execute(
        "INSERT INTO group_send (planned, audience_pending, audience) VALUES (?, ?, ?)",
        (planned, planned, _encode(audience).decode()),
    )
    tx.counts.add(State.PENDING, "", planned)
