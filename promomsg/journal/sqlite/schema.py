"""What a journal's file has to be before any of it is believed: our tables, whole, with our kinds of
values. A journal is data that somebody may have handed over, and a view or a trigger is a program.
"""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from importlib import resources
from typing import Final

from promomsg.errors import JournalError
from promomsg.journal.counts import STATES
from promomsg.journal.records import Control
from promomsg.journal.state_sql import UNSENT, in_group_state, in_state
from promomsg.states import FINAL, GroupState

__all__ = [
    "APPLICATION_ID",
    "INDEXES",
    "VERSION",
    "bring_up",
    "check_schema",
    "check_version",
    "check_whole",
    "schema_text",
    "show_as_current",
]

APPLICATION_ID: Final = 1347571533
VERSION: Final = 4
_OLDEST: Final = 1
_COLUMNS: Final = (
    (2, "campaign", "parked_until REAL", "NULL"),
    (2, "group_send", "polls_at_100 INTEGER NOT NULL DEFAULT 0", "0"),
    (2, "group_send", "given_up INTEGER NOT NULL DEFAULT 0", "0"),
    (2, "group_send", "warned_of_age INTEGER NOT NULL DEFAULT 0", "0"),
    (2, "group_send", "followed_since REAL", "NULL"),
    (4, "campaign", "cohorts TEXT", "NULL"),
    (4, "campaign", "first_few TEXT", "NULL"),
    (4, "recipient", "cohort INTEGER NOT NULL DEFAULT 0", "0"),
    (4, "group_send", "cohort INTEGER NOT NULL DEFAULT 0", "0"),
    (4, "chunk", "cohort INTEGER NOT NULL DEFAULT 0", "0"),
)
"""Columns that came later: the version, table, column, and what it stands for in a file without it."""
_TABLE_OF_3: Final = "click_day"
_EMPTY_TABLE_OF_3: Final = (
    "SELECT NULL AS day, NULL AS by_message, NULL AS asked_at, NULL AS counts WHERE 0"
)
"""A table that versions 1 and 2 have not, and what it stands for in a file without it."""

INDEXES: Final = {
    "by_openid": "ON recipient (openid) WHERE openid IS NOT NULL",
    "by_unionid": "ON recipient (unionid) WHERE unionid IS NOT NULL",
    "recipient_message_digest": "ON recipient (message_digest) WHERE message_digest IS NOT NULL",
    "recipient_group_no": "ON recipient (group_no) WHERE group_no IS NOT NULL",
    "recipient_unsent": f"ON recipient (state, code) WHERE {UNSENT}",
    "recipient_cohort": "ON recipient (cohort)",
}
"""Indexes that planning makes when it needs them; the first two are gone when it is complete."""

_STATISTICS: Final = frozenset({"sqlite_stat1", "sqlite_stat4"})
"""What `ANALYZE` of another program leaves; only the order of a search depends on it."""

_COMMENT: Final = re.compile(r"--[^\n]*")
_SPACE: Final = re.compile(r"\s+")
_SIGN: Final = re.compile(r" ?([,()]) ?")


def schema_text() -> str:
    """The statements that make an empty journal."""
    return resources.files("promomsg.journal.sqlite").joinpath("schema.sql").read_text("utf-8")


def _plain(sql: str) -> str:
    return _SIGN.sub(r"\1", _SPACE.sub(" ", _COMMENT.sub("", sql))).strip()


def _things(db: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    """Name → (kind, statement) of everything that has a statement."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL LIMIT 100")
    return {str(name): (str(kind), _plain(str(sql))) for kind, name, sql in rows}


@cache
def _ours(version: int) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]:
    """What every journal of a version has, and what one may have besides."""
    db = sqlite3.connect(":memory:")
    try:
        db.executescript(schema_text())
        needed = _things(db)
        for name, on in INDEXES.items():
            db.execute(f"CREATE INDEX {name} {on}")
        allowed = _things(db)
    finally:
        db.close()
    for table, column, _ in _columns_since(version):
        kind, text = needed[table]
        needed[table] = allowed[table] = (kind, text.replace(f",{column}", "", 1))
    if version < 3:
        del needed[_TABLE_OF_3], allowed[_TABLE_OF_3]
    return needed, allowed


def _columns_since(version: int) -> list[tuple[str, str, str]]:
    """(table, column, its value) of each that a file of this version has not."""
    return [entry for since, *entry in _COLUMNS if version < since]  # type: ignore[misc]


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def check_version(db: sqlite3.Connection, path: str) -> None:
    """Raises JournalError unless the file says that it is a journal of this version, or of one that
    a sender brings to it (`bring_up`)."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    version = _version(db)
    if application != APPLICATION_ID:
        raise JournalError(f"{path}: it is not a promomsg journal; give another path")
    if not _OLDEST <= version <= VERSION:
        raise JournalError(
            f"{path}: it is a journal of version {version}, and this promomsg reads version "
            f"{VERSION}; open it with the promomsg that made it"
        )


def check_schema(db: sqlite3.Connection, path: str) -> None:
    """Raises JournalError unless the file has our tables and view, and nothing that we did not make."""
    needed, allowed = _ours(_version(db))
    found = _things(db)
    odd = sorted(
        name
        for name, thing in found.items()
        if allowed.get(name) != thing and not (name in _STATISTICS and thing[0] == "table")
    )
    odd += sorted(name for name in needed if name not in found)
    if odd:
        name = odd[0]
        kind = found[name][0] if name in found else needed[name][0]
        what = "differs from ours" if name in allowed else "is none of ours"
        if name not in found:
            what = "is missing"
        raise JournalError(
            f"{path}: it is not a journal as promomsg makes them (the {kind} {name[:40]!r} {what}); "
            "put the journal itself back, or give another path"
        )


def bring_up(db: sqlite3.Connection) -> None:
    """Adds what an older file has not, for its sender, at once: the file is of this version then, and
    the promomsg that made it opens it no more."""
    version = _version(db)
    if version == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    for table, column, _ in _columns_since(version):
        db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    if version < 3:
        db.execute(_ours(VERSION)[0][_TABLE_OF_3][1])
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def show_as_current(db: sqlite3.Connection) -> None:
    """Has a connection that only reads see an older file as one of this version, by views of its own
    in place of the tables; the file is left as it is."""
    version = _version(db)
    if version == VERSION:
        return
    columns = _columns_since(version)
    for name in dict.fromkeys(table for table, _, _ in columns):
        added = ", ".join(
            f"{value} AS {column.split()[0]}" for table, column, value in columns if table == name
        )
        db.execute(f"CREATE TEMP VIEW {name} AS SELECT *, {added} FROM main.{name}")  # noqa: S608 - constants of this file
    if version < 3:
        db.execute(f"CREATE TEMP VIEW {_TABLE_OF_3} AS {_EMPTY_TABLE_OF_3}")


_NULL_OR_TEXT: Final = "({0} IS NULL OR typeof({0}) = 'text')"
_NULL_OR_WHOLE: Final = "({0} IS NULL OR typeof({0}) = 'integer')"
_NULL_OR_NUMBER: Final = "({0} IS NULL OR typeof({0}) IN ('integer', 'real'))"
_WHOLE: Final = "typeof({0}) = 'integer'"
_TEXT: Final = "typeof({0}) = 'text'"
_JSON: Final = "({0} IS NULL OR typeof({0}) = 'text' AND json_valid({0}))"


def _all(rule: str, *columns: str) -> list[str]:
    return [rule.format(column) for column in columns]


_TO_BE_SENT: Final = (
    *_all(_WHOLE, "attempts", "generation", "maybe_sent", "cohort"),
    *_all(_TEXT, "key", "code", "detail"),
    *_all(_NULL_OR_TEXT, "id", "openid", "unionid", "request_id", "rid", "extra"),
    *_all(_NULL_OR_NUMBER, "at"),
    *_all(_NULL_OR_WHOLE, "group_no"),
    *_all(_JSON, "message_values"),
)

_SHAPES: Final = (
    (
        "recipient",
        "seq",
        [
            f"typeof(state) = 'integer' AND {in_state(*STATES)}",
            # Final ones are only shown: they are looked at when they are.
            f"({in_state(*FINAL)} OR {' AND '.join(_TO_BE_SENT)})",
        ],
    ),
    (
        "group_send",
        "group_no",
        [
            *_all(_TEXT, "state", "code", "detail"),
            *_all(_WHOLE, "planned", "attempts", "polls", "polls_at_100"),
            *_all(_WHOLE, "given_up", "warned_of_age", "cohort"),
            *_all(
                _WHOLE,
                "audience_pending",
                "audience_sent",
                "audience_failed",
                "audience_unknown",
                "audience_cancelled",
            ),
            *_all(_NULL_OR_TEXT, "msg_id", "rid"),
            *_all(_NULL_OR_WHOLE, "percent", "send_cnt", "fail_cnt"),
            *_all(_NULL_OR_NUMBER, "sent_at", "next_poll_at", "followed_since"),
            *_all(_JSON, "message_values", "audience"),
            in_group_state(*GroupState),
        ],
    ),
    (
        "chunk",
        "chunk_no",
        [
            *_all(_WHOLE, "epoch", "done", "cohort"),
            *_all(_NULL_OR_WHOLE, "group_no", "first_seq", "last_seq"),
            *_all(_NULL_OR_NUMBER, "deadline"),
            "(group_no IS NULL OR group_no IN (SELECT group_no FROM group_send))",
        ],
    ),
    (
        "commit_log",
        "log_no",
        [
            *_all(_NULL_OR_NUMBER, "intended_at"),
            *_all(_NULL_OR_WHOLE, "intended_singles", "intended_day_total"),
            *_all(_NULL_OR_TEXT, "intended_day"),
        ],
    ),
    (
        "recipient_count",
        "state",
        [in_state(*STATES), *_all(_TEXT, "code"), *_all(_WHOLE, "recipients"), "recipients >= 0"],
    ),
    (
        "click_day",
        "day",
        [
            *_all(_TEXT, "day"),
            *_all(_JSON, "counts"),
            "by_message IN (0, 1)",
            "typeof(asked_at) IN ('integer', 'real')",
        ],
    ),
    ("control", "only_row", ["requested IN (" + ", ".join(f"'{word}'" for word in Control) + ")"]),
    (
        "campaign",
        "only_row",
        [
            *_all(_WHOLE, "chunk_size", "needs_chunks", "sender_open"),
            "chunk_size BETWEEN 1 AND 1000000",
            *_all(_NULL_OR_TEXT, "opening"),
            *_all(_NULL_OR_NUMBER, "parked_until"),
            *_all(_JSON, "cohorts", "first_few"),
        ],
    ),
)
"""Per table: its key, whose rows are looked at, and what has to hold of each."""


def check_whole(db: sqlite3.Connection, path: str) -> None:
    """Raises JournalError when SQLite finds damage, or a value is none that promomsg writes.

    One pass over the file (a million recipients: about a second), before anything is sent from it.
    """
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise JournalError(
            f"{path}: it is damaged ({str(found).splitlines()[-1][:120]}); put back a copy that is "
            "whole, with everything that stood beside it"
        )
    for table, key, rules in _SHAPES:
        row = db.execute(
            f"SELECT {key} FROM {table} WHERE NOT ({' AND '.join(rules)}) LIMIT 1"  # noqa: S608 - constants of this file
        ).fetchone()
        if row is not None:
            raise JournalError(
                f"{path}: it is damaged (row {row[0]} of the table {table} has values that promomsg "
                "does not write); put back a copy that is whole"
            )
    if db.execute("SELECT count(*) FROM (SELECT 1 FROM control LIMIT 2)").fetchone() != (1,):
        raise JournalError(f"{path}: it is damaged (the table control is empty)")
