"""Group calls in SQL: one row says where a group stands, one statement moves its members."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.reasons import COMMITS_LOST
from promomsg.journal.records import Control, GroupRow, Lease, Reason
from promomsg.journal.sqlite.planning.planned_groups import index_digests
from promomsg.journal.sqlite.statements.campaign_row import requested_control
from promomsg.journal.sqlite.statements.closing import close_rows
from promomsg.journal.sqlite.statements.reading import GROUP_COLUMNS, group_row
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import Move, group_move
from promomsg.model import State
from promomsg.states import Event, GroupEvent, GroupState, IllegalMove, transition

__all__ = [
    "accept",
    "close_members",
    "get",
    "intend",
    "intended",
    "lose",
    "lose_intended",
    "lose_one",
    "members",
    "move",
    "move_audience",
    "put_back_uncalled",
    "refuse",
    "refuse_message",
    "return_",
    "select",
]

_texts = msgspec.json.Decoder(list[str]).decode

_INTEND: Final = group_move(GroupEvent.INTEND)
_ACCEPT: Final = group_move(GroupEvent.ACCEPTED)
_RETURN: Final = group_move(GroupEvent.NOT_SENT)
_REFUSE: Final = group_move(GroupEvent.REFUSED, GroupState.PLANNED, GroupState.INTENDED)
_REFUSE_PLANNED: Final = group_move(GroupEvent.REFUSED, GroupState.PLANNED)
_LOSE: Final = group_move(GroupEvent.LOST)
_GONE: Final = (_REFUSE_PLANNED.end, group_move(GroupEvent.CANCEL).end)
"""What a planned group can have become since it was taken, without being sent."""


def get(db: sqlite3.Connection, group_no: int | None) -> GroupRow:
    """The group of that number; JournalError when there is none."""
    for group in select(db, "group_no = ?", (group_no,)):
        return group
    raise JournalError(f"there is no group {group_no} in this journal")


def select(
    db: sqlite3.Connection, where: str, args: Sequence[Any] | dict[str, Any] = ()
) -> Iterator[GroupRow]:
    """The groups that a condition finds, by number; those of this moment, whatever is done to them."""
    rows = db.execute(
        f"SELECT {GROUP_COLUMNS} FROM group_send WHERE {where} ORDER BY group_no", args
    ).fetchall()
    return map(group_row, rows)


def move(tx: Transaction, group: GroupRow, step: Move[GroupState], **columns: Any) -> None:
    """Moves a group along the state table and sets columns.

    Raises:
        IllegalMove: it is in no state from which that can happen.
    """
    if group.state not in step.starts:
        raise IllegalMove(f"a group that is {group.state} cannot take {step.event}")
    sets = ", ".join((step.sets, *(f"{name} = :{name}" for name in columns)))
    tx.db.execute(
        f"UPDATE group_send SET {sets} WHERE group_no = :group_no AND {step.where}",
        {**columns, "group_no": group.group_no},
    )


def move_audience(
    tx: Transaction, group: GroupRow, event: Event, start: State, old_code: str, new_code: str
) -> int:
    """Moves the people of an audience who are counted as `start` by that event; returns how many."""
    if group.audience is None:
        return 0
    end = transition(event, start).end
    (count,) = tx.db.execute(
        f"SELECT audience_{start} FROM group_send WHERE group_no = ?", (group.group_no,)
    ).fetchone()
    tx.db.execute(
        f"UPDATE group_send SET audience_{end} = audience_{end} + ?, audience_{start} = 0"
        " WHERE group_no = ?",
        (count, group.group_no),
    )
    tx.counts.move(start, old_code, end, new_code, count)
    return int(count)


def close_members(tx: Transaction, group: GroupRow, event: Event, reason: Reason, at: float) -> int:
    """Moves all members that are pending, whether they are rows or counted; returns how many."""
    rows = 0
    if group.audience is None:
        args = {"group_no": group.group_no}
        rows = close_rows(tx, event, "group_no = :group_no", args, reason, at, group.attempts)
    return rows + move_audience(tx, group, event, State.PENDING, "", reason.code)


def members(db: sqlite3.Connection, group_no: int) -> list[str]:
    """Promoter ids, in order of seq."""
    (text,) = db.execute(
        "SELECT json_group_array(id)"
        " FROM (SELECT id FROM recipient WHERE group_no = ? ORDER BY seq)",
        (group_no,),
    ).fetchone()
    return _texts(text)


def intend(tx: Transaction, lease: Lease, at: float, now: float) -> bool:
    """planned → intended."""
    if not tx.holds(lease):
        return False
    group = get(tx.db, lease.group_no)
    if group.state is GroupState.INTENDED and group.sent_at == at:
        return True  # by this very call, whose answer was lost
    if not tx.holds(lease, now) or requested_control(tx.db) is not Control.RUN:
        return False
    if group.state in _GONE:
        return False  # its message was refused for everybody, or it was cancelled, since `take`
    move(tx, group, _INTEND, attempts=group.attempts + 1, sent_at=at)
    return True


def accept(
    tx: Transaction, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
) -> bool:
    """intended → accepted."""
    if not tx.holds(lease):
        return False
    group = get(tx.db, lease.group_no)
    if group.state is _ACCEPT.end and group.msg_id == msg_id:
        return True
    move(
        tx,
        group,
        _ACCEPT,
        msg_id=msg_id,
        rid=rid,
        sent_at=at,
        next_poll_at=next_poll_at,
        followed_since=at,
        code="",
        detail="",
    )
    return True


def return_(tx: Transaction, lease: Lease, reason: Reason, called: bool) -> bool:
    """intended → planned."""
    if not tx.holds(lease):
        return False
    group = get(tx.db, lease.group_no)
    if group.state is _RETURN.end:
        return True
    attempts = group.attempts if called else group.attempts - 1
    move(tx, group, _RETURN, code=reason.code, detail=reason.detail, attempts=attempts)
    return True


def _refuse(tx: Transaction, group: GroupRow, reason: Reason, at: float) -> int:
    move(tx, group, _REFUSE, **reason._asdict())
    return close_members(tx, group, Event.MESSAGE_REFUSED, reason, at)


def _refuse_same(tx: Transaction, digest: bytes | None, reason: Reason, at: float) -> int:
    """Pending singles and planned groups with the same rendered message."""
    same, args = "message_digest IS NULL", dict[str, Any]()
    if digest is not None:
        same, args = "message_digest = :digest", {"digest": digest}
        index_digests(tx.db)
    count = close_rows(tx, Event.MESSAGE_REFUSED, f"group_no IS NULL AND {same}", args, reason, at)
    for group in select(tx.db, f"{_REFUSE_PLANNED.where} AND {same}", args):
        count += _refuse(tx, group, reason, at)
    return count


def refuse_message(tx: Transaction, seq: int, reason: Reason, at: float) -> int:
    """Everybody else who would get the message of row `seq`."""
    row = tx.db.execute("SELECT message_digest FROM recipient WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise JournalError(f"there is no row {seq} in this journal")
    return _refuse_same(tx, row[0], reason, at)


def refuse(tx: Transaction, lease: Lease, reason: Reason, at: float, everybody: bool) -> bool:
    """intended → refused; `everybody` with the same message too."""
    if not tx.holds(lease):
        return False
    group = get(tx.db, lease.group_no)
    if group.state is _REFUSE.end and group.code == reason.code:
        return True
    _refuse(tx, group, reason, at)
    if everybody:
        (digest,) = tx.db.execute(
            "SELECT message_digest FROM group_send WHERE group_no = ?", (group.group_no,)
        ).fetchone()
        _refuse_same(tx, digest, reason, at)
    return True


def lose_one(tx: Transaction, group: GroupRow, reason: Reason, at: float) -> None:
    """intended → unknown, with all members."""
    move(tx, group, _LOSE, code=reason.code, detail=reason.detail)
    close_members(tx, group, Event.GROUP_LOST, reason, at)


def lose(tx: Transaction, lease: Lease, reason: Reason, at: float) -> bool:
    """intended → unknown, with all members."""
    if not tx.holds(lease):
        return False
    group = get(tx.db, lease.group_no)
    if group.state is not _LOSE.end:
        lose_one(tx, group, reason, at)
    return True


def intended(db: sqlite3.Connection) -> Iterator[GroupRow]:
    """Groups whose call is out, or was when their sender ended."""
    return select(db, _LOSE.where)


def put_back_uncalled(tx: Transaction, called: Collection[int]) -> int:
    """Groups that an earlier process left intended and did not call are planned again."""
    back = [group for group in intended(tx.db) if group.group_no not in called]
    for group in back:
        move(tx, group, _RETURN, code="", detail="", attempts=group.attempts - 1)
    return len(back)


def lose_intended(tx: Transaction, reason: Reason, at: float) -> int:
    """Groups that an earlier process left intended; those that a loss of commits left so keep that
    reason."""
    lost = 0
    for group in intended(tx.db):
        lose_one(tx, group, COMMITS_LOST if group.detail == COMMITS_LOST.detail else reason, at)
        lost += 1
    return lost
