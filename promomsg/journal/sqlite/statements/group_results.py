"""What a group send came to, in SQL: polls, and the end with what the provider counts and names."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.crashpoints import reached
from promomsg.journal.reasons import EXPIRED, UNNAMED
from promomsg.journal.records import GroupCounts, GroupRow, Reason
from promomsg.journal.sqlite.statements.campaign_row import add_warnings
from promomsg.journal.sqlite.statements.closing import log_final
from promomsg.journal.sqlite.statements.groups import close_members, get, move
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.journal.state_sql import group_move, number, recipient_move
from promomsg.model import Failure, State
from promomsg.states import Event, GroupEvent

__all__ = ["complete", "expire", "poll"]

_encode = msgspec.json.Encoder().encode

_COMPLETE: Final = group_move(GroupEvent.COMPLETE)
_EXPIRE: Final = group_move(GroupEvent.EXPIRE)
_OVER: Final = (_COMPLETE.end, _EXPIRE.end)
"""What a group that was followed can have become by another's poll."""


def poll(
    tx: Transaction,
    group_no: int,
    counts: GroupCounts,
    next_poll_at: float,
    polls: int | None,
    at_100: bool,
    given_up: bool,
    warned_of_age: bool,
) -> bool:
    """What a poll said that did not end the group."""
    changed = tx.db.execute(
        "UPDATE group_send SET percent = :percent, send_cnt = :send_cnt, fail_cnt = :fail_cnt,"
        " next_poll_at = :next_poll_at, polls = polls + 1, polls_at_100 = polls_at_100 + :at_100,"
        " given_up = given_up OR :given_up, warned_of_age = warned_of_age OR :warned_of_age"
        f" WHERE group_no = :group_no AND {_COMPLETE.where} AND polls = coalesce(:polls, polls)",
        {
            **counts._asdict(),
            "group_no": group_no,
            "next_poll_at": next_poll_at,
            "polls": polls,
            "at_100": at_100,
            "given_up": given_up,
            "warned_of_age": warned_of_age,
        },
    ).rowcount
    if not changed:
        get(tx.db, group_no)
    return bool(changed)


def complete(
    tx: Transaction,
    group_no: int,
    counts: GroupCounts,
    failures: Sequence[Failure],
    unnamed: int,
    at: float,
    warnings: Sequence[str],
) -> list[str] | None:
    """accepted → done; see `Handle.complete_group`."""
    db = tx.db
    group = get(db, group_no)
    if group.state in _OVER:
        return None
    move(
        tx,
        group,
        _COMPLETE,
        **counts._asdict(),
        next_poll_at=None,
        polls=group.polls + 1,
    )
    named: dict[str, str] = {}
    for failure in failures:
        named.setdefault(failure.id, failure.code)
    if group.audience is not None:
        own = _complete_audience(tx, group, named, counts, unnamed, at)
    else:
        own = _complete_rows(tx, group, named, unnamed, at)
    add_warnings(db, [*warnings, *own])
    return own


def _complete_rows(
    tx: Transaction, group: GroupRow, named: dict[str, str], unnamed: int, at: float
) -> list[str]:
    db = tx.db
    found = 0
    if named:
        db.execute(
            "CREATE TEMP TABLE IF NOT EXISTS named (id TEXT PRIMARY KEY, code TEXT) WITHOUT ROWID"
        )
        db.execute("DELETE FROM temp.named")
        db.execute(
            "INSERT INTO temp.named SELECT key, value FROM json_each(?)",
            (_encode(named).decode(),),
        )
        found = _fail_named(tx, group, at)
    reached("merge")
    if unnamed:
        close_members(tx, group, Event.GROUP_LOST, UNNAMED, at)
    else:
        close_members(tx, group, Event.SENT, Reason(), at)
    strangers = len(named) - found
    if strangers <= 0:
        return []
    return [
        f"group {group.msg_id}: {strangers} of the {len(named)} named failures are not among its "
        "recipients; they change nobody"
    ]


_FAILED: Final = recipient_move(Event.FAILED, State.PENDING, row="r")
_UNKNOWN: Final = recipient_move(Event.UNKNOWN, State.PENDING, row="r")
_NAMED: Final = f"r.group_no = :group_no AND {_FAILED.where} AND n.id = r.id"
_FAIL_NAMED: Final = f"""
UPDATE recipient AS r
SET state = iif(maybe_sent = 1, {number(_UNKNOWN.end)}, {number(_FAILED.end)}),
    code = n.code, detail = '', rid = NULL, at = :at, attempts = attempts + :attempts
FROM temp.named AS n WHERE {_NAMED}
"""


def _fail_named(tx: Transaction, group: GroupRow, at: float) -> int:
    """Members in temp.named fail with their codes; who may have been sent to before is unknown."""
    args: dict[str, Any] = {"group_no": group.group_no}
    by_code = tx.db.execute(
        f"SELECT n.code, r.maybe_sent, count(*) FROM recipient r, temp.named n WHERE {_NAMED}"
        " GROUP BY n.code, r.maybe_sent",
        args,
    ).fetchall()
    log_final(tx, f"SELECT seq FROM recipient r, temp.named n WHERE {_NAMED} ORDER BY seq", args)
    tx.db.execute(_FAIL_NAMED, {**args, "at": at, "attempts": group.attempts})
    for code, maybe_sent, count in by_code:
        end = _UNKNOWN.end if maybe_sent else _FAILED.end
        tx.counts.move(State.PENDING, "", end, code, count)
        tx.happened(at)
    return sum(count for _, _, count in by_code)


def _complete_audience(
    tx: Transaction,
    group: GroupRow,
    named: dict[str, str],
    counts: GroupCounts,
    unnamed: int,
    at: float,
) -> list[str]:
    db = tx.db
    failed = len(named) + unnamed
    if counts.fail_cnt is not None:
        failed = max(len(named), counts.fail_cnt)
    planned = max(group.planned if counts.send_cnt is None else counts.send_cnt, failed)
    (seq,) = db.execute("SELECT coalesce(max(seq), -1) FROM recipient").fetchone()
    rows = [
        (seq + place, id, id, code, group.group_no, group.attempts, at)
        for place, (id, code) in enumerate(named.items(), 1)
    ]
    db.executemany(
        "INSERT INTO recipient (seq, key, id, code, group_no, attempts, at, state)"
        f" VALUES (?, ?, ?, ?, ?, ?, ?, {number(State.FAILED)})",
        rows,
    )
    tx.final([row[0] for row in rows])
    tx.happened(at)
    reached("merge")
    nameless, sent = failed - len(named), planned - failed
    reason = UNNAMED if nameless else Reason()
    db.execute(
        "UPDATE group_send SET audience_pending = 0, audience_failed = ?, audience_sent = ?,"
        " planned = ?, code = ?, detail = ? WHERE group_no = ?",
        (nameless, sent, planned, reason.code, reason.detail, group.group_no),
    )
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


def expire(tx: Transaction, group_no: int, at: float) -> bool:
    """accepted → expired; what is pending becomes unknown."""
    group = get(tx.db, group_no)
    if group.state in _OVER:
        return False
    move(
        tx,
        group,
        _EXPIRE,
        next_poll_at=None,
        code=EXPIRED.code,
        detail=EXPIRED.detail,
    )
    close_members(tx, group, Event.GROUP_LOST, EXPIRED, at)
    return True
