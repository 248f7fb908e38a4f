"""Recovery after a process has ended, and what the user asks for, in SQL: cancel, retry, adopt."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any, Final

import msgspec

from promomsg.clock import china_day
from promomsg.errors import JournalError
from promomsg.journal.reasons import COMMITS_LOST, INTERRUPTED, UNNAMED
from promomsg.journal.records import Reason, Recovered
from promomsg.journal.sqlite.crash_safety.wire_slots import Marked
from promomsg.journal.sqlite.planning.sealing import cut_chunks
from promomsg.journal.sqlite.statements import groups
from promomsg.journal.sqlite.statements.closing import close_rows
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import group_move, in_group_state, recipient_move
from promomsg.model import State
from promomsg.states import Event, GroupEvent, GroupState

__all__ = [
    "adopt",
    "cancel_pending",
    "end_leftovers",
    "intended",
    "name_opening",
    "recover",
    "refuse_intended",
    "reopen",
    "seal_retry",
]

_STARTED_SINGLES: Final = "done = 0 AND epoch > 0 AND group_no IS NULL"
_ASK_AGAIN: Final = recipient_move(Event.NOT_SENT)
_LOSE: Final = recipient_move(Event.UNKNOWN, State.INTENDED)
_OUT: Final = recipient_move(Event.UNKNOWN, State.INTENDED, row="r")
_ADOPT: Final = group_move(GroupEvent.ADOPT)
_CANCEL: Final = group_move(GroupEvent.CANCEL)
_COMMITS_LOST: Final = f"detail = '{COMMITS_LOST.detail}'"
# Whoever may have been sent to before keeps the reason of that.
_HAS_REASON: Final = "maybe_sent = 1 AND code <> ''"
_IN_CHUNK: Final = "seq BETWEEN :first AND :last AND cohort = :cohort"
_ASK_AGAIN_IN_CHUNK: Final = f"""
UPDATE recipient
SET {_ASK_AGAIN.sets}, maybe_sent = 1, code = iif({_HAS_REASON}, code, :code),
    detail = iif({_HAS_REASON} OR {_COMMITS_LOST}, detail, :detail),
    rid = iif({_HAS_REASON}, rid, NULL)
WHERE {_IN_CHUNK} AND {_ASK_AGAIN.where}
"""
_LOSE_IN_CHUNK: Final = f"""
UPDATE recipient
SET {_LOSE.sets}, code = :code, detail = iif({_COMMITS_LOST}, detail, :detail),
    at = coalesce(:at, at)
WHERE {_IN_CHUNK} AND {_LOSE.where}
"""


_PUT_BACK: Final = f"""
UPDATE recipient
SET {_ASK_AGAIN.sets}, attempts = attempts - 1, at = :at, code = iif({_HAS_REASON}, code, ''),
    detail = iif({_HAS_REASON}, detail, ''), rid = iif({_HAS_REASON}, rid, NULL), extra = NULL
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND {_ASK_AGAIN.where}
"""

_encode = msgspec.json.Encoder().encode


def recover(
    tx: Transaction,
    idempotent: bool,
    at: float,
    day: str,
    recent: int,
    left: Marked | None = None,
) -> Recovered:
    """Looks only into chunks that were taken and are not done, however long the campaign is.

    `left`: who of those intended may have been called; None: all of them.
    """
    db = tx.db
    found = Recovered()
    if left is not None:
        found.uncalled = _put_back(tx, left.singles, at)
        found.uncalled_groups = groups.put_back_uncalled(tx, left.groups)
    chunks = db.execute(
        f"SELECT first_seq, last_seq, cohort FROM chunk WHERE {_STARTED_SINGLES} ORDER BY chunk_no"
    ).fetchall()
    for span in chunks:
        ended = end_leftovers(tx, *span, idempotent=idempotent, now=at, at=at)
        if idempotent:
            found.again += ended
        else:
            found.unknown += ended
    found.lost_groups = groups.lose_intended(tx, INTERRUPTED, at)
    db.execute("UPDATE chunk SET epoch = epoch + 1, deadline = NULL WHERE deadline IS NOT NULL")
    needs_chunks, chunk_size = db.execute(
        "SELECT needs_chunks, chunk_size FROM campaign"
    ).fetchone()
    if needs_chunks:
        # A retry that did not get as far as `seal_retry`: its rows are pending in no chunk.
        cut_chunks(db, chunk_size)
    tx.flush()
    found.recent = _recent(db, recent)
    row = db.execute(
        "SELECT intended_day_total FROM commit_log WHERE intended_day = ?"
        " ORDER BY log_no DESC LIMIT 1",
        (day,),
    )
    found.singles_today = next(row, (0,))[0]
    return found


def end_leftovers(
    tx: Transaction,
    first: int | None,
    last: int | None,
    cohort: int,
    *,
    idempotent: bool,
    now: float,
    at: float | None = None,
) -> int:
    """Intended singles of a chunk, whose sender has no say in them any more: unknown, or with
    an idempotent channel pending and maybe sent. Returns how many.

    Args:
        at: what those who are unknown have as their moment; None: it stays that of their intent.
    """
    db = tx.db
    args = {"first": first, "last": last, "cohort": cohort}
    reason = {"code": INTERRUPTED.code, "detail": INTERRUPTED.detail}
    if idempotent:
        return db.execute(_ASK_AGAIN_IN_CHUNK, {**args, **reason}).rowcount
    rows = db.execute(
        f"SELECT seq FROM recipient WHERE {_IN_CHUNK} AND {_LOSE.where}", args
    ).fetchall()
    if rows:
        db.execute(_LOSE_IN_CHUNK, {**args, **reason, "at": at})
        tx.counts.move(State.PENDING, "", _LOSE.end, INTERRUPTED.code, len(rows))
        tx.final([seq for (seq,) in rows])
        tx.happened(now)
    return len(rows)


def _put_back(tx: Transaction, called: Collection[int], at: float) -> int:
    """Singles that are intended and were not called are pending again, as if never intended."""
    rows = [row for row in intended(tx.db) if row[0] not in called]
    tx.db.execute(_PUT_BACK, {"at": at, "seqs": _encode([seq for seq, _ in rows]).decode()})
    tx.returned(sum(china_day(intended_at) == tx.today[0] for _, intended_at in rows))
    if rows:
        tx.happened(at)
    return len(rows)


def intended(db: sqlite3.Connection) -> list[tuple[int, float]]:
    """(seq, when) of all singles that are intended."""
    # CROSS JOIN keeps this order, and NOT INDEXED keeps SQLite from an index of its own: each would
    # read every recipient.
    return db.execute(
        "SELECT r.seq, r.at FROM (SELECT first_seq, last_seq, cohort FROM chunk"
        f" WHERE {_STARTED_SINGLES}) AS c CROSS JOIN recipient AS r NOT INDEXED"
        " WHERE r.seq BETWEEN c.first_seq AND c.last_seq AND r.cohort = c.cohort"
        f" AND {_OUT.where} AND r.group_no IS NULL"
    ).fetchall()


def name_opening(db: sqlite3.Connection, opening: str) -> None:
    """Says which sender intends from now on; that none is to be believed when somebody is intended
    still whom another one left so."""
    if db.execute("SELECT opening FROM campaign").fetchone() == (opening,):
        return
    alone = not intended(db) and not any(groups.intended(db))
    db.execute("UPDATE campaign SET opening = ?", (opening if alone else None,))


def _recent(db: sqlite3.Connection, most: int) -> tuple[float, ...]:
    times: list[float] = []
    for at, singles in db.execute(
        "SELECT intended_at, intended_singles FROM commit_log WHERE intended_singles > 0"
        " ORDER BY log_no DESC"
    ):
        times += [at] * min(singles, most - len(times))
        if len(times) >= most:
            break
    return tuple(reversed(times))


_REMEMBER = """
INSERT INTO attempt_history (seq, history_no, up_to_log_no, state, attempts, code, detail, rid, at, msg_id)
SELECT r.seq, (SELECT count(*) + 1 FROM attempt_history h WHERE h.seq = r.seq),
       (SELECT coalesce(max(log_no), 0) FROM commit_log), r.state, r.attempts, r.code, r.detail, r.rid, r.at,
       (SELECT msg_id FROM group_send WHERE group_no = r.group_no)
FROM recipient r WHERE """


_NO_REASON: Final = "code = '', detail = '', rid = NULL"


_TAKES_BACK: Final = {
    event: recipient_move(event, row="r")
    for event in (Event.RETRY_FAILED, Event.RETRY_UNKNOWN, Event.ADOPT)
}


def _take_back(
    tx: Transaction, event: Event, sets: str, where: str, args: dict[str, Any] | None = None
) -> int:
    """Final → pending at the user's request; the attempt until then is kept in the history.

    `sets` says what becomes of its code, detail and rid, and what else changes.
    """
    db, args = tx.db, args or {}
    move = _TAKES_BACK[event]
    (start,) = move.starts
    where = f"{move.where} AND {where}"
    tx.flush()
    by_code = db.execute(
        f"SELECT code, count(*) FROM recipient r WHERE {where} GROUP BY code", args
    ).fetchall()
    db.execute(_REMEMBER + where, args)
    db.execute(f"UPDATE recipient AS r SET {move.sets}, at = NULL, {sets} WHERE {where}", args)
    for code, count in by_code:
        tx.counts.move(start, code, move.end, "", count)
    return sum(count for _, count in by_code)


def adopt(tx: Transaction, group_no: int, msg_id: str, at: float, next_poll_at: float) -> None:
    """unknown → accepted: its unknown members are pending again."""
    group = groups.get(tx.db, group_no)
    _take_back(
        tx,
        Event.ADOPT,
        f"{_NO_REASON}, attempts = attempts - {group.attempts}",
        "r.group_no = :group_no",
        {"group_no": group_no},
    )
    groups.move_audience(tx, group, Event.ADOPT, State.UNKNOWN, group.code, "")
    groups.move(
        tx,
        group,
        _ADOPT,
        msg_id=msg_id,
        next_poll_at=next_poll_at,
        polls_at_100=0,
        given_up=0,
        warned_of_age=0,
        followed_since=at,
        code="",
        detail="",
    )


def cancel_pending(tx: Transaction, at: float, reason: Reason) -> int:
    """Pending singles and planned groups are cancelled; who may have been sent to is unknown."""
    count = close_rows(tx, Event.CANCEL, "group_no IS NULL", {}, reason, at)
    for group in groups.select(tx.db, _CANCEL.where):
        groups.move(tx, group, _CANCEL, code=reason.code, detail=reason.detail)
        count += groups.close_members(tx, group, Event.CANCEL, reason, at)
    return count


def refuse_intended(db: sqlite3.Connection) -> None:
    """Raises JournalError while singles are intended: new chunks would leave them, and their results,
    without a lease."""
    out = db.execute(
        f"SELECT 1 FROM chunk WHERE {_STARTED_SINGLES} AND EXISTS (SELECT 1 FROM recipient AS r"
        " WHERE r.seq BETWEEN first_seq AND last_seq AND r.cohort = chunk.cohort"
        f" AND {_OUT.where}) LIMIT 1"
    ).fetchone()
    if out is not None:
        raise JournalError("single sends are out: settle or recover them, then retry")


def seal_retry(tx: Transaction, chunk_size: int) -> None:
    """Cuts what was reopened into new chunks."""
    refuse_intended(tx.db)
    cut_chunks(tx.db, chunk_size)


def reopen(tx: Transaction, state: State, include_unnamed: bool) -> int:
    """`retry`: rows that were called for are pending again, outside of their groups; what planning
    refused stays."""
    if state not in (State.FAILED, State.UNKNOWN):
        raise JournalError(f"recipients that are {state} cannot be tried again")
    db = tx.db
    refuse_intended(db)
    db.execute("UPDATE campaign SET needs_chunks = 1")
    if state is State.FAILED:
        event, ended = Event.RETRY_FAILED, in_group_state(GroupState.REFUSED)
        sets = f"{_NO_REASON}, group_no = NULL, maybe_sent = 0, generation = generation + 1"
        where = "r.at IS NOT NULL"
    else:
        event, ended = Event.RETRY_UNKNOWN, in_group_state(GroupState.UNKNOWN, GroupState.EXPIRED)
        sets = "group_no = NULL, maybe_sent = 1"  # and the reason of that
        where = "true" if include_unnamed else f"r.code <> '{UNNAMED.code}'"
    count = _take_back(tx, event, sets, where)
    # An audience whose one call was refused or lost: called again as a new group.
    counted = f"audience_{state}"
    for group in groups.select(db, f"{ended} AND {counted} > 0"):
        (people,) = db.execute(
            f"SELECT {counted} FROM group_send WHERE group_no = ?", (group.group_no,)
        ).fetchone()
        db.execute(f"UPDATE group_send SET {counted} = 0 WHERE group_no = ?", (group.group_no,))
        db.execute(
            "INSERT INTO group_send"
            " (planned, audience_pending, audience, message_values, message_digest, cohort)"
            " SELECT ?, ?, audience, message_values, message_digest, cohort"
            " FROM group_send WHERE group_no = ?",
            (people, people, group.group_no),
        )
        tx.counts.move(state, group.code, _TAKES_BACK[event].end, "", people)
        count += people
    return count
