"""Group calls in SQL: one row says where a group stands, one statement moves its members."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.records import Control, GroupRow, Lease
from promomsg.journal.sqlite.statements.reading import GROUP_COLUMNS, group_row
from promomsg.journal.sqlite.statements.singles import (
    LOST_DETAIL,
    close_rows,
    holds,
    requested_control,
)
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.model import State
from promomsg.states import GroupEvent, GroupState, move_group

__all__ = [
    "accept",
    "close",
    "get",
    "intend",
    "lose",
    "lose_intended",
    "members",
    "move",
    "refuse",
    "refuse_message",
    "return_",
    "shift",
]

_texts = msgspec.json.Decoder(list[str]).decode


def get(db: sqlite3.Connection, group_no: int | None) -> GroupRow:
    """The group of that number; JournalError when there is none."""
    row = db.execute(
        f"SELECT {GROUP_COLUMNS} FROM group_send WHERE group_no = ?", (group_no,)
    ).fetchone()
    if row is None:
        raise JournalError(f"there is no group {group_no} in this journal")
    return group_row(row)


def move(tx: Transaction, group: GroupRow, event: GroupEvent, **columns: Any) -> None:
    """Moves a group along the state table and sets columns."""
    columns["state"] = move_group(group.state, event).value
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    tx.db.execute(
        f"UPDATE group_send SET {sets} WHERE group_no = :group_no",
        {**columns, "group_no": group.group_no},
    )


def shift(
    tx: Transaction, group: GroupRow, old: State, new: State, old_code: str, new_code: str
) -> int:
    """Moves the people of an audience that are not rows from one state to another."""
    if group.audience is None:
        return 0
    (count,) = tx.db.execute(
        f"SELECT audience_{old} FROM group_send WHERE group_no = ?", (group.group_no,)
    ).fetchone()
    tx.db.execute(
        f"UPDATE group_send SET audience_{new} = audience_{new} + ?, audience_{old} = 0 WHERE group_no = ?",
        (count, group.group_no),
    )
    tx.counts.move(old, old_code, new, new_code, count)
    return int(count)


def close(
    tx: Transaction,
    group: GroupRow,
    state: State,
    code: str,
    detail: str,
    rid: str | None,
    at: float,
) -> int:
    """All members that are pending, rows or counted."""
    rows = 0
    if group.audience is None:
        rows = close_rows(
            tx,
            "group_no = :group_no",
            {"group_no": group.group_no},
            state,
            code,
            detail,
            rid,
            at,
            group.attempts,
        )
    return rows + shift(tx, group, State.PENDING, state, "", code)


def members(db: sqlite3.Connection, group_no: int) -> list[str]:
    """Promoter ids, in order of seq."""
    (text,) = db.execute(
        "SELECT json_group_array(id) FROM (SELECT id FROM recipient WHERE group_no = ? ORDER BY seq)",
        (group_no,),
    ).fetchone()
    return _texts(text)


def intend(tx: Transaction, lease: Lease, at: float) -> bool:
    """planned → intended."""
    if not holds(tx, lease) or requested_control(tx.db) is not Control.RUN:
        return False
    group = get(tx.db, lease.group_no)
    if group.state in (GroupState.REFUSED, GroupState.CANCELLED):
        return False  # its message was refused for everybody, or it was cancelled, since `take`
    move(tx, group, GroupEvent.INTEND, attempts=group.attempts + 1, sent_at=at)
    return True


def accept(
    tx: Transaction, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
) -> bool:
    """intended → accepted."""
    if not holds(tx, lease):
        return False
    move(
        tx,
        get(tx.db, lease.group_no),
        GroupEvent.ACCEPTED,
        msg_id=msg_id,
        rid=rid,
        sent_at=at,
        next_poll_at=next_poll_at,
        code="",
        detail="",
    )
    return True


def return_(tx: Transaction, lease: Lease, code: str, detail: str, called: bool) -> bool:
    """intended → planned."""
    if not holds(tx, lease):
        return False
    group = get(tx.db, lease.group_no)
    attempts = group.attempts if called else group.attempts - 1
    move(tx, group, GroupEvent.NOT_SENT, code=code, detail=detail, attempts=attempts)
    return True


def _refuse(
    tx: Transaction, group: GroupRow, code: str, detail: str, rid: str | None, at: float
) -> int:
    move(tx, group, GroupEvent.REFUSED, code=code, detail=detail, rid=rid)
    return close(tx, group, State.FAILED, code, detail, rid, at)


def _refuse_same(
    tx: Transaction,
    message_digest: bytes | None,
    code: str,
    detail: str,
    rid: str | None,
    at: float,
) -> int:
    """Pending singles and planned groups with the same rendered message."""
    same = (
        "message_digest IS NULL" if message_digest is None else "message_digest = :message_digest"
    )
    args = {} if message_digest is None else {"message_digest": message_digest}
    count = close_rows(
        tx, f"group_no IS NULL AND {same}", args, State.FAILED, code, detail, rid, at
    )
    for row in tx.db.execute(
        f"SELECT {GROUP_COLUMNS} FROM group_send WHERE state = 'planned' AND {same} ORDER BY group_no",
        args,
    ).fetchall():
        count += _refuse(tx, group_row(row), code, detail, rid, at)
    return count


def refuse_message(
    tx: Transaction, seq: int, code: str, detail: str, rid: str | None, at: float
) -> int:
    """Everybody else who would get the message of row `seq`."""
    row = tx.db.execute("SELECT message_digest FROM recipient WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise JournalError(f"there is no row {seq} in this journal")
    return _refuse_same(tx, row[0], code, detail, rid, at)


def refuse(
    tx: Transaction,
    lease: Lease,
    code: str,
    detail: str,
    rid: str | None,
    at: float,
    everybody: bool,
) -> bool:
    """intended → refused; `everybody` with the same message too."""
    if not holds(tx, lease):
        return False
    group = get(tx.db, lease.group_no)
    _refuse(tx, group, code, detail, rid, at)
    if everybody:
        (message_digest,) = tx.db.execute(
            "SELECT message_digest FROM group_send WHERE group_no = ?", (group.group_no,)
        ).fetchone()
        _refuse_same(tx, message_digest, code, detail, rid, at)
    return True


def _lose(tx: Transaction, group: GroupRow, code: str, detail: str, at: float) -> None:
    move(tx, group, GroupEvent.LOST, code=code, detail=detail)
    close(tx, group, State.UNKNOWN, code, detail, None, at)


def lose(tx: Transaction, lease: Lease, code: str, detail: str, at: float) -> bool:
    """intended → unknown, with all members."""
    if not holds(tx, lease):
        return False
    _lose(tx, get(tx.db, lease.group_no), code, detail, at)
    return True


def lose_intended(tx: Transaction, code: str, detail: str, at: float) -> int:
    """Groups that an earlier process left intended."""
    rows = tx.db.execute(
        f"SELECT {GROUP_COLUMNS} FROM group_send WHERE state = 'intended' ORDER BY group_no"
    ).fetchall()
    for row in rows:
        group = group_row(row)
        _lose(tx, group, code, LOST_DETAIL if group.detail == LOST_DETAIL else detail, at)
    return len(rows)
