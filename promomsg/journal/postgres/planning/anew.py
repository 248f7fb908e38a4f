"""What the user asks for between runs, in SQL: cancel, retry, a suppression list given later."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from promomsg.errors import JournalError
from promomsg.journal.postgres.planning.planned_groups import last_group
from promomsg.journal.postgres.planning.suppression import find_blocked
from promomsg.journal.postgres.statements.chunks import cut_chunks, refuse_intended
from promomsg.journal.postgres.statements.closing import close_rows
from promomsg.journal.postgres.statements.group_rows import (
    close_members,
    get_group,
    group_rows,
    move_group_row,
)
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.reasons import LISTED, UNNAMED
from promomsg.journal.records import Reason
from promomsg.journal.state_sql import group_move, in_group_state, in_state, recipient_move
from promomsg.model import State
from promomsg.states import Event, GroupEvent, GroupState

__all__ = [
    "NO_REASON",
    "cancel_pending",
    "cut_again",
    "leave_groups",
    "reopen",
    "seal_retry",
    "skip_blocked",
    "suppress_pending",
    "take_back",
]

_PENDING: Final = in_state(State.PENDING)
_CANCEL: Final = group_move(GroupEvent.CANCEL)
_BLOCKED: Final = "seq IN (SELECT seq FROM pg_temp.blocked)"

NO_REASON: Final = "code = '', detail = '', rid = NULL"

_TAKES_BACK: Final = {
    event: recipient_move(event, row="r")
    for event in (Event.RETRY_FAILED, Event.RETRY_UNKNOWN, Event.ADOPT)
}

# Whatever is in the log of these rows was written by transactions that have ended: those whose number
# is below the end of this statement's snapshot.
_TAKE_BACK: Final = """
WITH old AS (
    SELECT r.seq, r.state, r.attempts, r.code, r.detail, r.rid, r.at, r.group_no
    FROM this.recipient AS r WHERE {where} FOR UPDATE
), remembered AS (
    INSERT INTO attempt_history
        (campaign, seq, history_no, before_xid, state, attempts, code, detail, rid, at, msg_id)
    SELECT %(campaign)s, old.seq,
           (SELECT count(*) + 1 FROM attempt_history AS h
            WHERE h.campaign = %(campaign)s AND h.seq = old.seq),
           pg_snapshot_xmax(pg_current_snapshot()), old.state, old.attempts, old.code, old.detail,
           old.rid, old.at, g.msg_id
    FROM old LEFT JOIN group_send AS g ON g.campaign = %(campaign)s AND g.group_no = old.group_no
), back AS (
    UPDATE this.recipient AS r SET {sets} FROM old WHERE r.seq = old.seq RETURNING old.code
)
SELECT code, count(*) FROM back GROUP BY code
"""


async def take_back(
    tx: Transaction, event: Event, sets: str, where: str, args: Mapping[str, Any] | None = None
) -> int:
    """Final → pending at the user's request; the attempt until then is kept in the history.

    `sets` says what becomes of its code, detail and rid, and what else changes.
    """
    move = _TAKES_BACK[event]
    (start,) = move.starts
    await tx.flush()
    by_code = await tx.rows(
        _TAKE_BACK.format(
            where=f"{move.where} AND {where}", sets=f"{move.sets}, at = NULL, {sets}"
        ),
        args,
    )
    for code, count in by_code:
        tx.counts.move(start, code, move.end, "", count)
    return sum(count for _, count in by_code)


async def cancel_pending(tx: Transaction, at: float, reason: Reason) -> int:
    """Pending singles and planned groups are cancelled; who may have been sent to is unknown."""
    count = await close_rows(tx, Event.CANCEL, "group_no IS NULL", {}, reason, at)
    for group in await group_rows(tx, _CANCEL.where):
        await move_group_row(tx, group, _CANCEL, code=reason.code, detail=reason.detail)
        count += await close_members(tx, group, Event.CANCEL, reason, at)
    return count


async def seal_retry(tx: Transaction, chunk_size: int) -> None:
    """Cuts what was reopened into new chunks."""
    await refuse_intended(tx)
    await cut_chunks(tx, chunk_size)


async def reopen(tx: Transaction, state: State, include_unnamed: bool) -> int:
    """`retry`: rows that were called for are pending again, outside of their groups; what planning
    refused stays."""
    if state not in (State.FAILED, State.UNKNOWN):
        raise JournalError(f"recipients that are {state} cannot be tried again")
    await refuse_intended(tx)
    await tx.change("UPDATE campaign SET needs_chunks = true WHERE campaign = %(campaign)s")
    if state is State.FAILED:
        event, ended = Event.RETRY_FAILED, in_group_state(GroupState.REFUSED)
        sets = f"{NO_REASON}, group_no = NULL, maybe_sent = false, generation = generation + 1"
        where = "r.at IS NOT NULL"
    else:
        event, ended = Event.RETRY_UNKNOWN, in_group_state(GroupState.UNKNOWN, GroupState.EXPIRED)
        sets = "group_no = NULL, maybe_sent = true"  # and the reason of that
        where = "true" if include_unnamed else f"r.code <> '{UNNAMED.code}'"
    count = await take_back(tx, event, sets, where)
    return count + await _reopen_audiences(tx, event, state, ended)


async def _reopen_audiences(tx: Transaction, event: Event, state: State, ended: str) -> int:
    """An audience whose one call was refused or lost: called again as a new group."""
    total = 0
    counted = f"audience_{state}"
    for group in await group_rows(tx, f"{ended} AND {counted} > 0"):
        one = {"group_no": group.group_no, "new": await last_group(tx) + 1}
        (people,) = await tx.row(
            f"""
            WITH old AS (
                SELECT * FROM group_send
                WHERE campaign = %(campaign)s AND group_no = %(group_no)s
            ), emptied AS (
                UPDATE group_send SET {counted} = 0
                WHERE campaign = %(campaign)s AND group_no = %(group_no)s
            )
            INSERT INTO group_send (campaign, group_no, planned, audience_pending, audience,
                                    message_values, message_digest, cohort)
            SELECT campaign, %(new)s, {counted}, {counted}, audience, message_values, message_digest,
                   cohort
            FROM old RETURNING planned
            """,
            one,
        )
        tx.counts.move(state, group.code, _TAKES_BACK[event].end, "", people)
        total += people
    return total


async def suppress_pending(
    tx: Transaction, columns: Collection[str], at: float, smallest_group: int, pepper: bytes | None
) -> int:
    """A suppression list for a plan that is complete: who is in a group that is not out leaves it."""
    await refuse_intended(tx)
    if not await find_blocked(tx, columns, pepper):
        return 0
    changed, dissolved = await skip_blocked(tx, LISTED, at, smallest_group)
    if dissolved:
        await cut_again(tx)
    return changed


async def cut_again(tx: Transaction) -> None:
    """Cuts all singles into chunks of the same size as before."""
    (chunk_size,) = await tx.row("SELECT chunk_size FROM campaign WHERE campaign = %(campaign)s")
    await cut_chunks(tx, chunk_size)


async def skip_blocked(
    tx: Transaction, reason: Reason, at: float, smallest_group: int
) -> tuple[int, bool]:
    """Skips who is in pg_temp.blocked, of a plan that is complete, and pending; returns how many, and whether
    a group was dissolved, so that its others are in no chunk yet."""
    dissolved = await leave_groups(tx, reason, smallest_group)
    blocked = f"group_no IS NULL AND {_BLOCKED}"
    return await close_rows(tx, Event.SKIP, blocked, {}, reason, at), dissolved


async def leave_groups(
    tx: Transaction, reason: Reason, smallest_group: int, *, planning: bool = False
) -> bool:
    """Takes who is in pg_temp.blocked out of the groups that are not out; whether one was dissolved, since it
    would have had fewer than `smallest_group` members.

    Args:
        planning: the plan is not complete: nobody knows of a group that is dissolved, and it goes.
    """
    dissolved = False
    leaving = await tx.rows(
        f"SELECT group_no, count(*) FROM this.recipient WHERE {_PENDING} AND {_BLOCKED}"
        f" AND group_no IN (SELECT group_no FROM group_send"
        f" WHERE campaign = %(campaign)s AND {_CANCEL.where})"
        " GROUP BY group_no ORDER BY group_no"
    )
    for group_no, leave in leaving:
        group = await get_group(tx, group_no)
        one = {"group_no": group_no, "left": group.planned - leave}
        out_of_it = "UPDATE this.recipient SET group_no = NULL WHERE group_no = %(group_no)s"
        of_it = "WHERE campaign = %(campaign)s AND group_no = %(group_no)s"
        if one["left"] >= smallest_group:
            await tx.change(f"{out_of_it} AND {_BLOCKED}", one)
            await tx.change(f"UPDATE group_send SET planned = %(left)s {of_it}", one)
            continue
        await tx.change(out_of_it, one)
        if planning:
            await tx.change(f"DELETE FROM group_send {of_it}", one)
        else:
            await move_group_row(
                tx, group, _CANCEL, planned=0, code=reason.code, detail=reason.detail
            )
        dissolved = True
    return dissolved
