"""Many pending recipients become final at once: a cancel, a refused message, the end of a group."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from promomsg.journal.counts import STATES
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.records import Reason
from promomsg.journal.state_sql import recipient_move
from promomsg.model import State
from promomsg.states import Event

__all__ = ["close_rows", "log_of"]

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
_TAKES_NEW: Final = "(NOT maybe_sent OR code = '')"

_CHANGE: Final = (
    "at = %(new_at)s, attempts = attempts + %(new_attempts)s, "
    "code = {code}, detail = {detail}, rid = {rid}"
)
_REPLACED: Final = _CHANGE.format(code="%(new_code)s", detail="%(new_detail)s", rid="%(new_rid)s")
_KEPT: Final = _CHANGE.format(
    code=f"CASE WHEN {_TAKES_NEW} THEN %(new_code)s ELSE code END",
    detail=f"CASE WHEN {_TAKES_NEW} THEN %(new_detail)s ELSE detail END",
    rid=f"CASE WHEN {_TAKES_NEW} THEN %(new_rid)s ELSE rid END",
)


def log_of(moved: str) -> str:
    """The part of a statement that logs the rows of `moved` (seq) as final, in order of seq: some
    thousands in one row of the log. What is logged is what a change returned, never what was meant
    to be changed: another sender may have been there first."""
    return (
        "INSERT INTO commit_log (campaign, final_seqs)"
        f" SELECT %(campaign)s, array_agg(seq ORDER BY seq) FROM {moved}"
        " GROUP BY seq / 4096 ORDER BY seq / 4096"
    )


async def close_rows(
    tx: Transaction,
    event: Event,
    where: str,
    args: Mapping[str, Any],
    reason: Reason,
    at: float,
    attempts: int = 0,
) -> int:
    """Moves the pending rows that `where` finds; returns how many.

    Whoever may have been sent to before becomes unknown, never failed, skipped or cancelled, and
    keeps the reason of that.

    Args:
        where, args: a condition on `this.recipient`, and what it binds by name.
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
    await tx.flush()
    changed = 0
    if event in _NOT_REACHED:
        doubtful = f"{_UNKNOWN.where} AND maybe_sent AND {where}"
        changed = await _close(tx, f"SET {_UNKNOWN.sets}, {_KEPT} WHERE {doubtful}", args)
    pending = f"{move.where} AND {where}"
    changed += await _close(tx, f"SET {move.sets}, {_REPLACED} WHERE {pending}", args)
    if changed:
        tx.happened(at)
    return changed


async def _close(tx: Transaction, change: str, args: Mapping[str, Any]) -> int:
    by_code = await tx.rows(
        f"""
        WITH moved AS (UPDATE this.recipient {change} RETURNING seq, state, code),
             logged AS ({log_of("moved")})
        SELECT state, code, count(*) FROM moved GROUP BY state, code
        """,
        args,
    )
    for state, code, count in by_code:
        tx.counts.move(State.PENDING, "", STATES[state], code, count)
    return sum(count for _, _, count in by_code)
