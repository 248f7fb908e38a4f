"""How many outcomes came in which stretch of time."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3

from promomsg.journal.sqlite.statements.reading import RowSource
from promomsg.journal.state_sql import in_state
from promomsg.journal.timeline import EMPTY, Timeline, step_between, stretches_of
from promomsg.states import FINAL

__all__ = ["timeline"]

_REACHED = f"at IS NOT NULL AND {in_state(*FINAL)}"


def timeline(db: sqlite3.Connection, *, most: int, source: RowSource) -> Timeline:
    """See `promomsg.journal.read_contract.Rows.timeline`: two scans of the recipients."""
    rows = f"(SELECT * FROM {source.rows}) WHERE {_REACHED}"
    first, last = db.execute(f"SELECT min(at), max(at) FROM {rows}", source.args).fetchone()
    if first is None:
        return EMPTY
    step = step_between(first, last, most)
    found = db.execute(
        f"SELECT CAST(at AS INTEGER) / :step, state, count(*) FROM {rows} GROUP BY 1, 2",
        {**source.args, "step": step},
    )
    return stretches_of(found, step)
