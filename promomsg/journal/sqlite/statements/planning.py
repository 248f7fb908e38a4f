"""Planning in SQL: rows come in batches, then everything that needs the whole list at once.

While the file has its temporary name nothing has to survive, so nothing is synced; the set-based
steps sort on disk, so memory stays flat. Statements and their costs: docs/design.md, "Journal".
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.planned_columns import AddedRows, PlannedColumns
from promomsg.journal.reasons import UNIQUE_VALUES
from promomsg.journal.records import CampaignRecord, Place, PlannedRow
from promomsg.journal.sqlite.schema import INDEXES
from promomsg.journal.sqlite.statements.campaign_row import save_record
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
    "add_audience_group",
    "add_columns",
    "add_final",
    "assign_ids",
    "cut_chunks",
    "index_digests",
    "make_groups",
    "mark_duplicates",
    "plan_counts",
    "sample",
    "seal",
    "shared_messages",
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
}
"""Columns of planned rows that may be None, and what the table calls them."""
_AT_ONCE: Final = 100
"""Rows of one statement: half of what a statement each takes. Some SQLite binds no more than 999
values, and no row has more than nine: with a group, it has no message of its own."""

_INSERT_FINAL: Final = """
INSERT INTO recipient (seq, key, id, openid, unionid, fingerprint, request_id, message_values,
                       message_digest, state, code, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


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
        _forget_guesses(db, added)
    return total


def _forget_guesses(db: sqlite3.Connection, added: AddedRows) -> None:
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


_SET: Final = f"{_PENDING} AND group_no IS NULL AND id IS NOT NULL"


def shared_messages(
    tx: Transaction, at_least: int, added: AddedRows | None
) -> list[tuple[bytes | None, int]]:
    """Sets that could be a group, by digest (None first); a sort only when there are digests.

    Args:
        added: the rows of a plan in the making; None for a journal that was opened.
    """
    db = tx.db
    if added is not None:
        every = added.one_set
        if every is None or len(every) < max(at_least, 1):
            _forget_guesses(db, added)
        if every is not None and not added.groups:
            return [(None, len(every))] if len(every) >= max(at_least, 1) else []
    (bare,) = db.execute(
        f"SELECT count(*) FROM recipient WHERE {_SET} AND message_digest IS NULL"
    ).fetchone()
    found: list[tuple[bytes | None, int]] = [(None, bare)] if bare and bare >= at_least else []
    if added is None or added.digests:
        sets = db.execute(
            f"SELECT message_digest, count(*) FROM recipient WHERE {_SET} AND message_digest IS NOT NULL"
            " GROUP BY message_digest HAVING count(*) >= ? ORDER BY message_digest",
            (at_least,),
        ).fetchall()
        if sets:
            index_digests(db)  # `make_groups` looks each of them up
        found += sets
    return found


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
        _forget_guesses(db, added)
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
        where = f"{_SET} AND {same} AND seq > ?"
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
            "INSERT INTO group_send (group_no, planned, message_values, message_digest) VALUES (?, ?, ?, ?)",
            (group_no, size, message_values, message_digest),
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


def cut_chunks(db: sqlite3.Connection, chunk_size: int, singles: range | None = None) -> None:
    """Cuts every single that is not settled into new chunks, and gives each new group its own.

    Args:
        singles: the singles, by number, where that is known without a look at them.

    Chunks are ranges of seq, so no row is touched. Old numbers are not used again: a lease on one
    of them must never fit a new chunk.
    """
    (last,) = db.execute("SELECT coalesce(max(chunk_no), 0) FROM chunk").fetchone()
    db.execute("DELETE FROM chunk WHERE group_no IS NULL AND chunk_no < ?", (last,))
    db.execute(
        "UPDATE chunk SET done = 1, first_seq = NULL, deadline = NULL, epoch = epoch + 1"
        " WHERE group_no IS NULL"
    )
    db.execute(
        f"INSERT INTO chunk (group_no) SELECT group_no FROM group_send WHERE {_PLANNED_GROUP}"
        " AND group_no NOT IN (SELECT group_no FROM chunk WHERE group_no IS NOT NULL) ORDER BY group_no"
    )
    if singles is None:
        _cut_by_looking(db, chunk_size)
    else:
        parts = (singles[at : at + chunk_size] for at in range(0, len(singles), chunk_size))
        db.executemany(
            "INSERT INTO chunk (first_seq, last_seq) VALUES (?, ?)",
            ((some[0], some[-1]) for some in parts),
        )
    if db.execute("SELECT 1 FROM group_send LIMIT 1").fetchone() is not None:
        db.execute(f"CREATE INDEX IF NOT EXISTS recipient_group_no {INDEXES['recipient_group_no']}")
    db.execute("UPDATE campaign SET chunk_size = ?, needs_chunks = 0", (chunk_size,))


def _cut_by_looking(db: sqlite3.Connection, chunk_size: int) -> None:
    where = f"{_UNSETTLED} AND group_no IS NULL AND seq > ?"
    after = -1
    while True:
        first = db.execute(
            f"SELECT seq FROM recipient WHERE {where} ORDER BY seq LIMIT 1", (after,)
        ).fetchone()
        if first is None:
            break
        (end,) = db.execute(
            f"SELECT max(seq) FROM (SELECT seq FROM recipient WHERE {where} ORDER BY seq LIMIT ?)",
            (after, chunk_size),
        ).fetchone()
        db.execute("INSERT INTO chunk (first_seq, last_seq) VALUES (?, ?)", (first[0], end))
        after = end


def seal(db: sqlite3.Connection, record: CampaignRecord, chunk_size: int, added: AddedRows) -> None:
    """Completes the plan in the file; making it durable is the caller's."""
    _forget_guesses(db, added)
    db.execute("DROP INDEX IF EXISTS by_openid")
    db.execute("DROP INDEX IF EXISTS by_unionid")
    db.execute(f"CREATE INDEX recipient_unsent {INDEXES['recipient_unsent']}")
    save_record(db, record)
    db.execute("UPDATE campaign SET sender_open = 1")
    singles = added.every
    if singles is not None and added.groups:
        # A group's people are no singles; of some groups and some singles, which is which is asked.
        singles = range(0) if added.in_groups == added.count else None
    cut_chunks(db, chunk_size, singles)
