"""The end of planning: singles are cut into chunks that are leased, and the plan is complete."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from typing import Final

from promomsg.journal.planned_columns import AddedRows
from promomsg.journal.records import CampaignRecord
from promomsg.journal.sqlite.planning.planned_groups import index_cohorts
from promomsg.journal.sqlite.planning.planned_rows import forget_guesses
from promomsg.journal.sqlite.schema import INDEXES
from promomsg.journal.sqlite.statements.campaign_row import save_record
from promomsg.journal.state_sql import group_move, in_state
from promomsg.model import State
from promomsg.states import GroupEvent

__all__ = ["cut_chunks", "seal"]

_UNSETTLED: Final = in_state(State.PENDING, State.INTENDED)
_PLANNED_GROUP: Final = group_move(GroupEvent.INTEND).where


def cut_chunks(
    db: sqlite3.Connection,
    chunk_size: int,
    singles: range | None = None,
    *,
    has_cohorts: bool = False,
) -> None:
    """Cuts every single that is not settled into new chunks, and gives each new group its own.

    Args:
        singles: the singles, by number, where that is known without a look at them.
        has_cohorts: they are in several cohorts.

    Chunks are ranges of seq, so no row is touched. Old numbers are not used again: a lease on one
    of them must never fit a new chunk.
    """
    (last,) = db.execute("SELECT coalesce(max(chunk_no), 0) FROM chunk").fetchone()
    db.execute("DELETE FROM chunk WHERE group_no IS NULL AND chunk_no < ?", (last,))
    db.execute(
        "UPDATE chunk SET done = 1, first_seq = NULL, deadline = NULL, epoch = epoch + 1"
        " WHERE group_no IS NULL"
    )
    db.execute(
        "INSERT INTO chunk (group_no, cohort) SELECT group_no, cohort FROM group_send"
        f" WHERE {_PLANNED_GROUP}"
        " AND group_no NOT IN (SELECT group_no FROM chunk WHERE group_no IS NOT NULL) ORDER BY group_no"
    )
    if singles is None:
        _cut_by_looking(db, chunk_size, f"{_UNSETTLED} AND group_no IS NULL")
    elif singles and has_cohorts:
        # The index alone is looked at. Rows outside of these are none: they are final already.
        _cut_by_looking(db, chunk_size, f"seq <= {singles[-1]:d}", singles[0])
    else:
        parts = (singles[at : at + chunk_size] for at in range(0, len(singles), chunk_size))
        db.executemany(
            "INSERT INTO chunk (first_seq, last_seq) VALUES (?, ?)",
            ((some[0], some[-1]) for some in parts),
        )
    if db.execute("SELECT 1 FROM group_send LIMIT 1").fetchone() is not None:
        db.execute(f"CREATE INDEX IF NOT EXISTS recipient_group_no {INDEXES['recipient_group_no']}")
    db.execute("UPDATE campaign SET chunk_size = ?, needs_chunks = 0", (chunk_size,))


def _cut_by_looking(
    db: sqlite3.Connection, chunk_size: int, singles: str, first_seq: int = 0
) -> None:
    """Cuts the singles from `first_seq` on, each cohort by itself.

    `singles` must say nothing of where they begin: of two such bounds SQLite takes either, and with
    the wrong one it goes through all rows for each chunk.
    """
    index_cohorts(db)
    (last,) = db.execute("SELECT max(cohort) FROM recipient").fetchone()
    for cohort in range((last or 0) + 1):
        _cut_cohort(db, chunk_size, cohort, singles, first_seq - 1)


def _cut_cohort(
    db: sqlite3.Connection, chunk_size: int, cohort: int, singles: str, after: int
) -> None:
    where = f"cohort = {int(cohort)} AND {singles} AND seq > ?"
    while True:
        first = db.execute(
            f"SELECT seq FROM recipient WHERE {where} ORDER BY seq LIMIT 1", (after,)
        ).fetchone()
        if first is None:
            break
        (end,) = db.execute(
            f"SELECT max(seq) FROM (SELECT seq FROM recipient WHERE {where} ORDER BY seq LIMIT ?)",
            (after, chunk_size),
        ).fetchone()
        db.execute(
            "INSERT INTO chunk (first_seq, last_seq, cohort) VALUES (?, ?, ?)",
            (first[0], end, cohort),
        )
        after = end


def seal(db: sqlite3.Connection, record: CampaignRecord, chunk_size: int, added: AddedRows) -> None:
    """Completes the plan in the file; making it durable is the caller's."""
    forget_guesses(db, added)
    db.execute("DROP INDEX IF EXISTS by_openid")
    db.execute("DROP INDEX IF EXISTS by_unionid")
    db.execute(f"CREATE INDEX recipient_unsent {INDEXES['recipient_unsent']}")
    save_record(db, record)
    db.execute("UPDATE campaign SET sender_open = 1")
    singles = added.every
    if singles is not None and added.groups:
        # A group's people are no singles; of some groups and some singles, which is which is asked.
        singles = range(0) if added.in_groups == added.count else None
    cut_chunks(db, chunk_size, singles, has_cohorts=added.cohorts)
