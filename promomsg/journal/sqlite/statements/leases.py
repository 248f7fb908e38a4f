"""Leases in SQL: which chunk a sender has, until when, and what was asked of it meanwhile."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Final

import msgspec

from promomsg.journal.records import Control, Lease
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import in_group_state, in_state, recipient_move
from promomsg.model import SingleSend, State
from promomsg.states import Event, GroupEvent, GroupState, group_transition

__all__ = [
    "IS_RUNNING",
    "holds",
    "release",
    "renew",
    "take",
]

_INTEND: Final = recipient_move(Event.INTEND)
_UNSETTLED: Final = in_state(State.PENDING, State.INTENDED)
_CALLABLE_GROUPS: Final = group_transition(GroupEvent.INTEND).starts

IS_RUNNING: Final = f"(SELECT requested FROM control WHERE only_row = 1) = '{Control.RUN.value}'"

_NEXT_CHUNK: Final = """
SELECT chunk_no, group_no, first_seq, last_seq, epoch, deadline FROM chunk
WHERE done = 0 AND chunk_no > ? AND group_no IS {kind} AND (deadline IS NULL OR deadline <= ?)
ORDER BY chunk_no LIMIT 1
"""
_NEXT_GROUP: Final = _NEXT_CHUNK.format(kind="NOT NULL")
_NEXT_SINGLES: Final = _NEXT_CHUNK.format(kind="NULL")
_TAKE: Final = "UPDATE chunk SET epoch = epoch + 1, deadline = ? WHERE chunk_no = ?"
_DONE: Final = "UPDATE chunk SET done = 1 WHERE chunk_no = ?"

# As one JSON text, so that the GIL changes hands once and not for every row.
_SINGLES: Final = f"""
SELECT json_group_array(json_array(seq, key, id, openid, unionid, message_values, request_id,
                                   attempts, maybe_sent, generation))
           FILTER (WHERE {_INTEND.where}),
       count(*) FILTER (WHERE {in_state(State.INTENDED)})
FROM (SELECT * FROM recipient
      WHERE seq BETWEEN ? AND ? AND {_UNSETTLED} AND group_no IS NULL ORDER BY seq)
"""

_LEFT_OF_SINGLES: Final = (
    "SELECT 1 FROM recipient WHERE seq BETWEEN chunk.first_seq AND chunk.last_seq"
    f" AND {_UNSETTLED} AND group_no IS NULL"
)
_LEFT_OF_GROUP: Final = (
    "SELECT 1 FROM group_send WHERE group_no = chunk.group_no"
    f" AND {in_group_state(*_CALLABLE_GROUPS, GroupState.INTENDED)}"
)
_RELEASE: Final = (
    "UPDATE chunk SET deadline = NULL, done = NOT EXISTS ({left}) WHERE chunk_no = ? AND epoch = ?"
)
_RELEASE_SINGLES: Final = _RELEASE.format(left=_LEFT_OF_SINGLES)
_RELEASE_GROUP: Final = _RELEASE.format(left=_LEFT_OF_GROUP)

_SingleRow = tuple[
    int, str, str | None, str | None, str | None, str | None, str | None, int, int, int
]
_single_rows = msgspec.json.Decoder(list[_SingleRow]).decode
_values = msgspec.json.Decoder(tuple[str, ...]).decode


class _Chunk(msgspec.Struct, frozen=True):
    chunk_no: int
    group_no: int | None
    first_seq: int | None
    last_seq: int | None
    epoch: int
    deadline: float | None


def holds(tx: Transaction, lease: Lease) -> bool:
    """Whether the lease is still the chunk's."""
    row = tx.db.execute("SELECT epoch FROM chunk WHERE chunk_no = ?", (lease.chunk_no,)).fetchone()
    return row is not None and row[0] == lease.epoch


def take(tx: Transaction, groups: bool, singles: bool, now: float, ttl: float) -> Lease | None:
    """The next chunk with work: groups first, then singles in order of seq."""
    for wanted, next_chunk in ((groups, _NEXT_GROUP), (singles, _NEXT_SINGLES)):
        after = 0
        while wanted:
            row = tx.db.execute(next_chunk, (after, now)).fetchone()
            if row is None:
                break
            chunk = _Chunk(*row)
            after = chunk.chunk_no
            lease = _try_chunk(tx, chunk, now + ttl)
            if lease is not None:
                return lease
    return None


def _try_chunk(tx: Transaction, chunk: _Chunk, deadline: float) -> Lease | None:
    single_sends: tuple[SingleSend, ...] = ()
    if chunk.group_no is None:
        text, out = tx.db.execute(_SINGLES, (chunk.first_seq, chunk.last_seq)).fetchone()
        if out and chunk.deadline is None:
            return None
        single_sends = _single_sends(text)
        if not single_sends:
            if not out:
                tx.db.execute(_DONE, (chunk.chunk_no,))
            return None
    else:
        (state,) = tx.db.execute(
            "SELECT state FROM group_send WHERE group_no = ?", (chunk.group_no,)
        ).fetchone()
        if state not in _CALLABLE_GROUPS:
            if state != GroupState.INTENDED:
                tx.db.execute(_DONE, (chunk.chunk_no,))
            return None
    tx.db.execute(_TAKE, (deadline, chunk.chunk_no))
    tx.leased(chunk.chunk_no, group=chunk.group_no is not None)
    return Lease(
        chunk_no=chunk.chunk_no,
        epoch=chunk.epoch + 1,
        deadline=deadline,
        group_no=chunk.group_no,
        single_sends=single_sends,
    )


def _single_sends(text: str) -> tuple[SingleSend, ...]:
    """The rows of `_SINGLES`."""
    return tuple(
        SingleSend(
            seq=seq,
            key=key,
            id=id,
            openid=openid,
            unionid=unionid,
            values=_values(values) if values is not None else (),
            request_id=request_id,
            attempts=attempts,
            maybe_sent=maybe_sent == 1,
            generation=generation,
        )
        for seq, key, id, openid, unionid, values, request_id, attempts, maybe_sent, generation in (
            _single_rows(text)
        )
    )


def renew(tx: Transaction, lease: Lease, deadline: float) -> Lease | None:
    """The same lease with a later deadline; None when it moved on."""
    changed = tx.db.execute(
        "UPDATE chunk SET deadline = ? WHERE chunk_no = ? AND epoch = ?",
        (deadline, lease.chunk_no, lease.epoch),
    ).rowcount
    return msgspec.structs.replace(lease, deadline=deadline) if changed else None


def release(tx: Transaction, lease: Lease) -> None:
    """Gives it back; `take` finds out whether anything is left."""
    statement = _RELEASE_SINGLES if lease.group_no is None else _RELEASE_GROUP
    tx.db.execute(statement, (lease.chunk_no, lease.epoch))
    tx.chunk_over = True
