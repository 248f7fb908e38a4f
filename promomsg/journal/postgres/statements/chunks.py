"""Chunks: the pending singles cut into ranges that are leased, and each group by itself."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Final

from promomsg.errors import JournalError
from promomsg.journal.postgres.schema import INDEXES
from promomsg.journal.postgres.statements.transaction import Transaction
from promomsg.journal.state_sql import group_move, in_state, recipient_move
from promomsg.model import State
from promomsg.states import Event, GroupEvent

__all__ = ["cut_chunks", "make_index", "refuse_intended"]

_UNSETTLED: Final = in_state(State.PENDING, State.INTENDED)
_PLANNED_GROUP: Final = group_move(GroupEvent.INTEND).where
_LOSE: Final = recipient_move(Event.UNKNOWN, State.INTENDED)

# No intent can come in between: it locks its chunk too.
_LOCK_ALL: Final = (
    "SELECT chunk_no FROM chunk WHERE campaign = %(campaign)s AND NOT done"
    " ORDER BY chunk_no FOR NO KEY UPDATE"
)
_OUT: Final = f"""
SELECT 1 FROM chunk WHERE campaign = %(campaign)s AND NOT done AND epoch > 0 AND group_no IS NULL
AND EXISTS (SELECT 1 FROM this.recipient AS r
            WHERE seq BETWEEN first_seq AND last_seq AND r.cohort = chunk.cohort AND {_LOSE.where})
LIMIT 1
"""
_DROP: Final = (
    "DELETE FROM chunk WHERE campaign = %(campaign)s AND group_no IS NULL AND chunk_no < %(last)s"
)
_CLOSE: Final = (
    "UPDATE chunk SET done = true, first_seq = NULL, last_seq = NULL, deadline = NULL,"
    " epoch = epoch + 1 WHERE campaign = %(campaign)s AND group_no IS NULL"
)
_GROUPS: Final = f"""
INSERT INTO chunk (campaign, chunk_no, group_no, cohort)
SELECT %(campaign)s, %(last)s + row_number() OVER (ORDER BY group_no), group_no, cohort
FROM group_send
WHERE campaign = %(campaign)s AND {_PLANNED_GROUP} AND group_no NOT IN (
    SELECT group_no FROM chunk WHERE campaign = %(campaign)s AND group_no IS NOT NULL)
"""
_SINGLES: Final = f"""
INSERT INTO chunk (campaign, chunk_no, first_seq, last_seq)
SELECT %(campaign)s, %(last)s + 1 + part, min(seq), max(seq) FROM (
    SELECT seq, (row_number() OVER (ORDER BY seq) - 1) / %(size)s AS part
    FROM this.recipient WHERE {_UNSETTLED} AND group_no IS NULL
) AS numbered GROUP BY part
"""
_SINGLES_OF_COHORTS: Final = f"""
INSERT INTO chunk (campaign, chunk_no, cohort, first_seq, last_seq)
SELECT %(campaign)s, %(last)s + row_number() OVER (ORDER BY cohort, part), cohort, min(seq), max(seq)
FROM (
    SELECT seq, cohort,
           (row_number() OVER (PARTITION BY cohort ORDER BY seq) - 1) / %(size)s AS part
    FROM this.recipient WHERE {_UNSETTLED} AND group_no IS NULL
) AS numbered GROUP BY cohort, part
"""
_HAS_COHORTS: Final = "SELECT EXISTS (SELECT FROM this.recipient WHERE cohort <> 0)"


async def refuse_intended(tx: Transaction) -> None:
    """Raises JournalError while singles are intended: new chunks would leave them, and their results,
    without a lease. None is intended any more before this transaction ends."""
    await tx.rows(_LOCK_ALL)
    if await tx.first(_OUT) is not None:
        raise JournalError("single sends are out: settle or recover them, then retry")


async def make_index(tx: Transaction, name: str) -> None:
    """Makes one of `schema.INDEXES`, unless it is there."""
    await tx.change(
        f"CREATE INDEX IF NOT EXISTS recipient_{tx.campaign}_{name} ON this.recipient {INDEXES[name]}"
    )


async def cut_chunks(tx: Transaction, chunk_size: int, *, has_cohorts: bool | None = None) -> None:
    """Cuts every single that is not settled into new chunks, and gives each new group its own.

    Args:
        has_cohorts: whether there are other cohorts than 0; None: the rows are asked.

    Chunks are ranges of seq within a cohort, so no row is touched. Old numbers are not used again: a lease on one
    of them must never fit a new chunk.
    """
    last = await _last_chunk(tx)
    await tx.change(_DROP, {"last": last})
    await tx.change(_CLOSE)
    groups = await tx.change(_GROUPS, {"last": last})
    if has_cohorts is None:
        (has_cohorts,) = await tx.row(_HAS_COHORTS)
    if has_cohorts:
        await make_index(tx, "cohort")
    singles = _SINGLES_OF_COHORTS if has_cohorts else _SINGLES
    await tx.change(singles, {"last": last + groups, "size": chunk_size})
    if await tx.first("SELECT 1 FROM group_send WHERE campaign = %(campaign)s LIMIT 1") is not None:
        await make_index(tx, "group_no")
    await tx.change(
        "UPDATE campaign SET chunk_size = %(size)s, needs_chunks = false"
        " WHERE campaign = %(campaign)s",
        {"size": chunk_size},
    )


async def _last_chunk(tx: Transaction) -> int:
    (last,) = await tx.row(
        "SELECT coalesce(max(chunk_no), 0) FROM chunk WHERE campaign = %(campaign)s"
    )
    return int(last)
