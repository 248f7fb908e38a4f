"""The suppression list in SQL: it holds for a person, however many rows they have."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from promomsg.journal import sqlite_group as group_sql
from promomsg.journal.sqlite_plan import cut
from promomsg.journal.sqlite_recover import nothing_out
from promomsg.journal.sqlite_send import close_rows
from promomsg.journal.writer import Tx
from promomsg.model import Code, State
from promomsg.states import GroupEvent

__all__ = ["keep_values", "select_kept", "suppress_kept", "suppress_pending"]

_encode = msgspec.json.Encoder().encode

_LISTED: Final = ("key", "id", "openid", "unionid")
"""Columns that a suppression list may name somebody by."""
_LINKS: Final = {**{name: name for name in _LISTED}, "access_token": "fingerprint"}
"""What two rows of one person may have in common, and its column."""

_ON_IT: Final = "on the suppression list"
_LINKED: Final = "the same person as a row that is on the suppression list"


def keep_values(tx: Tx, values: Sequence[str], first: bool) -> None:
    """Collects the values of `suppress` and `select`, batch by batch."""
    if first:
        tx.db.execute("CREATE TEMP TABLE IF NOT EXISTS kept (value TEXT PRIMARY KEY) WITHOUT ROWID")
        tx.db.execute("DELETE FROM temp.kept")
    tx.db.execute(
        "INSERT OR IGNORE INTO temp.kept SELECT value FROM json_each(?)",
        (_encode(values).decode(),),
    )


def select_kept(tx: Tx) -> int:
    """Skips pending rows whose key was not kept; returns how many stay pending."""
    changed = tx.db.execute(
        "UPDATE recipient SET state = 5, code = ?, detail = 'not selected'"
        " WHERE state = 0 AND key NOT IN (SELECT value FROM temp.kept)",
        (Code.NOT_SELECTED.value,),
    ).rowcount
    tx.counts.move(State.PENDING, "", State.SKIPPED, Code.NOT_SELECTED.value, changed)
    (left,) = tx.db.execute("SELECT count(*) FROM recipient WHERE state = 0").fetchone()
    return int(left)


def _find(db: sqlite3.Connection, columns: Collection[str]) -> bool:
    """Fills temp.blocked with every row of everybody whose key or address was kept.

    Rows of any state count: a duplicate that is skipped already says whose address it is.
    """
    db.execute(
        "CREATE TEMP TABLE IF NOT EXISTS blocked (seq INTEGER PRIMARY KEY, detail TEXT NOT NULL)"
    )
    db.execute("DELETE FROM temp.blocked")
    if db.execute("SELECT 1 FROM temp.kept LIMIT 1").fetchone() is None:
        return False
    listed = " OR ".join(f"{column} IN (SELECT value FROM temp.kept)" for column in _LISTED)
    found = db.execute(
        f"INSERT INTO temp.blocked SELECT seq, ? FROM recipient WHERE {listed}", (_ON_IT,)
    ).rowcount
    if not found:
        return False
    asked = [column for name, column in _LINKS.items() if name in ("key", *columns)]
    for column in asked:
        db.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS of_{column} (value TEXT PRIMARY KEY) WITHOUT ROWID"
        )
        db.execute(f"DELETE FROM temp.of_{column}")
    while found:
        links = []
        for column in asked:
            db.execute(
                f"INSERT OR IGNORE INTO temp.of_{column} SELECT {column} FROM recipient"
                f" WHERE seq IN (SELECT seq FROM temp.blocked) AND {column} IS NOT NULL"
            )
            if db.execute(f"SELECT 1 FROM temp.of_{column} LIMIT 1").fetchone() is not None:
                links.append(f"{column} IN (SELECT value FROM temp.of_{column})")
        found = db.execute(
            "INSERT OR IGNORE INTO temp.blocked SELECT seq, ? FROM recipient"
            f" WHERE {' OR '.join(links)}",
            (_LINKED,),
        ).rowcount
    return True


def suppress_kept(tx: Tx, columns: Collection[str]) -> int:
    """Skips pending rows of everybody whose key or address was kept."""
    if not _find(tx.db, columns):
        return 0
    code = Code.SUPPRESSED.value
    changed = tx.db.execute(
        "UPDATE recipient SET state = 5, code = ?, detail = b.detail FROM temp.blocked AS b"
        " WHERE b.seq = recipient.seq AND state = 0",
        (code,),
    ).rowcount
    tx.counts.move(State.PENDING, "", State.SKIPPED, code, changed)
    return changed


def suppress_pending(tx: Tx, columns: Collection[str], at: float, smallest_group: int) -> int:
    """The same for a plan that is complete: who is in a group that is not out leaves it."""
    db = tx.db
    nothing_out(db)
    if not _find(db, columns):
        return 0
    blocked = "seq IN (SELECT seq FROM temp.blocked)"
    code, dissolved = Code.SUPPRESSED.value, False
    for no, leave in db.execute(
        f"SELECT grp, count(*) FROM recipient WHERE state = 0 AND {blocked}"
        " AND grp IN (SELECT no FROM grp WHERE state = 'planned') GROUP BY grp ORDER BY grp"
    ).fetchall():
        group = group_sql.get(db, no)
        left = group.planned - leave
        if left >= smallest_group:
            db.execute(f"UPDATE recipient SET grp = NULL WHERE grp = ? AND {blocked}", (no,))
            db.execute("UPDATE grp SET planned = ? WHERE no = ?", (left, no))
        else:
            db.execute("UPDATE recipient SET grp = NULL WHERE grp = ?", (no,))
            group_sql.move(tx, group, GroupEvent.CANCEL, planned=0, code=code, detail=_ON_IT)
            dissolved = True
    changed = close_rows(
        tx, f"grp IS NULL AND {blocked}", {}, State.SKIPPED, code, _ON_IT, None, at
    )
    if dissolved:
        (chunk_size,) = db.execute("SELECT chunk_size FROM campaign").fetchone()
        cut(db, chunk_size)
    return changed
