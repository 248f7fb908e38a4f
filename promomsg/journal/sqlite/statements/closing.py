"""Many pending recipients become final at once: a cancel, a refused message, the end of a group."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any, Final

from promomsg.journal.records import Reason
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import recipient_move
from promomsg.model import State
from promomsg.states import Event

__all__ = ["close_rows", "log_final"]

_CLOSES: Final = {
    event: recipient_move(event, State.PENDING)
    for event in (
        Event.SENT,
        Event.MESSAGE_REFUSED,
        Event.GROUP_LOST,
        Event.SKIP,
        Event.CANCEL,
    )
}
_NOT_REACHED: Final = frozenset({Event.MESSAGE_REFUSED, Event.SKIP, Event.CANCEL})
"""What says that nothing reached them, which an earlier attempt may belie."""
_UNKNOWN: Final = recipient_move(Event.UNKNOWN, State.PENDING)


def close_rows(
    tx: Transaction,
    event: Event,
    where: str,
    args: dict[str, Any],
    reason: Reason,
    at: float,
    attempts: int = 0,
) -> int:
    """Moves the pending rows that `where` finds; returns how many.

    Whoever may have been sent to before becomes unknown, never failed, skipped or cancelled, and
    keeps the reason of that.

    Args:
        where, args: a condition on `recipient`, and what it binds by name.
        attempts: calls that each of them has had by this.
    """
    move = _CLOSES[event]
    args = {
        **args,
        "new_code": reason.code,
        "new_detail": reason.detail,
        "new_rid": reason.rid,
        "new_at": at,
        "new_attempts": attempts,
    }
    unknown = 0
    if event in _NOT_REACHED:
        unknown = _close_maybe_sent(tx, f"{_UNKNOWN.where} AND maybe_sent = 1 AND {where}", args)
    pending = f"{move.where} AND {where}"
    log_final(tx, f"SELECT seq FROM recipient WHERE {pending} ORDER BY seq", args)
    changed = tx.db.execute(
        f"""
        UPDATE recipient SET {move.sets}, code = :new_code, detail = :new_detail,
               rid = :new_rid, at = :new_at, attempts = attempts + :new_attempts
        WHERE {pending}
        """,
        args,
    ).rowcount
    tx.counts.move(State.PENDING, "", move.end, reason.code, changed)
    if changed or unknown:
        tx.happened(at)
    return changed + unknown


def _close_maybe_sent(tx: Transaction, where: str, args: dict[str, Any]) -> int:
    by_code = tx.db.execute(
        f"SELECT iif(code = '', :new_code, code), count(*) FROM recipient WHERE {where} GROUP BY 1",
        args,
    ).fetchall()
    if not by_code:
        return 0
    log_final(tx, f"SELECT seq FROM recipient WHERE {where} ORDER BY seq", args)
    tx.db.execute(
        f"""
        UPDATE recipient SET {_UNKNOWN.sets}, code = iif(code = '', :new_code, code),
               detail = iif(code = '', :new_detail, detail), rid = iif(code = '', :new_rid, rid),
               at = :new_at, attempts = attempts + :new_attempts
        WHERE {where}
        """,
        args,
    )
    for code, count in by_code:
        tx.counts.move(State.PENDING, "", _UNKNOWN.end, code, count)
    return sum(count for _, count in by_code)


def log_final(tx: Transaction, rows: str, args: dict[str, Any]) -> None:
    """Notes the rows of a query as final, in its order, before the statement that moves them: some
    thousands in one row of the log."""
    tx.flush()
    tx.db.execute(
        "INSERT INTO commit_log (final_seqs) SELECT json_group_array(seq)"
        f" FROM ({rows}) GROUP BY seq / 4096",
        args,
    )
