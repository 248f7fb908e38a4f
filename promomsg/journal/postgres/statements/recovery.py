"""Who was intended by a sender that has no say any more, in SQL; and lost groups that are found."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from promomsg.journal.postgres.planning.anew import NO_REASON, take_back
from promomsg.journal.postgres.statements.chunks import cut_chunks
from promomsg.journal.postgres.statements.closing import log_of
from promomsg.journal.postgres.statements.group_calls import lose_group
from promomsg.journal.postgres.statements.group_rows import (
    get_group,
    group_rows,
    move_audience,
    move_group_row,
)
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.reasons import INTERRUPTED
from promomsg.journal.records import Recovered
from promomsg.journal.state_sql import group_move, recipient_move
from promomsg.model import State
from promomsg.states import Event, GroupEvent

__all__ = ["adopt", "end_leftovers", "recover"]

_ASK_AGAIN: Final = recipient_move(Event.NOT_SENT)
_LOSE: Final = recipient_move(Event.UNKNOWN, State.INTENDED)
_IN_CHUNK: Final = (
    "campaign = %(campaign)s AND seq BETWEEN %(first)s AND %(last)s AND cohort = %(cohort)s"
    " AND group_no IS NULL"
)
# Whoever may have been sent to before keeps the reason of that.
_KEEPS: Final = "maybe_sent AND code <> ''"
_ASK_AGAIN_IN_CHUNK: Final = f"""
UPDATE this.recipient
SET {_ASK_AGAIN.sets}, maybe_sent = true,
    code = CASE WHEN {_KEEPS} THEN code ELSE %(code)s END,
    detail = CASE WHEN {_KEEPS} THEN detail ELSE %(detail)s END,
    rid = CASE WHEN {_KEEPS} THEN rid END
WHERE {_IN_CHUNK} AND {_ASK_AGAIN.where}
"""
_LOSE_IN_CHUNK: Final = f"""
WITH lost AS (
    UPDATE this.recipient
    SET {_LOSE.sets}, code = %(code)s, detail = %(detail)s, at = coalesce(%(at)s, at)
    WHERE {_IN_CHUNK} AND {_LOSE.where} RETURNING seq, at
),
logged AS ({log_of("lost")})
SELECT count(*), max(at) FROM lost
"""


async def end_leftovers(
    tx: Transaction,
    first: int | None,
    last: int | None,
    cohort: int,
    *,
    idempotent: bool,
    at: float | None = None,
) -> int:
    """Intended singles of a chunk are unknown, or with an idempotent channel pending and maybe
    sent; returns how many.

    Args:
        at: what those who are unknown have as their moment; None: it stays that of their intent.
    """
    args: dict[str, Any] = {
        "first": first,
        "last": last,
        "cohort": cohort,
        "code": INTERRUPTED.code,
        "detail": INTERRUPTED.detail,
    }
    if idempotent:
        return await tx.change(_ASK_AGAIN_IN_CHUNK, args)
    await tx.flush()
    count, last_at = await tx.row(_LOSE_IN_CHUNK, {**args, "at": at})
    if count:
        tx.counts.move(State.PENDING, "", _LOSE.end, INTERRUPTED.code, count)
        tx.happened(last_at)
    return int(count)


# Locked, so that what their senders were let in with is committed, and nobody is let in meanwhile.
_LEFT: Final = """
SELECT chunk_no, group_no, first_seq, last_seq, cohort FROM chunk
WHERE campaign = %(campaign)s AND NOT done AND epoch > 0 AND (
    deadline IS NULL OR deadline <= extract(epoch FROM clock_timestamp())
    OR chunk_no = ANY(%(own)s::integer[]))
ORDER BY chunk_no FOR NO KEY UPDATE
"""
_TAKE_BACK: Final = (
    "UPDATE chunk SET epoch = epoch + 1, deadline = NULL WHERE campaign = %(campaign)s"
    " AND chunk_no = ANY(%(left)s::integer[]) AND deadline IS NOT NULL"
)
_CHUNKS: Final = "SELECT needs_chunks, chunk_size FROM campaign WHERE campaign = %(campaign)s"
_RECENT: Final = """
SELECT intended_at, intended_singles FROM commit_log
WHERE campaign = %(campaign)s AND intended_singles > 0 ORDER BY xid DESC, log_no DESC LIMIT %(most)s
"""
_TODAY: Final = """
SELECT greatest(coalesce(sum(singles), 0), 0)::bigint FROM intent_day
WHERE campaign = %(campaign)s AND day = %(day)s
"""
_LOSE_GROUP: Final = group_move(GroupEvent.LOST)
_ADOPT: Final = group_move(GroupEvent.ADOPT)


async def recover(
    tx: Transaction, idempotent: bool, at: float, day: str, recent: int, own: Collection[int]
) -> Recovered:
    """Looks only into chunks that were taken and are not done, and whose lease is over or one of our
    `own`: those of other senders who are at work stay as they are."""
    found = Recovered()
    left = await tx.rows(_LEFT, {"own": list(own)})
    for _, group_no, *span in left:
        if group_no is None:
            ended = await end_leftovers(tx, *span, idempotent=idempotent, at=at)
            if idempotent:
                found.again += ended
            else:
                found.unknown += ended
    groups = [group_no for _, group_no, *_ in left if group_no is not None]
    if groups:
        where = f"{_LOSE_GROUP.where} AND group_no = ANY(%(groups)s::integer[])"
        for group in await group_rows(tx, where, {"groups": groups}):
            await lose_group(tx, group, INTERRUPTED, at)
            found.lost_groups += 1
    await tx.change(_TAKE_BACK, {"left": [chunk_no for chunk_no, *_ in left]})
    needs_chunks, chunk_size = await tx.row(_CHUNKS)
    if needs_chunks:
        # A retry that did not get as far as `seal_retry`: its rows are pending in no chunk.
        await cut_chunks(tx, chunk_size)
    found.recent = await _recent(tx, recent)
    (found.singles_today,) = await tx.row(_TODAY, {"day": day})
    return found


async def _recent(tx: Transaction, most: int) -> tuple[float, ...]:
    times: list[float] = []
    for at, singles in await tx.rows(_RECENT, {"most": most}):
        times += [at] * min(singles, most - len(times))
    return tuple(sorted(times))


async def adopt(
    tx: Transaction, group_no: int, msg_id: str, at: float, next_poll_at: float
) -> None:
    """unknown → accepted: its unknown members are pending again."""
    group = await get_group(tx, group_no)
    sets = f"{NO_REASON}, attempts = r.attempts - %(attempts)s"
    args = {"group_no": group_no, "attempts": group.attempts}
    await take_back(tx, Event.ADOPT, sets, "r.group_no = %(group_no)s", args)
    await move_audience(tx, group, Event.ADOPT, State.UNKNOWN, group.code, "")
    columns: dict[str, Any] = {"msg_id": msg_id, "code": "", "detail": ""}
    times = {"next_poll_at": next_poll_at, "followed_since": at}
    seen = {"polls_at_100": 0, "given_up": False, "warned_of_age": False}
    await move_group_row(tx, group, _ADOPT, **columns, **times, **seen)
    await tx.change("UPDATE campaign SET clicks_at = 0 WHERE campaign = %(campaign)s")
