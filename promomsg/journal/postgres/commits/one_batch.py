"""One batch by itself, row by row: after the statement of its commit was undone, or its lease moved on."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from promomsg.journal.counts import STATES
from promomsg.journal.postgres.commits.batches import RESULTS, Intent, Settlement, storable
from promomsg.journal.postgres.commits.commit_statement import (
    array,
    commit_arguments,
    commit_text,
)
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.reasons import INTERRUPTED
from promomsg.journal.records import Control, Lease
from promomsg.journal.state_sql import number, recipient_move
from promomsg.model import State
from promomsg.states import Event, IllegalMove

__all__ = ["correct_late", "intend_one", "settle_one"]

_encode = msgspec.json.Encoder().encode

_GONE: Final = frozenset(
    number(recipient_move(event, State.PENDING).end)
    for event in (Event.MESSAGE_REFUSED, Event.UNKNOWN, Event.CANCEL)
)
"""What a row that was pending when it was taken can have become since, without being sent."""
_PENDING: Final = number(State.PENDING)
_INTENDED: Final = number(State.INTENDED)

_LOCK_LEASE: Final = """
SELECT epoch = %(epoch)s, coalesce(deadline > extract(epoch FROM clock_timestamp()), false),
       (SELECT requested FROM control WHERE campaign = %(campaign)s)
FROM chunk WHERE campaign = %(campaign)s AND chunk_no = %(chunk_no)s FOR SHARE
"""
_LOOK: Final = """
SELECT r.seq, r.state, r.at FROM this.recipient AS r, chunk AS c
WHERE r.campaign = %(campaign)s AND c.campaign = %(campaign)s AND c.chunk_no = %(chunk_no)s
  AND r.seq BETWEEN c.first_seq AND c.last_seq AND r.seq = ANY(%(seqs)s::bigint[])
  AND r.group_no IS NULL
ORDER BY r.seq FOR NO KEY UPDATE OF r
"""


async def _look(tx: Transaction, lease: Lease, seqs: Iterable[int]) -> dict[int, tuple[int, Any]]:
    args = {"chunk_no": lease.chunk_no, "seqs": array(seqs)}
    return {seq: (state, at) for seq, state, at in await tx.rows(_LOOK, args)}


async def _lock(tx: Transaction, lease: Lease) -> tuple[bool, bool, bool]:
    """(held, alive, running)"""
    args = {"chunk_no": lease.chunk_no, "epoch": lease.epoch}
    row = await tx.first(_LOCK_LEASE, args)
    if row is None:
        return False, False, False
    return row[0], row[1], row[2] == Control.RUN.value


async def _commit(tx: Transaction, intents: list[Intent], settlements: list[Settlement]) -> None:
    sent = any(settlement.sent for settlement in settlements)
    others = any(settlement.others for settlement in settlements)
    text = commit_text(bool(intents), sent, others)
    await tx.rows(text, commit_arguments(intents, settlements, tx.worker))


async def intend_one(tx: Transaction, intent: Intent) -> bool:
    """See `Handle.intend`."""
    lease, seqs = intent.lease, intent.seqs
    held, alive, running = await _lock(tx, lease)
    if not held:
        return False
    found = await _look(tx, lease, seqs)
    left = [seq for seq in seqs if found.get(seq) != (_INTENDED, intent.at)]
    if seqs and not left:
        return True
    if not (alive and running):
        return False
    states = [found.get(seq, (-1, None))[0] for seq in left]
    if any(state not in _GONE and state != _PENDING for state in states):
        raise IllegalMove(
            f"chunk {lease.chunk_no}: not all of {len(seqs)} recipients can take intend: they are no "
            "pending singles of this chunk"
        )
    if any(state in _GONE for state in states):
        return False
    if len(set(seqs)) != len(seqs):
        raise IllegalMove(f"chunk {lease.chunk_no}: a recipient is named twice")
    if left:
        await _commit(tx, [intent._replace(seqs=left)], [])
    return True


async def settle_one(tx: Transaction, settlement: Settlement) -> bool:
    """See `Handle.settle`; what comes late is `correct_late`'s."""
    lease, results = settlement.lease, settlement.results
    held, _, _ = await _lock(tx, lease)
    if not held:
        return False
    found = await _look(tx, lease, [result.seq for result in results])
    left = []
    for result in results:
        state, at = found.pop(result.seq, (-1, None))
        if state == _INTENDED:
            left.append(result)
        elif (state, at) != (RESULTS[result.state], result.at):
            raise IllegalMove(
                f"chunk {lease.chunk_no}: recipient {result.seq} cannot be settled: it is not "
                "intended, or not of this chunk"
            )
    if left:
        await _commit(tx, [], [Settlement.of(lease, left)])
    return True


_LATE: Final = {
    move.end.value: move
    for move in (recipient_move(Event.SENT_AFTER_ALL), recipient_move(Event.FAILED_AFTER_ALL))
}
_IS_LOST: Final = _LATE[State.SENT].where
# They were final, and come once more: what the log said of them before names nobody (-1).
_UNLOG: Final = """
UPDATE commit_log SET final_seqs = ARRAY(
    SELECT CASE WHEN seq = ANY(%(seqs)s::bigint[]) THEN -1 ELSE seq END
    FROM unnest(final_seqs) WITH ORDINALITY AS f (seq, place) ORDER BY place)
WHERE campaign = %(campaign)s AND final_seqs && %(seqs)s::bigint[]
"""
_CORRECT: Final = f"""
UPDATE this.recipient AS r
SET state = w.state, code = w.code, detail = w.detail, rid = w.rid, at = w.at, extra = w.extra,
    maybe_sent = false
FROM json_to_recordset(%(late)s::json) AS w (
    seq bigint, state smallint, code text, detail text, rid text, at float8, extra text,
    intended_at float8
), chunk AS c
WHERE r.campaign = %(campaign)s AND r.seq = w.seq AND r.{_IS_LOST} AND r.at = w.intended_at
  AND r.code = '{INTERRUPTED.code}' AND r.group_no IS NULL
  AND c.campaign = %(campaign)s AND c.chunk_no = %(chunk_no)s AND c.epoch > %(epoch)s
  AND r.seq BETWEEN c.first_seq AND c.last_seq
RETURNING r.seq, r.state, r.code
"""
_LATE_NAMES: Final = ("code", "detail", "rid", "extra")


async def correct_late(tx: Transaction, settlement: Settlement) -> None:
    """Whoever was taken for lost when the chunk was taken over, and has a result after all."""
    late: list[dict[str, Any]] = [
        {
            "seq": result.seq,
            "state": RESULTS[result.state],
            "at": result.at,
            "intended_at": result.intended_at,
            **{name: storable(getattr(result, name)) for name in _LATE_NAMES},
        }
        for result in settlement.results
        if result.state in _LATE and result.intended_at is not None
    ]
    if not late:
        return
    lease = settlement.lease
    args = {"late": _encode(late).decode(), "chunk_no": lease.chunk_no, "epoch": lease.epoch}
    corrected = {seq: (state, code) for seq, state, code in await tx.rows(_CORRECT, args)}
    if not corrected:
        return
    await tx.change(_UNLOG, {"seqs": array(corrected)})
    for state, code in corrected.values():
        tx.counts.move(State.UNKNOWN, INTERRUPTED.code, STATES[state], code)
    tx.happened(max(result.at for result in settlement.results))
    tx.final([row["seq"] for row in late if row["seq"] in corrected])
