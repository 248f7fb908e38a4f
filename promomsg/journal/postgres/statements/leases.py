"""Leases in SQL: which chunk a sender has, and until when, by the server's clock.

`take` locks the chunk first. Whoever intends or settles holds a lock on it as well, until that is
committed: so all that the last holder was let in with has been committed when the lock is ours, and the
next statement, which sees what is committed by then, ends what is left of it. Whoever comes later
waits for the lock, and finds the epoch raised.
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from promomsg.journal.postgres.statements.group_calls import lose_group
from promomsg.journal.postgres.statements.group_rows import get_group
from promomsg.journal.postgres.statements.recovery import end_leftovers
from promomsg.journal.postgres.statements.transaction import CampaignReads, Transaction
from promomsg.journal.reasons import INTERRUPTED
from promomsg.journal.records import Lease
from promomsg.journal.state_sql import in_group_state, in_state, recipient_move
from promomsg.model import SingleSend, State
from promomsg.states import Event, GroupEvent, GroupState, group_transition

__all__ = ["end_now", "is_work_left", "release", "renew", "take"]

_INTEND: Final = recipient_move(Event.INTEND)
_CALLABLE_GROUPS: Final = group_transition(GroupEvent.INTEND).starts
_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"

_OF_SINGLES: Final = (
    "SELECT FROM this.recipient AS r WHERE r.campaign = c.campaign"
    " AND r.seq BETWEEN c.first_seq AND c.last_seq AND r.cohort = c.cohort AND r.group_no IS NULL AND {state}"
)
_OF_GROUP: Final = (
    "SELECT FROM group_send AS g WHERE g.campaign = c.campaign AND g.group_no = c.group_no"
    " AND {state}"
)

# A chunk that nobody holds, or whose lease has run out. SKIP LOCKED: what another takes at this very
# moment is not waited for.
_CLAIM: Final = f"""
WITH next AS MATERIALIZED (
    SELECT chunk_no FROM chunk AS c
    WHERE campaign = %(campaign)s AND NOT done AND (group_no IS NULL) = %(singles)s
      AND (deadline IS NULL OR deadline <= {_NOW}) {{{{open}}}}
    ORDER BY chunk_no LIMIT 1 FOR NO KEY UPDATE {{skip}}
)
UPDATE chunk AS c SET epoch = epoch + 1, deadline = {_NOW} + %(life)s, holder = %(worker)s
FROM next WHERE c.campaign = %(campaign)s AND c.chunk_no = next.chunk_no
RETURNING c.chunk_no, c.epoch, c.group_no, c.first_seq, c.last_seq, c.cohort, {_NOW}
"""
_CLAIM_FREE: Final = _CLAIM.format(skip="SKIP LOCKED")
_CLAIM_ANY: Final = _CLAIM.format(skip="")
_OPEN: Final = "AND cohort = ANY(%(cohorts)s::smallint[])"

_SINGLES: Final = f"""
SELECT seq, key, id, openid, unionid, message_values, request_id, attempts, maybe_sent, generation
FROM this.recipient WHERE campaign = %(campaign)s AND seq BETWEEN %(first)s AND %(last)s
  AND cohort = %(cohort)s AND {_INTEND.where} AND group_no IS NULL ORDER BY seq
"""
_DONE: Final = (
    "UPDATE chunk SET done = true, deadline = NULL"
    " WHERE campaign = %(campaign)s AND chunk_no = %(chunk_no)s"
)

# In order, as the commits of results lock them, so that neither waits for the other for ever.
_LEASES: Final = """
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(%(chunks)s::integer[], %(epochs)s::integer[]) AS a (chunk_no, epoch)
),
held AS MATERIALIZED (
    SELECT c.chunk_no FROM chunk AS c JOIN asked USING (chunk_no, epoch)
    WHERE c.campaign = %(campaign)s AND NOT c.done AND c.deadline IS NOT NULL
    ORDER BY c.chunk_no FOR NO KEY UPDATE OF c
)
UPDATE chunk AS c SET deadline = {deadline}
FROM held WHERE c.campaign = %(campaign)s AND c.chunk_no = held.chunk_no RETURNING c.chunk_no
"""
_RENEW: Final = _LEASES.format(deadline=f"{_NOW} + %(life)s")
_END: Final = _LEASES.format(deadline=_NOW)

_IS_WORK_LEFT: Final = (
    "SELECT EXISTS (SELECT FROM chunk WHERE campaign = %(campaign)s AND NOT done"
    " AND (group_no IS NULL) = ANY(%(singles)s::boolean[]) {open})"
)

_RELEASE: Final = (
    "UPDATE chunk AS c SET deadline = NULL, done = NOT EXISTS ({left})"
    " WHERE campaign = %(campaign)s AND chunk_no = %(chunk_no)s AND epoch = %(epoch)s AND NOT done"
    " AND NOT EXISTS ({out})"
)
_RELEASE_SINGLES: Final = _RELEASE.format(
    left=_OF_SINGLES.format(state=_INTEND.where),
    out=_OF_SINGLES.format(state=in_state(State.INTENDED)),
)
_RELEASE_GROUP: Final = _RELEASE.format(
    left=_OF_GROUP.format(state=in_group_state(*_CALLABLE_GROUPS)),
    out=_OF_GROUP.format(state=in_group_state(GroupState.INTENDED)),
)

_values = msgspec.json.Decoder(tuple[str, ...]).decode


class _Claimed(NamedTuple):
    """A chunk whose epoch was raised for us, at `at` by the server's clock."""

    chunk_no: int
    epoch: int
    group_no: int | None
    first_seq: int | None
    last_seq: int | None
    cohort: int
    at: float


async def take(
    tx: Transaction,
    groups: bool,
    singles: bool,
    idempotent: bool,
    life: float,
    cohorts: Sequence[int] | None = None,
) -> Lease | None:
    """The next chunk with work that nobody holds: groups first, then singles by cohort and in order
    of seq."""
    some = {"open": "" if cohorts is None else _OPEN}
    free, any_of_them = _CLAIM_FREE.format(**some), _CLAIM_ANY.format(**some)
    for wanted, of_singles in ((groups, False), (singles, True)):
        args = {"singles": of_singles, "life": life, "worker": tx.worker, **_cohorts(cohorts)}
        while wanted:
            # Nothing free: it may only have been locked for a moment, by the results of its holder.
            row = await tx.first(free, args) or await tx.first(any_of_them, args)
            if row is None:
                break
            lease = await _inherit(tx, _Claimed(*row), idempotent)
            if lease is not None:
                return lease
    return None


def _cohorts(cohorts: Sequence[int] | None) -> dict[str, list[int]]:
    return {} if cohorts is None else {"cohorts": list(cohorts)}


async def _inherit(tx: Transaction, claimed: _Claimed, idempotent: bool) -> Lease | None:
    """Ends what the last holder of a chunk left intended; None: nothing of it is to be sent."""
    single_sends: tuple[SingleSend, ...] = ()
    if claimed.group_no is None:
        span = (claimed.first_seq, claimed.last_seq, claimed.cohort)
        if claimed.epoch > 1:
            await end_leftovers(tx, *span, idempotent=idempotent)
        args = dict(zip(("first", "last", "cohort"), span, strict=True))
        single_sends = tuple(map(_single_send, await tx.rows(_SINGLES, args)))
        has_work = bool(single_sends)
    else:
        group = await get_group(tx, claimed.group_no)
        if group.state is GroupState.INTENDED:
            await lose_group(tx, group, INTERRUPTED, claimed.at)
        has_work = group.state in _CALLABLE_GROUPS
    if has_work:
        return Lease(
            claimed.chunk_no, claimed.epoch, claimed.group_no, single_sends, claimed.cohort
        )
    await tx.change(_DONE, {"chunk_no": claimed.chunk_no})
    return None


def _single_send(row: tuple[Any, ...]) -> SingleSend:
    seq, key, id, openid, unionid, values, request_id, attempts, maybe_sent, generation = row
    return SingleSend(
        seq=seq,
        key=key,
        id=id,
        openid=openid,
        unionid=unionid,
        values=_values(values) if values is not None else (),
        request_id=request_id,
        attempts=attempts,
        maybe_sent=maybe_sent,
        generation=generation,
    )


def _of(leases: Sequence[Lease]) -> dict[str, Any]:
    return {
        "chunks": [lease.chunk_no for lease in leases],
        "epochs": [lease.epoch for lease in leases],
    }


async def renew(tx: Transaction, leases: Sequence[Lease], life: float) -> frozenset[int]:
    """Those of the leases that are still held, for another `life` seconds from now."""
    if not leases:
        return frozenset()
    rows = await tx.rows(_RENEW, {**_of(leases), "life": life})
    return frozenset(chunk_no for (chunk_no,) in rows)


async def is_work_left(
    reads: CampaignReads, groups: bool, singles: bool, cohorts: Sequence[int] | None = None
) -> bool:
    """Whether chunks of these kinds are not done, whoever holds them."""
    kinds = [of_singles for of_singles in (False, True) if (singles if of_singles else groups)]
    text = _IS_WORK_LEFT.format(open="" if cohorts is None else _OPEN)
    (found,) = await reads.row(text, {"singles": kinds, **_cohorts(cohorts)})
    return bool(found)


async def end_now(tx: Transaction, leases: Sequence[Lease]) -> None:
    """Has leases run out at once: whoever takes them over ends what is left intended in them."""
    if leases:
        await tx.change(_END, _of(leases))


async def release(tx: Transaction, lease: Lease) -> bool:
    """Gives it back, unless something of it is intended; whether it was given back."""
    statement = _RELEASE_SINGLES if lease.group_no is None else _RELEASE_GROUP
    return bool(await tx.change(statement, {"chunk_no": lease.chunk_no, "epoch": lease.epoch}))
