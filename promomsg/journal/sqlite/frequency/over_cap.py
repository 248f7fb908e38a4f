"""Counting messages against the pending recipients of a plan, and skipping who is over the cap, in SQL.

What is counted is in temporary tables, so memory does not grow with the recipients.
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from promomsg.errors import UsageError
from promomsg.journal.records import Reason
from promomsg.journal.sqlite.frequency.messages import NAMELESS, Message
from promomsg.journal.sqlite.statements.suppression import leave_groups, make_blocked, skip_blocked
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import in_state, recipient_move
from promomsg.model import Code, State
from promomsg.states import Event

__all__ = ["add_messages", "begin_count", "skip_over", "skip_planned_over"]

_encode = msgspec.json.Encoder().encode

_BY_KEY: Final = (None, None, None, 1)
"""What else a message says of a person who is named by the key alone: one message."""

_SKIP: Final = recipient_move(Event.SKIP)
_PENDING: Final = in_state(State.PENDING)
_ADDRESSES: Final = ("id", "openid", "unionid")
_TABLES: Final = (
    # Who is meant by a key or an address.
    "person (value TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (value, seq)) WITHOUT ROWID",
    "had (seq INTEGER PRIMARY KEY, messages INTEGER NOT NULL)",
)
_CACHE_KIB: Final = 16_000
"""Page cache of the temporary tables while they are filled."""

_PEOPLE: Final = f"""
INSERT OR IGNORE INTO temp.person
SELECT value, seq FROM (
    SELECT key AS value, seq FROM recipient WHERE {_PENDING} AND NOT {NAMELESS}
    {
    " ".join(
        f'''UNION ALL SELECT {column}, seq FROM recipient
    WHERE {_PENDING} AND {column} IS NOT NULL AND {column} <> key'''
        for column in _ADDRESSES
    )
}
) ORDER BY value, seq
"""
# A row that is there twice is the same person by another address.
_DUPLICATES: Final = f"""
INSERT OR IGNORE INTO temp.person
SELECT v.value, p.seq FROM recipient AS d
JOIN temp.person AS p ON p.value IN (d.key, d.id, d.openid, d.unionid)
JOIN json_each(json_array(iif({NAMELESS.replace("key", "d.key")}, NULL, d.key), d.id, d.openid, d.unionid)) AS v
WHERE {in_state(State.SKIPPED, row="d")}
  AND d.code IN ('{Code.DUPLICATE_KEY}', '{Code.DUPLICATE_ADDRESS}') AND v.value IS NOT NULL
"""
_COUNTS: Final = "ON CONFLICT (seq) DO UPDATE SET messages = messages + excluded.messages"
_ADD: Final = f"""
INSERT INTO temp.had (seq, messages)
SELECT seq, sum(messages) FROM (
    SELECT DISTINCT p.seq, json_extract(j.value, '$[1]') AS message_no,
                    json_extract(j.value, '$[2]') AS messages
    FROM json_each(?) AS j CROSS JOIN temp.person AS p ON p.value = json_extract(j.value, '$[0]')
) GROUP BY seq {_COUNTS}
"""
# Most lists name a person by one value, and send to nobody twice: a twentieth of the time.
_ADD_EACH: Final = f"""
INSERT INTO temp.had (seq, messages)
SELECT p.seq, 1 FROM json_each(?) AS j CROSS JOIN temp.person AS p ON p.value = j.value WHERE true {_COUNTS}
"""


def begin_count(tx: Transaction) -> None:
    """A count of everybody who is pending, at nothing.

    Raises:
        UsageError: one of them has neither key nor address in the journal.
    """
    db = tx.db
    nameless = db.execute(
        f"SELECT key FROM recipient WHERE {_PENDING} AND {NAMELESS}"
        " AND coalesce(id, openid, unionid) IS NULL LIMIT 1"
    ).fetchone()
    if nameless is not None:
        raise UsageError(
            f"max_per_person: {nameless[0]} has no key, and its address is not kept, so nobody knows how many "
            "messages it had; give the list a column key"
        )
    db.execute(f"PRAGMA temp.cache_size = -{_CACHE_KIB}")
    for table in _TABLES:
        db.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table}")
    _empty(db)
    db.execute("BEGIN")
    db.execute(_PEOPLE)
    db.execute(_DUPLICATES)
    db.execute("COMMIT")


def _empty(db: sqlite3.Connection) -> None:
    for table in _TABLES:
        db.execute(f"DELETE FROM temp.{table.partition(' ')[0]}")


def add_messages(tx: Transaction, page: Sequence[Message]) -> None:
    """Counts some messages of another campaign, each once for a person."""
    if all(one[1:] == _BY_KEY for one in page):
        tx.db.execute(_ADD_EACH, (_as_json([one[0] for one in page]),))
        return
    values = [
        (value, number, one[4])
        for number, one in enumerate(page)
        for value in one[:4]
        if value is not None
    ]
    tx.db.execute(_ADD, (_as_json(values),))


def _as_json(values: object) -> str:
    return _encode(values).decode()


def _find_over(db: sqlite3.Connection, most: int, reason: Reason) -> bool:
    make_blocked(db)
    found = db.execute(
        "INSERT INTO temp.blocked SELECT seq, ? FROM temp.had WHERE messages >= ?",
        (reason.detail, most),
    ).rowcount
    _empty(db)
    return bool(found)


def skip_planned_over(tx: Transaction, most: int, reason: Reason, smallest_group: int) -> int:
    """Before the plan is complete: who is over the cap is skipped, and in no group."""
    if not _find_over(tx.db, most, reason):
        return 0
    leave_groups(tx, reason, smallest_group, planning=True)
    changed = tx.db.execute(
        f"UPDATE recipient SET {_SKIP.sets}, code = ?, detail = b.detail FROM temp.blocked AS b"
        f" WHERE b.seq = recipient.seq AND {_SKIP.where}",
        (reason.code,),
    ).rowcount
    tx.counts.move(State.PENDING, "", _SKIP.end, reason.code, changed)
    return changed


def skip_over(tx: Transaction, most: int, reason: Reason, smallest_group: int, at: float) -> int:
    """The same once it is: groups that are out keep their members."""
    if not _find_over(tx.db, most, reason):
        return 0
    return skip_blocked(tx, reason, at, smallest_group)
