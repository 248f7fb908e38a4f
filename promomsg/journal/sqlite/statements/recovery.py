"""A new process, and the user's words, in SQL: recover, cancel, retry, adopt."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from typing import Any, Final

from promomsg.errors import JournalError
from promomsg.journal.records import Recovered
from promomsg.journal.sqlite.statements import groups as group_sql
from promomsg.journal.sqlite.statements.planning import cut
from promomsg.journal.sqlite.statements.reading import GROUP_COLUMNS, group_row
from promomsg.journal.sqlite.statements.singles import CANCELLED_DETAIL, LOST_DETAIL, close_rows
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.model import Code, State
from promomsg.states import GroupEvent

__all__ = [
    "INTERRUPTED_DETAIL",
    "adopt",
    "cancel_pending",
    "nothing_out",
    "recover",
    "reopen",
    "seal_retry",
]

INTERRUPTED_DETAIL: Final = "the process ended between the intent and the result"
_LOST: Final = f"detail = '{LOST_DETAIL}'"


def recover(tx: Transaction, idempotent: bool, at: float, day: str, recent: int) -> Recovered:
    """Looks only into chunks that were taken and are not done, however long the campaign is."""
    db = tx.db
    found = Recovered()
    ranges = db.execute(
        "SELECT first_seq, last_seq FROM chunk WHERE done = 0 AND epoch > 0 AND group_no IS NULL ORDER BY chunk_no"
    ).fetchall()
    where = "seq BETWEEN :first AND :last AND state = 1"
    for first, last in ranges:
        args = {"first": first, "last": last}
        if idempotent:
            # The reason of an earlier doubt stays; with none, this is it.
            kept = "maybe_sent = 1 AND code <> ''"
            found.again += db.execute(
                f"UPDATE recipient SET state = 0, maybe_sent = 1, code = iif({kept}, code, :code),"
                f" detail = iif({kept} OR {_LOST}, detail, :detail), rid = iif({kept}, rid, NULL)"
                f" WHERE {where}",
                {**args, "code": Code.INTERRUPTED.value, "detail": INTERRUPTED_DETAIL},
            ).rowcount
            continue
        seqs = [seq for (seq,) in db.execute(f"SELECT seq FROM recipient WHERE {where}", args)]
        if seqs:
            db.execute(
                "UPDATE recipient SET state = 4, code = :code,"
                f" detail = iif({_LOST}, detail, :detail), at = :at WHERE {where}",
                {**args, "code": Code.INTERRUPTED.value, "detail": INTERRUPTED_DETAIL, "at": at},
            )
            tx.counts.move(State.PENDING, "", State.UNKNOWN, Code.INTERRUPTED.value, len(seqs))
            tx.final(seqs)
            found.unknown += len(seqs)
    found.lost_groups = group_sql.lose_intended(tx, Code.INTERRUPTED.value, INTERRUPTED_DETAIL, at)
    db.execute("UPDATE chunk SET epoch = epoch + 1, deadline = NULL WHERE deadline IS NOT NULL")
    needs_chunks, chunk_size = db.execute(
        "SELECT needs_chunks, chunk_size FROM campaign"
    ).fetchone()
    if needs_chunks:
        # A retry that did not get as far as `seal_retry`: its rows are pending in no chunk.
        cut(db, chunk_size)
    found.recent = _recent(db, recent)
    row = db.execute(
        "SELECT intended_day_total FROM commit_log WHERE intended_day = ?"
        " ORDER BY log_no DESC LIMIT 1",
        (day,),
    )
    found.singles_today = next(row, (0,))[0]
    return found


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


def _take_back(tx: Transaction, where: str, args: dict[str, Any], state: State, sets: str) -> int:
    """Final → pending by the user's word; what is left is kept in the history.

    `sets` says what becomes of its code, detail and rid, and what else changes.
    """
    db = tx.db
    tx.flush()
    by_code = db.execute(
        f"SELECT code, count(*) FROM recipient r WHERE {where} GROUP BY code", args
    ).fetchall()
    db.execute(_REMEMBER + where, args)
    db.execute(
        f"UPDATE recipient AS r SET state = 0, at = NULL, {sets} WHERE {where}",
        args,
    )
    for code, count in by_code:
        tx.counts.move(state, code, State.PENDING, "", count)
    return sum(count for _, count in by_code)


def adopt(tx: Transaction, group_no: int, msg_id: str, at: float, next_poll_at: float) -> None:
    """unknown → accepted: its unknown members are pending again."""
    group = group_sql.get(tx.db, group_no)
    _take_back(
        tx,
        "r.group_no = :group_no AND r.state = 4",
        {"group_no": group_no},
        State.UNKNOWN,
        f"{_NO_REASON}, attempts = attempts - {group.attempts}",
    )
    group_sql.shift(tx, group, State.UNKNOWN, State.PENDING, group.code, "")
    group_sql.move(
        tx, group, GroupEvent.ADOPT, msg_id=msg_id, next_poll_at=next_poll_at, code="", detail=""
    )


def cancel_pending(tx: Transaction, at: float) -> int:
    """Pending singles and planned groups are cancelled; what is in doubt is unknown."""
    code, detail = Code.CANCELLED.value, CANCELLED_DETAIL
    count = close_rows(tx, "group_no IS NULL", {}, State.CANCELLED, code, detail, None, at)
    for row in tx.db.execute(
        f"SELECT {GROUP_COLUMNS} FROM group_send WHERE state = 'planned' ORDER BY group_no"
    ).fetchall():
        group = group_row(row)
        group_sql.move(tx, group, GroupEvent.CANCEL, code=code, detail=detail)
        count += group_sql.close(tx, group, State.CANCELLED, code, detail, None, at)
    return count


def nothing_out(db: sqlite3.Connection) -> None:
    """Raises while singles are out: new chunks would let go of them, and of their results."""
    out = db.execute(
        "SELECT 1 FROM chunk WHERE done = 0 AND epoch > 0 AND group_no IS NULL AND EXISTS"
        " (SELECT 1 FROM recipient WHERE seq BETWEEN first_seq AND last_seq AND state = 1) LIMIT 1"
    ).fetchone()
    if out is not None:
        raise JournalError("single sends are out: settle or recover them, then retry")


def seal_retry(tx: Transaction, chunk_size: int) -> None:
    """Cuts what was reopened into new chunks."""
    nothing_out(tx.db)
    cut(tx.db, chunk_size)


def reopen(tx: Transaction, state: State, include_unnamed: bool) -> int:
    """`retry`: rows that were begun, out of their groups; planning's own refusals stay."""
    db = tx.db
    nothing_out(db)
    db.execute("UPDATE campaign SET needs_chunks = 1")
    groups: tuple[str, ...]
    if state is State.FAILED:
        sets = f"{_NO_REASON}, group_no = NULL, maybe_sent = 0, generation = generation + 1"
        where, groups = "r.state = 3 AND r.at IS NOT NULL", ("refused",)
    elif state is State.UNKNOWN:
        sets = "group_no = NULL, maybe_sent = 1"  # and the reason of the doubt
        where, groups = "r.state = 4", ("unknown", "expired")
        if not include_unnamed:
            where += f" AND r.code <> '{Code.UNNAMED.value}'"
    else:
        raise JournalError(f"recipients that are {state} cannot be tried again")
    count = _take_back(tx, where, {}, state, sets)
    # An audience whose one call was refused or lost: called again as a new group.
    for group_state in groups:
        for row in db.execute(
            f"SELECT {GROUP_COLUMNS} FROM group_send WHERE state = ? AND audience_{state} > 0 ORDER BY group_no",
            (group_state,),
        ).fetchall():
            group = group_row(row)
            (people,) = db.execute(
                f"SELECT audience_{state} FROM group_send WHERE group_no = ?", (group.group_no,)
            ).fetchone()
            db.execute(
                f"UPDATE group_send SET audience_{state} = 0 WHERE group_no = ?", (group.group_no,)
            )
            db.execute(
                "INSERT INTO group_send (planned, audience_pending, audience, message_values, message_digest)"
                " SELECT ?, ?, audience, message_values, message_digest FROM group_send WHERE group_no = ?",
                (people, people, group.group_no),
            )
            tx.counts.move(state, group.code, State.PENDING, "", people)
            count += people
    return count
