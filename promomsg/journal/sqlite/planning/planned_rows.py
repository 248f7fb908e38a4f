"""Planning in SQL: rows come in batches, then everything that needs the whole list at once.

While the file has its temporary name nothing has to survive, so nothing is synced; the set-based
steps sort on disk, so memory stays flat. Statements and their costs: docs/design.md, "Journal".
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Final

import msgspec

from promomsg.journal.planned_columns import AddedRows, PlannedColumns
from promomsg.journal.reasons import UNIQUE_VALUES
from promomsg.journal.records import Place, PlannedRow
from promomsg.journal.sqlite.schema import INDEXES
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import (
    group_move,
    in_state,
    number,
    recipient_move,
)
from promomsg.model import State
from promomsg.states import Event, GroupEvent

__all__ = [
    "add_columns",
    "add_final",
    "assign_ids",
    "forget_guesses",
    "mark_duplicates",
    "pending_keys",
    "plan_counts",
    "sample",
    "set_cohort",
]

_encode = msgspec.json.Encoder().encode
_values = msgspec.json.Decoder(tuple[str, ...]).decode

_SKIP: Final = recipient_move(Event.SKIP)
_PENDING: Final = in_state(State.PENDING)
_UNSETTLED: Final = in_state(State.PENDING, State.INTENDED)
_PLANNED_GROUP: Final = group_move(GroupEvent.INTEND).where

_OPTIONAL: Final = {
    "id": "id",
    "openid": "openid",
    "unionid": "unionid",
    "fingerprint": "fingerprint",
    "request_id": "request_id",
    "values": "message_values",
    "message_digest": "message_digest",
    "group_no": "group_no",
    "cohort": "cohort",
}
"""Columns of planned rows that may be None, and what the table calls them."""
_AT_ONCE: Final = 99
"""Rows of one statement: half of what a statement each takes. Some SQLite binds no more than 999
values, and no row has more than ten: with a group, it has no message of its own."""

_INSERT_FINAL: Final = """
INSERT INTO recipient (seq, key, id, openid, unionid, fingerprint, request_id, message_values,
                       message_digest, state, code, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def pending_keys(db: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, str, int]]:
    """(seq, key, cohort) of the next pending rows, in order of seq."""
    return db.execute(
        f"SELECT seq, key, cohort FROM recipient WHERE {_PENDING} AND seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    ).fetchall()


def set_cohort(tx: Transaction, seqs: Sequence[int], cohort: int) -> None:
    """Puts rows into another cohort."""
    tx.db.execute(
        "UPDATE recipient SET cohort = ? WHERE seq IN (SELECT value FROM json_each(?))",
        (cohort, _encode(list(seqs)).decode()),
    )


def add_columns(tx: Transaction, rows: PlannedColumns) -> None:
    """Writes pending rows, given as columns."""
    # sqlite3 asks its adapters about each None (0.3 µs): columns without a value are left out.
    used = [name for name in _OPTIONAL if getattr(rows, name) is not None]
    columns = [rows.seq, rows.key, *(getattr(rows, name) for name in used)]
    names = ", ".join(("seq", "key", *(_OPTIONAL[name] for name in used)))
    insert = f"INSERT INTO recipient (state, {names}) VALUES "
    place = f"({number(State.PENDING)}{', ?' * len(columns)})"
    count, width = len(rows.seq), len(columns)
    whole = count - count % _AT_ONCE
    if whole:
        some = insert + ", ".join([place] * _AT_ONCE)
        values = list(chain.from_iterable(zip(*columns, strict=True)))
        for at in range(0, whole * width, _AT_ONCE * width):
            tx.db.execute(some, values[at : at + _AT_ONCE * width])
    if whole < count:
        rest = [column[whole:] for column in columns]
        tx.db.executemany(insert + place, zip(*rest, strict=True))
    tx.counts.add(State.PENDING, "", count)


def add_final(tx: Transaction, rows: Sequence[PlannedRow]) -> None:
    """Writes rows that are not pending."""
    tx.db.executemany(
        _INSERT_FINAL, [(*row[:9], number(State(row[9])), row[10], row[11]) for row in rows]
    )
    for row in rows:
        tx.counts.add(row[9], row[10], 1)


def assign_ids(tx: Transaction, found: Sequence[tuple[str | None, str | None, str]]) -> int:
    """Fills ids in by openid, then by unionid, through indexes that `seal` drops again."""
    pairs = _encode(found).decode()
    changed = 0
    for place, column in enumerate(("openid", "unionid")):
        tx.db.execute(f"CREATE INDEX IF NOT EXISTS by_{column} {INDEXES[f'by_{column}']}")
        changed += tx.db.execute(
            f"""
            UPDATE recipient SET id = json_extract(j.value, '$[2]') FROM json_each(?) AS j
            WHERE {column} = json_extract(j.value, '$[{place}]') AND recipient.id IS NULL AND {_PENDING}
            """,
            (pairs,),
        ).rowcount
    return changed


_PLACE: Final = """
    (SELECT ' (' || p.unit || ' ' || (p.number + early.seq - p.seq) || ')'
     FROM temp.place AS p WHERE p.seq <= early.seq ORDER BY p.seq DESC LIMIT 1)
"""


def mark_duplicates(
    tx: Transaction, added: AddedRows, columns: Collection[str], places: Sequence[Place] = ()
) -> int:
    """Column by column; see `Handle.mark_duplicates`.

    Duplicates are found by sorting, not by a unique index or a set of what was seen. An index of a
    million random keys is written all over the file, a set takes memory with every recipient, and a
    sort spills to disk in order. A column is sorted twice only when the first time (are there any?)
    says so, and not at all when it rose as it was added, or each of its values is the row's key.
    """
    db = tx.db
    asked = [entry for entry in UNIQUE_VALUES if entry[1] in ("key", *columns)]
    asked = [entry for entry in asked if added.may_repeat(entry[0])]
    db.execute("CREATE TEMP TABLE IF NOT EXISTS again (seq INTEGER PRIMARY KEY, first INTEGER)")
    total = 0
    for column, name, code in asked:
        # Nearly every list has none, and to find that out costs half of what finding them does.
        # Numbers are sorted faster; those that only look alike are told apart below.
        by = "CAST(id AS INTEGER)" if column == "id" and added.id_is_number else column
        if not _is_repeated(db, column, by, added.values_in(column)):
            continue
        _keep_places(db, places)
        db.execute("DELETE FROM temp.again")
        found = db.execute(
            f"""
            INSERT INTO temp.again
            SELECT seq, first FROM (
                SELECT seq, first_value(seq) OVER (PARTITION BY {column} ORDER BY seq) AS first
                FROM recipient WHERE {_SKIP.where} AND {column} IS NOT NULL
            ) WHERE seq <> first
            """
        ).rowcount
        if found:
            db.execute(
                f"""
                UPDATE recipient SET {_SKIP.sets}, code = ?,
                    detail = ? || early.key || coalesce({_PLACE}, '')
                FROM temp.again AS a JOIN recipient AS early ON early.seq = a.first
                WHERE recipient.seq = a.seq
                """,
                (code.value, f"same {name} as "),
            )
            tx.counts.move(State.PENDING, "", _SKIP.end, code.value, found)
            total += found
    db.execute("DELETE FROM temp.again")
    if total:
        forget_guesses(db, added)
    return total


def forget_guesses(db: sqlite3.Connection, added: AddedRows) -> None:
    """Takes the rows out of the groups that they were only guessed to be in."""
    if added.guessed:
        db.execute("UPDATE recipient SET group_no = NULL WHERE group_no IS NOT NULL")
        added.guessed.clear()


def _is_repeated(db: sqlite3.Connection, column: str, by: str, values: int | None) -> bool:
    """Whether pending rows may share a value, compared by `by`; `values`: how many have one, or None."""
    groups = f"FROM recipient WHERE {_SKIP.where} AND {column} IS NOT NULL GROUP BY {by}"
    if values is None:
        return bool(db.execute(f"SELECT 1 {groups} HAVING count(*) > 1 LIMIT 1").fetchall())
    # Groups that need not be counted each take a sixth of the time less.
    (different,) = db.execute(f"SELECT count(*) FROM (SELECT 1 {groups})").fetchone()
    return bool(different != values)


def _keep_places(db: sqlite3.Connection, places: Sequence[Place]) -> None:
    """Only once there is a duplicate: nearly every list has none."""
    db.execute(
        "CREATE TEMP TABLE IF NOT EXISTS place (seq INTEGER PRIMARY KEY, unit TEXT, number INTEGER)"
    )
    db.execute("DELETE FROM temp.place")
    db.executemany("INSERT INTO temp.place VALUES (?, ?, ?)", places)


def sample(db: sqlite3.Connection, limit: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """The first pending rows: (key, address, values)."""
    return [
        (key, address or "", _values(message_values) if message_values else ())
        for key, address, message_values in db.execute(
            "SELECT key, coalesce(openid, unionid, id), message_values FROM recipient"
            f" WHERE {_PENDING}"
            " ORDER BY seq LIMIT ?",
            (limit,),
        )
    ]


def plan_counts(db: sqlite3.Connection, added: AddedRows | None) -> tuple[int, int]:
    """(singles, groups) still to be called; `added` as `shared_messages` has it."""
    if added is not None and not added.changed:
        return added.count - added.in_groups, added.groups
    alone = "" if added is not None and added.guessed else "AND group_no IS NULL"
    (singles,) = db.execute(f"SELECT count(*) FROM recipient WHERE {_PENDING} {alone}").fetchone()
    (groups,) = db.execute(f"SELECT count(*) FROM group_send WHERE {_PLANNED_GROUP}").fetchone()
    return singles, groups
