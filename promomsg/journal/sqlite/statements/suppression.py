"""The suppression list in SQL: it holds for a person, however many rows they have."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.reasons import LINKED, LISTED, NOT_SELECTED
from promomsg.journal.records import NEVER, Reached, Reason, fingerprint
from promomsg.journal.sqlite.planning.sealing import cut_chunks
from promomsg.journal.sqlite.statements import groups
from promomsg.journal.sqlite.statements.closing import close_rows
from promomsg.journal.sqlite.statements.recovery import refuse_intended
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import (
    group_move,
    in_group_state,
    in_state,
    recipient_move,
)
from promomsg.model import State
from promomsg.states import GROUP_REACHED_NOBODY, MAYBE_REACHED, Event, GroupEvent

__all__ = [
    "absent_key",
    "choose_keys",
    "leave_groups",
    "left_out",
    "list_values",
    "make_blocked",
    "reached_page",
    "select_chosen",
    "skip_blocked",
    "suppress_listed",
    "suppress_pending",
]

_encode = msgspec.json.Encoder().encode

_LISTED: Final = ("key", "id", "openid", "unionid")
"""Columns that a suppression list may name somebody by."""
_LINKS: Final = {**{name: name for name in _LISTED}, "access_token": "fingerprint"}
"""What two rows of one person may have in common, and its column."""

_SKIP: Final = recipient_move(Event.SKIP)
_PENDING: Final = in_state(State.PENDING)
_CANCEL_GROUP: Final = group_move(GroupEvent.CANCEL)
_BLOCKED: Final = "seq IN (SELECT seq FROM temp.blocked)"
_BARE_KEY: Final = "NULLIF(trim(key), key)"
"""The key without the blanks around it, which a list need not have; NULL where it has none."""


def _as_json(values: Iterable[object]) -> str:
    return _encode(values).decode()


def list_values(
    tx: Transaction,
    values: Sequence[str],
    spellings: Sequence[str],
    doubtful: Sequence[tuple[str, str, str | None, bool]],
    first: bool,
    pepper: bytes | None,
) -> int:
    """Collects the suppression list batch by batch; returns how many values are new.

    With a `pepper` they may be user tokens: only fingerprints of them are written, also to
    a temporary table, which may be on disk.
    """
    db = tx.db
    if first:
        # is_spelling: 1 for another way of writing a value that counts itself
        db.execute(
            "CREATE TEMP TABLE IF NOT EXISTS listed"
            " (value TEXT PRIMARY KEY, is_spelling INTEGER NOT NULL) WITHOUT ROWID"
        )
        db.execute(
            "CREATE TEMP TABLE IF NOT EXISTS doubtful"
            " (position INTEGER PRIMARY KEY, value TEXT NOT NULL, refusal TEXT NOT NULL, inside TEXT,"
            " is_key INTEGER NOT NULL)"
        )
        make_blocked(db)
        db.execute("DELETE FROM temp.listed")
        db.execute("DELETE FROM temp.doubtful")
    if pepper is not None:
        values = [_marked(value, pepper) for value in values]
        spellings = [_marked(spelling, pepper) for spelling in spellings]
    new = db.execute(
        "INSERT INTO temp.listed SELECT value, 0 FROM json_each(?) WHERE true"
        " ON CONFLICT (value) DO UPDATE SET is_spelling = 0 WHERE is_spelling = 1",
        (_as_json(values),),
    ).rowcount
    if spellings:
        db.execute(
            "INSERT OR IGNORE INTO temp.listed SELECT value, 1 FROM json_each(?)",
            (_as_json(spellings),),
        )
    if doubtful:
        db.executemany(
            "INSERT INTO temp.doubtful (value, refusal, inside, is_key) VALUES (?, ?, ?, ?)",
            doubtful
            if pepper is None
            else [
                (
                    value if inside is None else _marked(value, pepper),
                    refusal,
                    None if inside is None else _marked(inside, pepper),
                    is_key,
                )
                for value, refusal, inside, is_key in doubtful
            ],
        )
    return new


def _marked(text: str, pepper: bytes) -> str:
    """A fingerprint as SQL's hex() writes one."""
    return fingerprint(text, pepper).hex().upper()


def absent_key(db: sqlite3.Connection, pepper: bytes | None = None) -> str | None:
    """What to say of the first doubtful value that is to be refused; see `Handle.absent_key`."""
    row = db.execute(
        "SELECT refusal FROM temp.doubtful WHERE inside IS NULL"
        " AND value NOT IN (SELECT key FROM recipient) ORDER BY position LIMIT 1"
    ).fetchone()
    if row is None and db.execute("SELECT 1 FROM temp.doubtful LIMIT 1").fetchone() is not None:
        shown = "{}"
        if pepper is not None:
            shown = "marked({})"
            db.create_function("marked", 1, lambda t: _marked(t, pepper), deterministic=True)
        among = {
            name: f"IN (SELECT {shown.format(name)} FROM recipient WHERE {name} IS NOT NULL)"
            for name in _LISTED
        }
        if pepper is not None:
            among["user"] = (
                "IN (SELECT hex(fingerprint) FROM recipient WHERE fingerprint IS NOT NULL)"
            )
        anybody = " OR ".join(f"inside {one}" for name, one in among.items() if name != "key")
        nobody = " AND ".join(f"value NOT {one}" for one in among.values())
        row = db.execute(
            f"SELECT refusal FROM temp.doubtful WHERE inside IS NOT NULL AND {nobody} AND"
            f" (inside {among['key']} OR is_key = 0 AND ({anybody})) ORDER BY position LIMIT 1"
        ).fetchone()
    return None if row is None else str(row[0])


def choose_keys(tx: Transaction, keys: Sequence[str], first: bool) -> None:
    """Collects the keys of `select`, batch by batch."""
    if first:
        tx.db.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (key TEXT PRIMARY KEY) WITHOUT ROWID")
        tx.db.execute("DELETE FROM temp.chosen")
    tx.db.execute(
        "INSERT OR IGNORE INTO temp.chosen SELECT value FROM json_each(?)", (_as_json(keys),)
    )


def select_chosen(tx: Transaction) -> int:
    """Skips pending rows whose key was not chosen; returns how many stay pending."""
    changed = tx.db.execute(
        f"UPDATE recipient SET {_SKIP.sets}, code = ?, detail = ?"
        f" WHERE {_SKIP.where} AND key NOT IN (SELECT key FROM temp.chosen)",
        NOT_SELECTED[:2],
    ).rowcount
    tx.counts.move(State.PENDING, "", _SKIP.end, NOT_SELECTED.code, changed)
    (left,) = tx.db.execute(f"SELECT count(*) FROM recipient WHERE {_PENDING}").fetchone()
    return int(left)


def make_blocked(db: sqlite3.Connection) -> None:
    """Has temp.blocked, who is to be skipped and why, with nobody in it."""
    db.execute(
        "CREATE TEMP TABLE IF NOT EXISTS blocked (seq INTEGER PRIMARY KEY, detail TEXT NOT NULL)"
    )
    db.execute("DELETE FROM temp.blocked")


def _find_blocked(db: sqlite3.Connection, columns: Collection[str], pepper: bytes | None) -> bool:
    """Fills temp.blocked with every row of everybody whose key or address is on the list.

    Rows of any state count: a duplicate that is skipped already says whose address it is.
    """
    make_blocked(db)
    if db.execute("SELECT 1 FROM temp.listed LIMIT 1").fetchone() is None:
        return False
    if pepper is None:
        asked_for = [
            f"{column} IN (SELECT value FROM temp.listed)" for column in (*_LISTED, _BARE_KEY)
        ]
    else:
        db.create_function("marked", 1, lambda t: _marked(t, pepper), deterministic=True)
        asked_for = [
            "hex(fingerprint) IN (SELECT value FROM temp.listed)",
            *(
                f"({column} IS NOT NULL AND marked({column}) IN (SELECT value FROM temp.listed))"
                for column in (*_LISTED, _BARE_KEY)
            ),
        ]
    listed = " OR ".join(asked_for)
    found = db.execute(
        f"INSERT INTO temp.blocked SELECT seq, ? FROM recipient WHERE {listed}",
        (LISTED.detail,),
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
            (LINKED.detail,),
        ).rowcount
    return True


def suppress_listed(tx: Transaction, columns: Collection[str], pepper: bytes | None) -> int:
    """Skips pending rows of everybody whose key or address is on the list."""
    if not _find_blocked(tx.db, columns, pepper):
        return 0
    code = LISTED.code
    changed = tx.db.execute(
        f"UPDATE recipient SET {_SKIP.sets}, code = ?, detail = b.detail FROM temp.blocked AS b"
        f" WHERE b.seq = recipient.seq AND {_SKIP.where}",
        (code,),
    ).rowcount
    tx.counts.move(State.PENDING, "", _SKIP.end, code, changed)
    return changed


def left_out(db: sqlite3.Connection) -> int:
    """Rows that are suppressed and on the list that was looked at last."""
    (found,) = db.execute(
        "SELECT count(*) FROM temp.blocked AS b JOIN recipient AS r ON r.seq = b.seq"
        " WHERE r.code = ?",
        (LISTED.code,),
    ).fetchone()
    return int(found)


def reached_page(
    db: sqlite3.Connection,
    after: int,
    since: float = NEVER,
    limit: int = 1_000,
    *,
    pending: bool = False,
) -> tuple[list[Reached], int]:
    """Everybody behind `after` who was sent to or may have been since then, and the last one's seq.

    Who is in doubt at an unknown time is one of them. A group's time is that of its call until its
    members have their own. `pending`: as `Journal.reached` has it.

    Raises:
        JournalError: an audience was sent to as one group: nobody names its members.
    """
    out = f"NOT {in_group_state(*GROUP_REACHED_NOBODY)} AND coalesce(sent_at, :since) >= :since"
    late = f"{in_state(*MAYBE_REACHED)} AND coalesce(at, :since) >= :since"
    if (
        not pending
        and db.execute(
            f"SELECT 1 FROM group_send WHERE audience IS NOT NULL AND {out} LIMIT 1",
            {"since": since},
        ).fetchone()
    ):
        raise JournalError(
            "it sent to an audience as one group, whose members it does not name: it cannot say "
            "whom it sent to"
        )
    rows = db.execute(
        f"""
        SELECT seq, key, id, openid, unionid FROM recipient
        WHERE seq > :after AND (
            {late}
            OR {_PENDING} AND (
                :pending OR maybe_sent = 1 OR group_no IN (SELECT group_no FROM group_send WHERE {out})
            )
            OR seq IN (SELECT seq FROM attempt_history WHERE {late})
        )
        ORDER BY seq LIMIT :limit
        """,
        {"after": after, "since": since, "limit": limit, "pending": pending},
    ).fetchall()
    return [Reached(*row[1:]) for row in rows], rows[-1][0] if rows else after


def suppress_pending(
    tx: Transaction, columns: Collection[str], at: float, smallest_group: int, pepper: bytes | None
) -> int:
    """The same for a plan that is complete: who is in a group that is not out leaves it."""
    refuse_intended(tx.db)
    if not _find_blocked(tx.db, columns, pepper):
        return 0
    return skip_blocked(tx, LISTED, at, smallest_group)


def skip_blocked(tx: Transaction, reason: Reason, at: float, smallest_group: int) -> int:
    """Skips who is in temp.blocked, of a plan that is complete, and pending; returns how many."""
    refuse_intended(tx.db)
    dissolved = leave_groups(tx, reason, smallest_group)
    blocked = f"group_no IS NULL AND {_BLOCKED}"
    changed = close_rows(tx, Event.SKIP, blocked, {}, reason, at)
    if dissolved:
        (chunk_size,) = tx.db.execute("SELECT chunk_size FROM campaign").fetchone()
        cut_chunks(tx.db, chunk_size)
    return changed


def leave_groups(
    tx: Transaction, reason: Reason, smallest_group: int, *, planning: bool = False
) -> bool:
    """Takes who is in temp.blocked out of the groups that are not out; whether one was dissolved, since it
    would have had fewer than `smallest_group` members.

    Args:
        planning: the plan is not complete: nobody knows of a group that is dissolved, and it goes.
    """
    db = tx.db
    dissolved = False
    for group_no, leave in db.execute(
        f"SELECT group_no, count(*) FROM recipient WHERE {_PENDING} AND {_BLOCKED}"
        f" AND group_no IN (SELECT group_no FROM group_send WHERE {_CANCEL_GROUP.where})"
        " GROUP BY group_no ORDER BY group_no"
    ).fetchall():
        group = groups.get(db, group_no)
        left = group.planned - leave
        out_of_it = "UPDATE recipient SET group_no = NULL WHERE group_no = ?"
        if left >= smallest_group:
            db.execute(f"{out_of_it} AND {_BLOCKED}", (group_no,))
            db.execute("UPDATE group_send SET planned = ? WHERE group_no = ?", (left, group_no))
            continue
        db.execute(out_of_it, (group_no,))
        if planning:
            db.execute("DELETE FROM group_send WHERE group_no = ?", (group_no,))
        else:
            code, detail, _ = reason
            groups.move(tx, group, _CANCEL_GROUP, planned=0, code=code, detail=detail)
        dissolved = True
    return dissolved
