"""Singles in SQL: leases, intents and results; one statement a batch on the hot path."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.journal.counts import CODE_OF
from promomsg.journal.records import Control, Lease, SendResult
from promomsg.journal.sqlite.statements.transaction import Transaction, Undone
from promomsg.model import SingleSend, State
from promomsg.states import IllegalMove

__all__ = [
    "CANCELLED_DETAIL",
    "LOST_DETAIL",
    "close_rows",
    "holds",
    "intend",
    "release",
    "renew",
    "requested_control",
    "set_control",
    "settle",
    "take",
]

CANCELLED_DETAIL: Final = "cancelled"
LOST_DETAIL: Final = "the last commits of the journal are lost: it may have been sent"

_PENDING, _INTENDED, _SENT = State.PENDING.value, State.INTENDED.value, State.SENT.value
_SETTLES: Final = frozenset({_PENDING, _SENT, State.FAILED.value, State.UNKNOWN.value})

_encode = msgspec.json.Encoder().encode

_SingleRow = tuple[
    int, str, str | None, str | None, str | None, str | None, str | None, int, int, int
]
_single_rows = msgspec.json.Decoder(list[_SingleRow]).decode
_values = msgspec.json.Decoder(tuple[str, ...]).decode


def requested_control(db: sqlite3.Connection) -> Control:
    """What the control row says."""
    return Control(db.execute("SELECT requested FROM control").fetchone()[0])


def set_control(db: sqlite3.Connection, control: Control) -> None:
    """Writes the control row."""
    db.execute("UPDATE control SET requested = ?", (control.value,))


def holds(tx: Transaction, lease: Lease) -> bool:
    """Whether the lease is still the chunk's."""
    row = tx.db.execute("SELECT epoch FROM chunk WHERE chunk_no = ?", (lease.chunk_no,)).fetchone()
    return row is not None and row[0] == lease.epoch


def take(tx: Transaction, groups: bool, singles: bool, now: float, ttl: float) -> Lease | None:
    """The next chunk with work: groups first, then singles in order of seq."""
    kinds = [kind for kind, wanted in (("NOT NULL", groups), ("NULL", singles)) if wanted]
    for kind in kinds:
        after = 0
        while True:
            row = tx.db.execute(
                f"""
                SELECT chunk_no, group_no, first_seq, last_seq, epoch, deadline FROM chunk
                WHERE done = 0 AND chunk_no > ? AND group_no IS {kind}
                  AND (deadline IS NULL OR deadline <= ?)
                ORDER BY chunk_no LIMIT 1
                """,
                (after, now),
            ).fetchone()
            if row is None:
                break
            after = row[0]
            lease = _try_chunk(tx, row, now + ttl)
            if lease is not None:
                return lease
    return None


def _try_chunk(tx: Transaction, row: tuple[Any, ...], deadline: float) -> Lease | None:
    chunk_no, group_no, first_seq, last_seq, epoch, old_deadline = row
    single_sends: tuple[SingleSend, ...] = ()
    if group_no is None:
        # As one JSON text, so that the GIL changes hands once and not for every row.
        text, out = tx.db.execute(
            """
            SELECT json_group_array(json_array(seq, key, id, openid, unionid, message_values, request_id,
                                               attempts, maybe_sent, generation))
                       FILTER (WHERE state = 0),
                   count(*) FILTER (WHERE state = 1)
            FROM (SELECT * FROM recipient
                  WHERE seq BETWEEN ? AND ? AND state < 2 AND group_no IS NULL ORDER BY seq)
            """,
            (first_seq, last_seq),
        ).fetchone()
        if out and old_deadline is None:
            return None
        single_sends = tuple(
            SingleSend(
                seq=seq,
                key=key,
                id=id,
                openid=openid,
                unionid=unionid,
                values=_values(message_values) if message_values is not None else (),
                request_id=request_id,
                attempts=attempts,
                maybe_sent=maybe_sent == 1,
                generation=generation,
            )
            for seq, key, id, openid, unionid, message_values, request_id, attempts, maybe_sent, generation in (
                _single_rows(text)
            )
        )
        if not single_sends:
            if not out:
                tx.db.execute("UPDATE chunk SET done = 1 WHERE chunk_no = ?", (chunk_no,))
            return None
    else:
        (state,) = tx.db.execute(
            "SELECT state FROM group_send WHERE group_no = ?", (group_no,)
        ).fetchone()
        if state != "planned":
            if state != "intended":
                tx.db.execute("UPDATE chunk SET done = 1 WHERE chunk_no = ?", (chunk_no,))
            return None
    tx.db.execute(
        "UPDATE chunk SET epoch = epoch + 1, deadline = ? WHERE chunk_no = ?", (deadline, chunk_no)
    )
    tx.leased(chunk_no, group=group_no is not None)
    return Lease(
        chunk_no=chunk_no,
        epoch=epoch + 1,
        deadline=deadline,
        group_no=group_no,
        single_sends=single_sends,
    )


def renew(tx: Transaction, lease: Lease, deadline: float) -> Lease | None:
    """The same lease with a later deadline; None when it moved on."""
    changed = tx.db.execute(
        "UPDATE chunk SET deadline = ? WHERE chunk_no = ? AND epoch = ?",
        (deadline, lease.chunk_no, lease.epoch),
    ).rowcount
    return msgspec.structs.replace(lease, deadline=deadline) if changed else None


def release(tx: Transaction, lease: Lease) -> None:
    """Gives it back; `take` finds out whether anything is left."""
    if lease.group_no is None:
        left = (
            "EXISTS (SELECT 1 FROM recipient WHERE seq BETWEEN chunk.first_seq AND chunk.last_seq"
            " AND state < 2 AND group_no IS NULL)"
        )
    else:
        left = "EXISTS (SELECT 1 FROM group_send WHERE group_no = chunk.group_no AND state IN ('planned', 'intended'))"
    tx.db.execute(
        f"UPDATE chunk SET deadline = NULL, done = NOT {left} WHERE chunk_no = ? AND epoch = ?",
        (lease.chunk_no, lease.epoch),
    )
    tx.chunk_over = True


_RUNNING = "(SELECT requested FROM control WHERE only_row = 1) = 'run'"
_OURS = (
    "EXISTS (SELECT 1 FROM chunk"
    " WHERE chunk_no = :chunk_no AND epoch = :epoch AND first_seq <= :low AND last_seq >= :high)"
)
_INTEND_SET = "UPDATE recipient SET state = 1, attempts = attempts + 1, at = :at WHERE "
_INTEND_TAIL = f" AND state = 0 AND group_no IS NULL AND {_RUNNING} AND {_OURS}"
_IN_LIST = "seq IN (SELECT value FROM json_each(:seqs))"
_INTEND_RANGE = f"{_INTEND_SET} seq BETWEEN :low AND :high {_INTEND_TAIL}"
_INTEND_LIST = f"{_INTEND_SET} {_IN_LIST} {_INTEND_TAIL}"


def intend(tx: Transaction, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
    """pending → intended, checked and done by one statement."""
    if not seqs:
        return holds(tx, lease) and requested_control(tx.db) is Control.RUN
    low, high = min(seqs), max(seqs)
    count = len(seqs)
    args: dict[str, Any] = {
        "at": at,
        "chunk_no": lease.chunk_no,
        "epoch": lease.epoch,
        "low": low,
        "high": high,
    }
    if high - low + 1 == count:
        changed = tx.db.execute(_INTEND_RANGE, args).rowcount
    else:
        args["seqs"] = _encode(seqs).decode()
        changed = tx.db.execute(_INTEND_LIST, args).rowcount
    if changed == count:
        tx.intended(count, at, day)
        return True
    if not holds(tx, lease) or requested_control(tx.db) is not Control.RUN:
        return False
    _why_not(tx, lease, seqs, changed)
    raise Undone(False)


def _why_not(tx: Transaction, lease: Lease, seqs: Sequence[int], changed: int) -> None:
    """Returns when some rows were failed or cancelled since `take`; else the caller is wrong."""
    (gone,) = tx.db.execute(
        f"""
        SELECT count(*) FROM recipient, chunk
        WHERE {_IN_LIST} AND state IN (3, 4, 6) AND recipient.group_no IS NULL
          AND chunk.chunk_no = :chunk_no AND seq BETWEEN first_seq AND last_seq
        """,
        {"seqs": _encode(seqs).decode(), "chunk_no": lease.chunk_no},
    ).fetchone()
    if changed + gone != len(seqs):
        raise IllegalMove(
            f"chunk {lease.chunk_no}: {len(seqs) - changed - gone} of {len(seqs)} recipients cannot "
            "take intend: they are not pending singles of this chunk"
        )


_SETTLE_WHERE = f"state = 1 AND {_OURS}"
_SETTLE_SENT = (
    "UPDATE recipient SET state = 2, at = :at, code = '', detail = '', rid = NULL, maybe_sent = 0,"
    f" extra = NULL WHERE {_IN_LIST} AND {_SETTLE_WHERE}"
)
_SETTLE_SENT_EACH = (
    "UPDATE recipient SET state = 2, at = j.value, code = '', detail = '', rid = NULL, maybe_sent = 0,"
    " extra = NULL FROM json_each(:rows) AS j"
    f" WHERE seq = CAST(j.key AS INTEGER) AND {_SETTLE_WHERE}"
)
# Who was in doubt already and is pending again keeps the reason of that doubt.
_DOUBTED = "maybe_sent = 1 AND code <> '' AND json_extract(j.value, '$[6]')"
_SETTLE_OTHERS = f"""
UPDATE recipient SET
    state = json_extract(j.value, '$[1]'),
    code = iif({_DOUBTED}, code, json_extract(j.value, '$[2]')),
    detail = iif({_DOUBTED}, detail, json_extract(j.value, '$[3]')),
    rid = iif({_DOUBTED}, rid, json_extract(j.value, '$[4]')),
    at = json_extract(j.value, '$[5]'), maybe_sent = json_extract(j.value, '$[6]'),
    extra = json_extract(j.value, '$[7]'), attempts = attempts - json_extract(j.value, '$[8]')
FROM json_each(:rows) AS j WHERE seq = json_extract(j.value, '$[0]') AND {_SETTLE_WHERE}
"""


def settle(tx: Transaction, lease: Lease, results: Sequence[SendResult]) -> bool:
    """intended → what came of it: one statement for plain successes, one for the rest."""
    plain: dict[int, float] = {}
    others: list[tuple[Any, ...]] = []
    final: list[int] = []
    uncalled = 0
    times = set()
    number = CODE_OF
    for seq, state, code, detail, rid, at, maybe_sent, extra, called in results:
        if state == _SENT and not code and not detail and rid is None and extra is None:
            plain[seq] = at
            times.add(at)
            final.append(seq)
        elif state in _SETTLES:
            back = not called
            others.append(
                (
                    seq,
                    number[state],
                    code,
                    detail,
                    rid,
                    at,
                    1 if maybe_sent and state == _PENDING else 0,
                    extra,
                    1 if back else 0,
                )
            )
            uncalled += back
            if state != _PENDING:
                final.append(seq)
        else:
            raise IllegalMove(f"a recipient that is intended cannot become {state}")
    if not results:
        return holds(tx, lease)
    args: dict[str, Any] = {
        "chunk_no": lease.chunk_no,
        "epoch": lease.epoch,
        "low": min(results)[0],
        "high": max(results)[0],
    }
    changed = 0
    if plain:
        if len(times) == 1:
            args["at"] = at = times.pop()
            args["seqs"] = _encode(list(plain)).decode()
            changed += tx.db.execute(_SETTLE_SENT, args).rowcount
        else:
            args["rows"] = _encode(plain).decode()
            changed += tx.db.execute(_SETTLE_SENT_EACH, args).rowcount
    if others:
        args["rows"] = _encode(others).decode()
        changed += tx.db.execute(_SETTLE_OTHERS, args).rowcount
    if changed != len(results):
        if not changed and not holds(tx, lease):
            return False
        raise IllegalMove(
            f"chunk {lease.chunk_no}: {len(results) - changed} of {len(results)} recipients cannot be "
            "settled: they are not intended, or not of this chunk"
        )
    if plain:
        tx.counts.move(_PENDING, "", _SENT, "", len(plain))
    for other in others:
        state = _STATE_OF[other[1]]
        if state != _PENDING:
            tx.counts.move(_PENDING, "", state, other[2])
    tx.final(final)
    tx.returned(uncalled)
    return True


_STATE_OF = {number: state for state, number in CODE_OF.items()}


def close_rows(
    tx: Transaction,
    where: str,
    args: dict[str, Any],
    state: State,
    code: str,
    detail: str,
    rid: str | None,
    at: float,
    attempts: int = 0,
) -> int:
    """Makes pending rows final, as many as `where` finds, in a few statements.

    Rows in doubt become unknown instead of failed, skipped or cancelled: an earlier attempt may
    have been delivered. The reason of the doubt stays theirs.
    """
    new = {
        "new_state": CODE_OF[state],
        "new_code": code,
        "new_detail": detail,
        "new_rid": rid,
        "new_at": at,
        "new_attempts": attempts,
    }
    args = {**args, **new}
    doubted = 0
    if state in (State.FAILED, State.SKIPPED, State.CANCELLED):
        doubted = _close_doubted(tx, f"state = 0 AND maybe_sent = 1 AND {where}", args)
    _log_final(tx, f"state = 0 AND {where}", args)
    changed = tx.db.execute(
        f"""
        UPDATE recipient SET state = :new_state, code = :new_code, detail = :new_detail,
               rid = :new_rid, at = :new_at, attempts = attempts + :new_attempts
        WHERE state = 0 AND {where}
        """,
        args,
    ).rowcount
    tx.counts.move(_PENDING, "", state, code, changed)
    return changed + doubted


def _close_doubted(tx: Transaction, where: str, args: dict[str, Any]) -> int:
    by_code = tx.db.execute(
        f"SELECT iif(code = '', :new_code, code), count(*) FROM recipient WHERE {where} GROUP BY 1",
        args,
    ).fetchall()
    if not by_code:
        return 0
    _log_final(tx, where, args)
    tx.db.execute(
        f"""
        UPDATE recipient SET state = 4, code = iif(code = '', :new_code, code),
               detail = iif(code = '', :new_detail, detail), rid = iif(code = '', :new_rid, rid),
               at = :new_at, attempts = attempts + :new_attempts
        WHERE {where}
        """,
        args,
    )
    for code, count in by_code:
        tx.counts.move(_PENDING, "", State.UNKNOWN, code, count)
    return sum(count for _, count in by_code)


def _log_final(tx: Transaction, where: str, args: dict[str, Any]) -> None:
    tx.flush()
    tx.db.execute(
        f"""
        INSERT INTO commit_log (final_seqs) SELECT json_group_array(seq)
        FROM (SELECT seq FROM recipient WHERE {where} ORDER BY seq)
        GROUP BY seq / 4096
        """,
        args,
    )
