"""What a group send came to, in SQL: polls, and the end with what the provider counts and names. Each
is conditional on the group's state, so that of two who poll it one writes."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from promomsg.crashpoints import reached
from promomsg.journal.postgres.statements.campaign_row import add_warnings
from promomsg.journal.postgres.statements.closing import log_of
from promomsg.journal.postgres.statements.group_rows import (
    close_members,
    get_group,
    move_group_row,
)
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.reasons import EXPIRED, UNNAMED
from promomsg.journal.records import GroupCounts, GroupRow, Reason
from promomsg.journal.state_sql import group_move, number, recipient_move
from promomsg.model import Failure, State
from promomsg.states import Event, GroupEvent

__all__ = ["complete", "expire", "poll"]

_COMPLETE: Final = group_move(GroupEvent.COMPLETE)
_EXPIRE: Final = group_move(GroupEvent.EXPIRE)
_OVER: Final = (_COMPLETE.end, _EXPIRE.end)
"""What a group that was followed can have become by another's poll."""
_POLL: Final = f"""
UPDATE group_send
SET percent = %(percent)s, send_cnt = %(send_cnt)s, fail_cnt = %(fail_cnt)s,
    next_poll_at = %(next_poll_at)s, polls = polls + 1,
    polls_at_100 = polls_at_100 + %(at_100)s::boolean::integer,
    given_up = given_up OR %(given_up)s, warned_of_age = warned_of_age OR %(warned_of_age)s
WHERE campaign = %(campaign)s AND group_no = %(group_no)s AND {_COMPLETE.where}
  AND polls = coalesce(%(polls)s, polls)
"""


async def poll(
    tx: Transaction,
    group_no: int,
    counts: GroupCounts,
    next_poll_at: float,
    seen: Mapping[str, Any],
) -> bool:
    """What a poll said that did not end the group; `seen`: what else `Handle.poll_group` is told."""
    args = {**counts._asdict(), "group_no": group_no, "next_poll_at": next_poll_at, **seen}
    changed = await tx.change(_POLL, args)
    if not changed:
        await get_group(tx, group_no)
    return bool(changed)


async def complete(
    tx: Transaction,
    group_no: int,
    counts: GroupCounts,
    failures: Sequence[Failure],
    unnamed: int,
    at: float,
    warnings: Sequence[str],
) -> list[str] | None:
    """accepted → done; see `Handle.complete_group`."""
    group = await get_group(tx, group_no)
    if group.state in _OVER:
        return None
    columns: dict[str, Any] = {**counts._asdict(), "next_poll_at": None, "polls": group.polls + 1}
    await move_group_row(tx, group, _COMPLETE, **columns)
    named: dict[str, str] = {}
    for failure in failures:
        named.setdefault(failure.id, failure.code)
    if group.audience is not None:
        own = await _complete_audience(tx, group, named, counts, unnamed, at)
    else:
        own = await _complete_rows(tx, group, named, unnamed, at)
    await add_warnings(tx, [*warnings, *own])
    return own


async def _complete_rows(
    tx: Transaction, group: GroupRow, named: dict[str, str], unnamed: int, at: float
) -> list[str]:
    found = await _fail_named(tx, group, named, at) if named else 0
    reached("merge")
    if unnamed:
        await close_members(tx, group, Event.GROUP_LOST, UNNAMED, at)
    else:
        await close_members(tx, group, Event.SENT, Reason(), at)
    strangers = len(named) - found
    if strangers <= 0:
        return []
    return [
        f"group {group.msg_id}: {strangers} of the {len(named)} named failures are not among its "
        "recipients; they change nobody"
    ]


_FAILED: Final = recipient_move(Event.FAILED, State.PENDING, row="r")
_UNKNOWN: Final = recipient_move(Event.UNKNOWN, State.PENDING, row="r")
_FAIL_NAMED: Final = f"""
WITH failed AS (
    UPDATE this.recipient AS r
    SET state = CASE WHEN maybe_sent THEN {number(_UNKNOWN.end)} ELSE {number(_FAILED.end)} END,
        code = n.code, detail = '', rid = NULL, at = %(at)s, attempts = attempts + %(attempts)s
    FROM unnest(%(ids)s::text[], %(codes)s::text[]) AS n (id, code)
    WHERE r.campaign = %(campaign)s AND r.group_no = %(group_no)s AND {_FAILED.where} AND n.id = r.id
    RETURNING r.seq, r.state, r.code
),
logged AS ({log_of("failed")})
SELECT state, code, count(*) FROM failed GROUP BY state, code
"""


async def _fail_named(tx: Transaction, group: GroupRow, named: dict[str, str], at: float) -> int:
    """Members who are named fail with their codes; who may have been sent to before is unknown."""
    await tx.flush()
    by_code = await tx.rows(
        _FAIL_NAMED,
        {
            "ids": list(named),
            "codes": list(named.values()),
            "group_no": group.group_no,
            "attempts": group.attempts,
            "at": at,
        },
    )
    for state, code, count in by_code:
        end = _FAILED.end if state == number(_FAILED.end) else _UNKNOWN.end
        tx.counts.move(State.PENDING, "", end, code, count)
        tx.happened(at)
    return sum(count for _, _, count in by_code)


_ADD_NAMED: Final = f"""
INSERT INTO this.recipient (campaign, seq, key, id, code, group_no, attempts, at, state)
SELECT %(campaign)s, (SELECT coalesce(max(seq), -1) FROM this.recipient) + place, id, id, code,
       %(group_no)s, %(attempts)s, %(at)s, {number(State.FAILED)}
FROM unnest(%(ids)s::text[], %(codes)s::text[]) WITH ORDINALITY AS n (id, code, place) ORDER BY place
RETURNING seq
"""
# Two groups that end at once number their rows one after the other.
_LOCK_CAMPAIGN: Final = "SELECT FROM campaign WHERE campaign = %(campaign)s FOR NO KEY UPDATE"
_KEEP_AUDIENCE: Final = (
    "UPDATE group_send SET audience_pending = 0, audience_failed = %(failed)s,"
    " audience_sent = %(sent)s, planned = %(planned)s, code = %(code)s, detail = %(detail)s"
    " WHERE campaign = %(campaign)s AND group_no = %(group_no)s"
)


async def _complete_audience(
    tx: Transaction,
    group: GroupRow,
    named: dict[str, str],
    counts: GroupCounts,
    unnamed: int,
    at: float,
) -> list[str]:
    failed = len(named) + unnamed
    if counts.fail_cnt is not None:
        failed = max(len(named), counts.fail_cnt)
    planned = max(group.planned if counts.send_cnt is None else counts.send_cnt, failed)
    if named:
        await tx.rows(_LOCK_CAMPAIGN)
        args: dict[str, Any] = {"ids": list(named), "codes": list(named.values()), "at": at}
        of_group = {"group_no": group.group_no, "attempts": group.attempts}
        tx.final([seq for (seq,) in await tx.rows(_ADD_NAMED, {**args, **of_group})])
    tx.happened(at)
    reached("merge")
    nameless, sent = failed - len(named), planned - failed
    reason = UNNAMED if nameless else Reason()
    kept = {"failed": nameless, "sent": sent, "planned": planned, "group_no": group.group_no}
    await tx.change(_KEEP_AUDIENCE, {**kept, "code": reason.code, "detail": reason.detail})
    tx.counts.add(State.PENDING, "", -group.planned)
    tx.counts.add(State.SENT, "", sent)
    tx.counts.add(State.FAILED, UNNAMED.code, nameless)
    for code in named.values():
        tx.counts.add(State.FAILED, code, 1)
    if planned == group.planned:
        return []
    return [
        f"group {group.msg_id}: planned for {group.planned}, but the provider counts {planned}; "
        "its count is taken"
    ]


async def expire(tx: Transaction, group_no: int, at: float) -> bool:
    """accepted → expired; what is pending becomes unknown."""
    group = await get_group(tx, group_no)
    if group.state in _OVER:
        return False
    texts = {"code": EXPIRED.code, "detail": EXPIRED.detail}
    await move_group_row(tx, group, _EXPIRE, next_poll_at=None, **texts)
    await close_members(tx, group, Event.GROUP_LOST, EXPIRED, at)
    return True
