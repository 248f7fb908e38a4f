"""People of a campaign on PostgreSQL by the page: the statement of one."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from itertools import count
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from promomsg.journal.people.asked_people import SEARCHED, AskedPeople
from promomsg.journal.postgres.statements.reading import outcomes_text
from promomsg.journal.state_sql import in_state

__all__ = ["people_asked"]

# By the collation "C" the letters a to z are folded and no others, in every database. All columns as one
# text, in which a character that is not searched for stands between them: 0.6 of what a look at each takes.
_HAS_TEXT: Final = (
    f'lower(concat_ws(%(between)s, {", ".join(f"p.{column}" for column in SEARCHED)}) COLLATE "C")'
    " LIKE %(pattern)s"
)
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)


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
        where += f" AND {_HAS_TEXT}"
    pattern = asked.pattern or ""
    order = "DESC" if backwards else "ASC"
    return (
        outcomes_text(
            f"(SELECT * FROM {source} AS p WHERE {where} ORDER BY p.seq {order} LIMIT %(limit)s)"
        ),
        {
            "at": at,
            "limit": limit,
            "code": asked.code,
            "pattern": pattern.translate(_LOWER),
            "between": next(sign for sign in map(chr, count(1)) if sign not in pattern),
        },
    )
