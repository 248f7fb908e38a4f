"""Leases in SQL: which chunk a sender has, until when, and what was asked of it meanwhile."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from promomsg.journal.reasons import INTERRUPTED
from promomsg.journal.records import Control, Lease
from promomsg.journal.sqlite.statements import groups
from promomsg.journal.sqlite.statements.recovery import end_leftovers
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import in_group_state, in_state, recipient_move
from promomsg.model import SingleSend, State
from promomsg.states import Event, GroupEvent, GroupState, group_transition

__all__ = ["IS_RUNNING", "is_work_left", "release", "renew", "take"]

_INTEND: Final = recipient_move(Event.INTEND)
_UNSETTLED: Final = in_state(State.PENDING, State.INTENDED)
_CALLABLE_GROUPS: Final = group_transition(GroupEvent.INTEND).starts

IS_RUNNING: Final = f"(SELECT requested FROM control WHERE only_row = 1) = '{Control.RUN.value}'"

_NEXT_CHUNK: Final = """
SELECT chunk_no, group_no, first_seq, last_seq, epoch, deadline, cohort FROM chunk
WHERE done = 0 AND chunk_no > ? AND group_no IS {kind} AND (deadline IS NULL OR deadline <= ?) {open}
ORDER BY chunk_no LIMIT 1
"""
_KINDS: Final = ("NOT NULL", "NULL")
_NEXT_OF_ALL: Final = tuple(_NEXT_CHUNK.format(kind=kind, open="") for kind in _KINDS)
_NEXT_OF_SOME: Final = tuple(
    _NEXT_CHUNK.format(kind=kind, open="AND cohort IN (SELECT value FROM json_each(?))")
    for kind in _KINDS
)
"""The next group, and the next singles."""
_TAKE: Final = "UPDATE chunk SET epoch = epoch + 1, deadline = ? WHERE chunk_no = ?"
_DONE: Final = (
    "UPDATE chunk SET done = 1, epoch = epoch + (deadline IS NOT NULL), deadline = NULL"
    " WHERE chunk_no = ?"
)

# As one JSON text, so that the GIL changes hands once and not for every row.
_SINGLES: Final = f"""
SELECT json_group_array(json_array(seq, key, id, openid, unionid, message_values, request_id,
                                   attempts, maybe_sent, generation))
           FILTER (WHERE {_INTEND.where}),
       count(*) FILTER (WHERE {in_state(State.INTENDED)})
FROM (SELECT * FROM recipient
      WHERE seq BETWEEN ? AND ? AND cohort = ? AND {_UNSETTLED} AND group_no IS NULL ORDER BY seq)
"""

_OF_SINGLES: Final = (
    "SELECT 1 FROM recipient WHERE seq BETWEEN chunk.first_seq AND chunk.last_seq"
    " AND cohort = chunk.cohort AND {state} AND group_no IS NULL"
)
_OF_GROUP: Final = "SELECT 1 FROM group_send WHERE group_no = chunk.group_no AND {state}"
_RELEASE: Final = (
    "UPDATE chunk SET deadline = NULL, done = NOT EXISTS ({left})"
    " WHERE chunk_no = ? AND epoch = ? AND NOT EXISTS ({out})"
)
_RELEASE_SINGLES: Final = _RELEASE.format(
    left=_OF_SINGLES.format(state=_INTEND.where),
    out=_OF_SINGLES.format(state=in_state(State.INTENDED)),
)
_RELEASE_GROUP: Final = _RELEASE.format(
    left=_OF_GROUP.format(state=in_group_state(*_CALLABLE_GROUPS)),
    out=_OF_GROUP.format(state=in_group_state(GroupState.INTENDED)),
)
_OF_LEASES: Final = (
    "EXISTS (SELECT 1 FROM json_each(:leases) AS j WHERE json_extract(j.value, '$[0]') = chunk_no"
    " AND json_extract(j.value, '$[1]') = epoch) AND deadline IS NOT NULL"
)

_SingleRow = tuple[
    int, str, str | None, str | None, str | None, str | None, str | None, int, int, int
]
_encode = msgspec.json.Encoder().encode
_single_rows = msgspec.json.Decoder(list[_SingleRow]).decode
_values = msgspec.json.Decoder(tuple[str, ...]).decode


class _Chunk(msgspec.Struct, frozen=True):
    chunk_no: int
    group_no: int | None
    first_seq: int | None
    last_seq: int | None
    epoch: int
    deadline: float | None
    cohort: int


def take(
    tx: Transaction,
    groups: bool,
    singles: bool,
    idempotent: bool,
    now: float,
    life: float,
    cohorts: Sequence[int] | None = None,
) -> Lease | None:
    """The next chunk with work: groups first, then singles by cohort and in order of seq."""
    statements = _NEXT_OF_ALL if cohorts is None else _NEXT_OF_SOME
    some = () if cohorts is None else (_encode(cohorts).decode(),)
    for wanted, next_chunk in zip((groups, singles), statements, strict=True):
        after = 0
        while wanted:
            row = tx.db.execute(next_chunk, (after, now, *some)).fetchone()
            if row is None:
                break
            chunk = _Chunk(*row)
            after = chunk.chunk_no
            if chunk.group_no is None:
                single_sends = _pending_singles(tx, chunk, idempotent, now)
                has_work = bool(single_sends)
            else:
                single_sends = ()
                has_work = _is_callable(tx, chunk, now)
            if has_work:
                tx.db.execute(_TAKE, (now + life, chunk.chunk_no))
                tx.leased(chunk.chunk_no, group=chunk.group_no is not None)
                return Lease(
                    chunk.chunk_no, chunk.epoch + 1, chunk.group_no, single_sends, chunk.cohort
                )
    return None


def _pending_singles(
    tx: Transaction, chunk: _Chunk, idempotent: bool, now: float
) -> tuple[SingleSend, ...]:
    """Those of a chunk that nobody holds, once what its last holder left intended is ended."""
    span = (chunk.first_seq, chunk.last_seq, chunk.cohort)
    text, out = tx.db.execute(_SINGLES, span).fetchone()
    if out and chunk.deadline is None:
        return ()  # commits are lost: `recover` ends them
    if out:
        end_leftovers(tx, *span, idempotent=idempotent, now=now)
        text, _ = tx.db.execute(_SINGLES, span).fetchone()
    single_sends = _single_sends(text)
    if not single_sends:
        _finish(tx, chunk)
    return single_sends


def _is_callable(tx: Transaction, chunk: _Chunk, now: float) -> bool:
    """Whether a group that nobody holds can be called; one that its last holder left intended is
    lost."""
    group = groups.get(tx.db, chunk.group_no)
    if group.state is GroupState.INTENDED:
        if chunk.deadline is None:
            return False  # commits are lost
        groups.lose_one(tx, group, INTERRUPTED, now)
    elif group.state in _CALLABLE_GROUPS:
        return True
    _finish(tx, chunk)
    return False


def _finish(tx: Transaction, chunk: _Chunk) -> None:
    """Nothing of it is to be sent any more, and its last holder's results are late from here on."""
    tx.db.execute(_DONE, (chunk.chunk_no,))


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


def is_work_left(
    db: sqlite3.Connection, groups: bool, singles: bool, cohorts: Sequence[int]
) -> bool:
    """Whether chunks of these kinds, of these cohorts, are not done."""
    kinds = [kind for kind, wanted in ((0, groups), (1, singles)) if wanted]
    (found,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM chunk WHERE done = 0"
        " AND (group_no IS NULL) IN (SELECT value FROM json_each(?))"
        " AND cohort IN (SELECT value FROM json_each(?)))",
        (_encode(kinds).decode(), _encode(list(cohorts)).decode()),
    ).fetchone()
    return bool(found)


def renew(tx: Transaction, leases: Sequence[Lease], deadline: float) -> frozenset[int]:
    """Gives those a later deadline that are held still; the numbers of their chunks."""
    if not leases:
        return frozenset()
    args = {"leases": _encode([(lease.chunk_no, lease.epoch) for lease in leases]).decode()}
    tx.db.execute(
        f"UPDATE chunk SET deadline = :deadline WHERE {_OF_LEASES}", {**args, "deadline": deadline}
    )
    held = tx.db.execute(f"SELECT chunk_no FROM chunk WHERE {_OF_LEASES}", args)
    return frozenset(chunk_no for (chunk_no,) in held)


def release(tx: Transaction, lease: Lease) -> None:
    """Gives it back, unless something of it is out; `take` finds out whether anything is left."""
    statement = _RELEASE_SINGLES if lease.group_no is None else _RELEASE_GROUP
    tx.db.execute(statement, (lease.chunk_no, lease.epoch))
    tx.chunk_over = True
