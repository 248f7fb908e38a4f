"""Singles in SQL: intents and results; one statement a batch on the hot path."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.journal.reasons import INTERRUPTED
from promomsg.journal.records import Control, Lease, SendResult
from promomsg.journal.sqlite.statements.campaign_row import requested_control
from promomsg.journal.sqlite.statements.leases import IS_RUNNING
from promomsg.journal.sqlite.statements.transaction import Transaction, Undone
from promomsg.journal.state_sql import in_state, number, recipient_move
from promomsg.model import State
from promomsg.states import Event, IllegalMove

__all__ = ["intend", "settle"]

_encode = msgspec.json.Encoder().encode

_INTEND: Final = recipient_move(Event.INTEND)
_GONE: Final = in_state(
    *(
        recipient_move(event, State.PENDING).end
        for event in (Event.MESSAGE_REFUSED, Event.UNKNOWN, Event.CANCEL)
    )
)
"""What a row that was pending when it was taken can have become since, without being sent."""

# The lease is still this one, and all of these rows are its own.
_LEASED: Final = (
    "EXISTS (SELECT 1 FROM chunk"
    " WHERE chunk_no = :chunk_no AND epoch = :epoch AND first_seq <= :low AND last_seq >= :high)"
)
_ALIVE: Final = _LEASED[:-1] + " AND deadline > :now)"
_LISTED: Final = "seq IN (SELECT value FROM json_each(:seqs))"
_INTEND_ROWS: Final = (
    f"UPDATE recipient SET {_INTEND.sets}, attempts = attempts + 1, at = :at"
    f" WHERE {{rows}} AND {_INTEND.where} AND group_no IS NULL AND {IS_RUNNING} AND {_ALIVE}"
)
_INTEND_RANGE: Final = _INTEND_ROWS.format(rows="seq BETWEEN :low AND :high")
_INTEND_LISTED: Final = _INTEND_ROWS.format(rows=_LISTED)


def intend(
    tx: Transaction, lease: Lease, seqs: Sequence[int], at: float, day: str, now: float
) -> bool:
    """pending → intended, checked and done by one statement."""
    if not seqs:
        return tx.holds(lease, now) and requested_control(tx.db) is Control.RUN
    low, high = min(seqs), max(seqs)
    count = len(seqs)
    args: dict[str, Any] = {
        "at": at,
        "chunk_no": lease.chunk_no,
        "epoch": lease.epoch,
        "low": low,
        "high": high,
        "now": now,
    }
    if high - low + 1 == count:
        changed = tx.db.execute(_INTEND_RANGE, args).rowcount
    else:
        args["seqs"] = _encode(seqs).decode()
        changed = tx.db.execute(_INTEND_LISTED, args).rowcount
    if changed == count:
        tx.intended(count, at, day)
        return True
    if not changed and _are_intended(tx, args, seqs):
        return True
    if not tx.holds(lease, now) or requested_control(tx.db) is not Control.RUN:
        return False
    _why_not(tx, lease, seqs, changed)
    raise Undone(False)


def _are_intended(tx: Transaction, args: dict[str, Any], seqs: Sequence[int]) -> bool:
    """Whether this very call has intended them all before: its answer was lost."""
    (count,) = tx.db.execute(
        f"SELECT count(*) FROM recipient WHERE {_LISTED} AND {in_state(State.INTENDED)}"
        f" AND at = :at AND group_no IS NULL AND {_LEASED}",
        {**args, "seqs": _encode(seqs).decode()},
    ).fetchone()
    return bool(count == len(seqs))


def _why_not(tx: Transaction, lease: Lease, seqs: Sequence[int], changed: int) -> None:
    """Returns when some rows were failed or cancelled since `take`; else the caller is wrong."""
    (gone,) = tx.db.execute(
        f"""
        SELECT count(*) FROM recipient, chunk
        WHERE {_LISTED} AND {_GONE} AND recipient.group_no IS NULL
          AND chunk.chunk_no = :chunk_no AND seq BETWEEN first_seq AND last_seq
        """,
        {"seqs": _encode(seqs).decode(), "chunk_no": lease.chunk_no},
    ).fetchone()
    if changed + gone != len(seqs):
        raise IllegalMove(
            f"chunk {lease.chunk_no}: {len(seqs) - changed - gone} of {len(seqs)} recipients cannot "
            "take intend: they are not pending singles of this chunk"
        )


_SENT: Final = recipient_move(Event.SENT, State.INTENDED)
_RESULTS: Final = {
    move.end.value: move.end
    for move in (
        _SENT,
        recipient_move(Event.FAILED, State.INTENDED),
        recipient_move(Event.UNKNOWN, State.INTENDED),
        recipient_move(Event.NOT_SENT, State.INTENDED),
    )
}
"""What an intended single can come to."""
_NUMBERS: Final = {word: number(state) for word, state in _RESULTS.items()}

# Settling is two statements. Nearly every row of nearly every batch is a plain success, and for
# those the batch is a list of numbers: a JSON object a row costs several times as much, in SQLite
# and on the way there. What else can come of a row (a code, a text, another state, a call that was
# not made) is in the second one, which carries everything.
_SETTLED: Final = f"{_SENT.where} AND {_LEASED}"
_PLAIN: Final = "code = '', detail = '', rid = NULL, maybe_sent = 0, extra = NULL"
_SETTLE_SENT: Final = (
    f"UPDATE recipient SET {_SENT.sets}, at = :at, {_PLAIN} WHERE {_LISTED} AND {_SETTLED}"
)
_SETTLE_SENT_EACH: Final = (
    f"UPDATE recipient SET {_SENT.sets}, at = j.value, {_PLAIN} FROM json_each(:rows) AS j"
    f" WHERE seq = CAST(j.key AS INTEGER) AND {_SETTLED}"
)
# Whoever may have been sent to already and is pending again keeps the reason of that.
_KEEPS_REASON: Final = "maybe_sent = 1 AND code <> '' AND json_extract(j.value, '$[6]')"
_SETTLE_OTHERS: Final = f"""
UPDATE recipient SET
    state = json_extract(j.value, '$[1]'),
    code = iif({_KEEPS_REASON}, code, json_extract(j.value, '$[2]')),
    detail = iif({_KEEPS_REASON}, detail, json_extract(j.value, '$[3]')),
    rid = iif({_KEEPS_REASON}, rid, json_extract(j.value, '$[4]')),
    at = json_extract(j.value, '$[5]'), maybe_sent = json_extract(j.value, '$[6]'),
    extra = json_extract(j.value, '$[7]'), attempts = attempts - json_extract(j.value, '$[8]')
FROM json_each(:rows) AS j WHERE seq = json_extract(j.value, '$[0]') AND {_SETTLED}
"""


def settle(tx: Transaction, lease: Lease, results: Sequence[SendResult]) -> bool:
    """intended → what came of it: one statement for plain successes, one for the rest."""
    if not results:
        return tx.holds(lease)
    sent: dict[int, float] = {}
    others: list[tuple[Any, ...]] = []
    final: list[int] = []
    reasons: list[tuple[str, str]] = []
    uncalled = 0
    plain = _SENT.end.value
    pending = State.PENDING.value
    for seq, state, code, detail, rid, at, maybe_sent, extra, called, _ in results:
        if state == plain and not code and not detail and rid is None and extra is None:
            sent[seq] = at
        elif state in _NUMBERS:
            doubtful = int(maybe_sent and state == pending)
            others.append(
                (seq, _NUMBERS[state], code, detail, rid, at, doubtful, extra, int(not called))
            )
            uncalled += not called
            if state == pending:
                continue
            reasons.append((state, code))
        else:
            raise IllegalMove(f"a recipient that is intended cannot become {state}")
        final.append(seq)
    changed = _write(tx, lease, results, sent, others)
    if changed != len(results):
        if not changed and not tx.holds(lease):
            _correct(tx, lease, results)
            return False
        if not changed and _are_settled(tx, lease, results):
            return True
        raise IllegalMove(
            f"chunk {lease.chunk_no}: {len(results) - changed} of {len(results)} recipients cannot "
            "be settled: they are not intended, or not of this chunk"
        )
    tx.happened(max(result.at for result in results))
    tx.counts.move(pending, "", plain, "", len(sent))
    for state, code in reasons:
        tx.counts.move(pending, "", state, code)
    tx.final(final)
    tx.returned(uncalled)
    return True


def _write(
    tx: Transaction,
    lease: Lease,
    results: Sequence[SendResult],
    sent: dict[int, float],
    others: list[tuple[Any, ...]],
) -> int:
    args = _span(lease, results)
    changed = 0
    if sent:
        times = set(sent.values())
        if len(times) == 1:
            args["at"] = times.pop()
            args["seqs"] = _encode(list(sent)).decode()
            changed += tx.db.execute(_SETTLE_SENT, args).rowcount
        else:
            args["rows"] = _encode(sent).decode()
            changed += tx.db.execute(_SETTLE_SENT_EACH, args).rowcount
    if others:
        args["rows"] = _encode(others).decode()
        changed += tx.db.execute(_SETTLE_OTHERS, args).rowcount
    return changed


_IS_SETTLED: Final = f"""
SELECT count(*) FROM recipient, json_each(:rows) AS j
WHERE seq = json_extract(j.value, '$[0]') AND state = json_extract(j.value, '$[1]')
  AND at = json_extract(j.value, '$[2]') AND group_no IS NULL AND {_LEASED}
"""


def _are_settled(tx: Transaction, lease: Lease, results: Sequence[SendResult]) -> bool:
    """Whether this very call has settled them all before: its answer was lost."""
    rows = [(result.seq, _NUMBERS[result.state], result.at) for result in results]
    args = {**_span(lease, results), "rows": _encode(rows).decode()}
    (count,) = tx.db.execute(_IS_SETTLED, args).fetchone()
    return bool(count == len({result.seq for result in results}) == len(results))


_LATE: Final = {
    move.end.value: move
    for move in (recipient_move(Event.SENT_AFTER_ALL), recipient_move(Event.FAILED_AFTER_ALL))
}
_TAKEN_OVER: Final = (
    f"{_LATE[State.SENT].where} AND code = '{INTERRUPTED.code}' AND group_no IS NULL"
    " AND EXISTS (SELECT 1 FROM chunk WHERE chunk_no = :chunk_no AND epoch > :epoch"
    " AND seq BETWEEN first_seq AND last_seq)"
)
_FIND_LATE: Final = f"""
SELECT seq FROM recipient, json_each(:rows) AS j
WHERE seq = json_extract(j.value, '$[0]') AND at = json_extract(j.value, '$[1]') AND {_TAKEN_OVER}
"""
_SETTLE_LATE: Final = f"""
UPDATE recipient SET state = :state, code = :code, detail = :detail, rid = :rid, at = :at,
    extra = :extra, maybe_sent = 0 WHERE seq = :seq AND {_LATE[State.SENT].where}
"""
# They were final, and come once more: what the log said of them before names nobody (-1).
_UNLOG: Final = """
UPDATE commit_log SET final_seqs = (
    SELECT json_group_array(iif(value IN (SELECT value FROM json_each(:seqs)), -1, value))
    FROM json_each(commit_log.final_seqs))
WHERE EXISTS (SELECT 1 FROM json_each(commit_log.final_seqs)
              WHERE value IN (SELECT value FROM json_each(:seqs)))
"""


def _correct(tx: Transaction, lease: Lease, results: Sequence[SendResult]) -> None:
    """Whoever was taken for lost when the chunk was taken over, and has a result after all."""
    late = {
        result.seq: result
        for result in results
        if result.state in _LATE and result.intended_at is not None
    }
    rows = _encode([(seq, result.intended_at) for seq, result in late.items()]).decode()
    args = {"chunk_no": lease.chunk_no, "epoch": lease.epoch, "rows": rows}
    found = [seq for (seq,) in tx.db.execute(_FIND_LATE, args).fetchall()]
    if not found:
        return
    tx.flush()
    tx.db.execute(_UNLOG, {"seqs": _encode(found).decode()})
    for seq in found:
        result = late[seq]
        row = result._asdict()
        row["state"] = _NUMBERS[result.state]
        tx.db.execute(_SETTLE_LATE, row)
        tx.counts.move(State.UNKNOWN, INTERRUPTED.code, result.state, result.code)
        tx.happened(result.at)
    tx.final(found)


def _span(lease: Lease, results: Sequence[SendResult]) -> dict[str, Any]:
    """The lease, and the first and the last of its rows that are settled."""
    return {
        "chunk_no": lease.chunk_no,
        "epoch": lease.epoch,
        "low": min(results)[0],
        "high": max(results)[0],
    }
