"""People of a campaign on PostgreSQL by the page: the statement of one."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from typing import Any, Final

from promomsg.journal.people.asked_people import SEARCHED, AskedPeople
from promomsg.journal.postgres.statements.reading import outcomes_text
from promomsg.journal.state_sql import in_state

__all__ = ["people_asked"]

# By the collation "C", a search folds the letters a to z only, in every database.
_HAS_TEXT: Final = " OR ".join(f'p.{column} COLLATE "C" ILIKE %(pattern)s' for column in SEARCHED)


def people_asked(
    asked: AskedPeople, source: str, at: int, backwards: bool, limit: int
) -> tuple[str, dict[str, Any]]:
    """The statement of the next people behind a seq (or before it, the nearest first), in order of seq,
    and what it binds.

    Args:
        source: what rows are read from.
        limit: how many at the most.
    """
    where = f"p.seq {'<' if backwards else '>'} %(at)s"
    if asked.states is not None:
        where += f" AND {in_state(*asked.states, row='p')}"
    if asked.code is not None:
        where += " AND p.code = %(code)s"
    if asked.pattern is not None:
        where += f" AND ({_HAS_TEXT})"
    order = "DESC" if backwards else "ASC"
    return (
        outcomes_text(
            f"(SELECT * FROM {source} AS p WHERE {where} ORDER BY p.seq {order} LIMIT %(limit)s)"
        ),
        {"at": at, "limit": limit, "code": asked.code, "pattern": asked.pattern},
    )
