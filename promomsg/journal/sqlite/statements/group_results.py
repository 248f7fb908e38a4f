"""What a group send came to, in SQL: polls, counts, named failures, and the 7 days that are over."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from promomsg.crashpoints import reached
from promomsg.journal.records import GroupRow
from promomsg.journal.sqlite.statements.groups import close, get, move
from promomsg.journal.sqlite.statements.transaction import Transaction
from promomsg.model import Code, Failure, State
from promomsg.states import GroupEvent

__all__ = ["add_warnings", "complete", "expire", "poll"]

_encode = msgspec.json.Encoder().encode
_texts = msgspec.json.Decoder(list[str]).decode

_EXPIRED_DETAIL = "the result can be had for 7 days only"
_UNNAMED_DETAIL = "the provider counted failures without naming them"


def poll(
    tx: Transaction,
    group_no: int,
    percent: int | None,
    send_cnt: int | None,
    fail_cnt: int | None,
    next_poll_at: float,
) -> None:
    """What a poll said that did not end the group."""
    changed = tx.db.execute(
        "UPDATE group_send SET percent = ?, send_cnt = ?, fail_cnt = ?, next_poll_at = ?,"
        " polls = polls + 1 WHERE group_no = ? AND state = 'accepted'",
        (percent, send_cnt, fail_cnt, next_poll_at, group_no),
    ).rowcount
    if not changed:
        get(tx.db, group_no)


def add_warnings(db: sqlite3.Connection, texts: Sequence[str]) -> None:
    """Keeps warnings in the campaign's row, each once."""
    if not texts:
        return
    (kept,) = db.execute("SELECT warnings FROM campaign").fetchone()
    warnings = _texts(kept)
    warnings += [text for text in dict.fromkeys(texts) if text not in warnings]
    db.execute("UPDATE campaign SET warnings = ?", (_encode(warnings).decode(),))


def complete(
    tx: Transaction,
    group_no: int,
    percent: int | None,
    send_cnt: int | None,
    fail_cnt: int | None,
    failures: Sequence[Failure],
    unnamed: int,
    at: float,
    warnings: Sequence[str],
) -> list[str]:
    """accepted → done; see `Handle.complete_group`."""
    db = tx.db
    group = get(db, group_no)
    move(
        tx,
        group,
        GroupEvent.COMPLETE,
        percent=percent,
        send_cnt=send_cnt,
        fail_cnt=fail_cnt,
        next_poll_at=None,
        polls=group.polls + 1,
    )
    named: dict[str, str] = {}
    for failure in failures:
        named.setdefault(failure.id, failure.code)
    if group.audience is not None:
        own = _complete_audience(tx, group, named, send_cnt, fail_cnt, unnamed, at)
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
        close(tx, group, State.UNKNOWN, Code.UNNAMED.value, _UNNAMED_DETAIL, None, at)
    else:
        close(tx, group, State.SENT, "", "", None, at)
    strangers = len(named) - found
    if strangers <= 0:
        return []
    return [
        f"group {group.msg_id}: {strangers} of the {len(named)} named failures are not among its "
        "recipients; they change nobody"
    ]


def _fail_named(tx: Transaction, group: GroupRow, at: float) -> int:
    """Members in temp.named fail with their codes; those in doubt are unknown with it."""
    db = tx.db
    where = "r.group_no = :group_no AND r.state = 0 AND n.id = r.id"
    args: dict[str, Any] = {"group_no": group.group_no}
    by_code = db.execute(
        f"SELECT n.code, r.maybe_sent, count(*) FROM recipient r, temp.named n WHERE {where}"
        " GROUP BY n.code, r.maybe_sent",
        args,
    ).fetchall()
    tx.flush()
    db.execute(
        "INSERT INTO commit_log (final_seqs) SELECT json_group_array(seq) FROM"
        f" (SELECT r.seq FROM recipient r, temp.named n WHERE {where} ORDER BY r.seq)"
        " GROUP BY seq / 4096",
        args,
    )
    db.execute(
        "UPDATE recipient AS r SET state = 3 + maybe_sent, code = n.code, detail = '', rid = NULL,"
        f" at = :at, attempts = attempts + :attempts FROM temp.named AS n WHERE {where}",
        {**args, "at": at, "attempts": group.attempts},
    )
    for code, maybe_sent, count in by_code:
        state = State.UNKNOWN if maybe_sent else State.FAILED
        tx.counts.move(State.PENDING, "", state, code, count)
    return sum(count for _, _, count in by_code)


def _complete_audience(
    tx: Transaction,
    group: GroupRow,
    named: dict[str, str],
    send_cnt: int | None,
    fail_cnt: int | None,
    unnamed: int,
    at: float,
) -> list[str]:
    db = tx.db
    failed = len(named) + unnamed if fail_cnt is None else max(len(named), fail_cnt)
    planned = max(group.planned if send_cnt is None else send_cnt, failed)
    (seq,) = db.execute("SELECT coalesce(max(seq), -1) FROM recipient").fetchone()
    rows = [
        (seq + number, id, id, code, group.group_no, group.attempts, at)
        for number, (id, code) in enumerate(named.items(), 1)
    ]
    db.executemany(
        "INSERT INTO recipient (seq, key, id, code, group_no, attempts, at, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 3)",
        rows,
    )
    tx.final([row[0] for row in rows])
    reached("merge")
    nameless, sent = failed - len(named), planned - failed
    db.execute(
        "UPDATE group_send SET audience_pending = 0, audience_failed = ?, audience_sent = ?, planned = ?, code = ?, detail = ?"
        " WHERE group_no = ?",
        (
            nameless,
            sent,
            planned,
            Code.UNNAMED.value if nameless else "",
            _UNNAMED_DETAIL if nameless else "",
            group.group_no,
        ),
    )
    counts = tx.counts
    counts.add(State.PENDING, "", -group.planned)
    counts.add(State.SENT, "", sent)
    counts.add(State.FAILED, Code.UNNAMED.value, nameless)
    for code in named.values():
        counts.add(State.FAILED, code, 1)
    if planned == group.planned:
        return []
    return [
        f"group {group.msg_id}: planned for {group.planned}, but the provider counts {planned}; "
        "its count is taken"
    ]


def expire(tx: Transaction, group_no: int, at: float) -> None:
    """accepted → expired; what is pending becomes unknown."""
    group = get(tx.db, group_no)
    code = Code.EXPIRED.value
    move(tx, group, GroupEvent.EXPIRE, next_poll_at=None, code=code, detail=_EXPIRED_DETAIL)
    close(tx, group, State.UNKNOWN, code, _EXPIRED_DETAIL, None, at)
