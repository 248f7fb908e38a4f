"""People of a SQLite journal by the page: one page is many short reads, so that a sender's checkpoint
does not wait for a search that looks at everybody."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from typing import Any, Final

from promomsg.journal.people.asked_people import SEARCHED, AskedPeople, page_of
from promomsg.journal.people.people_contract import PeoplePage
from promomsg.journal.sqlite.readers.reader import Reader
from promomsg.journal.sqlite.statements.reading import AS_JSON, RowSource, numbered
from promomsg.journal.state_sql import in_state
from promomsg.model import Outcome

__all__ = ["people_page"]

_STEP: Final = 50_000
"""Numbers that one read looks at: some hundredths of a second."""

_HAS_TEXT: Final = " OR ".join(f"{column} LIKE :pattern ESCAPE '\\'" for column in SEARCHED)

_NEXT: Final = "SELECT min(seq) FROM recipient WHERE seq > ?"
_PREVIOUS: Final = "SELECT max(seq) FROM recipient WHERE seq < ?"


def people_page(reader: Reader, asked: AskedPeople, source: RowSource) -> PeoplePage:
    """See `PeopleView.people`; `source`: what rows are read from."""
    where = ""
    if asked.states is not None:
        where += f" AND {in_state(*asked.states)}"
    if asked.code is not None:
        where += " AND code = :code"
    if asked.pattern is not None:
        where += f" AND ({_HAS_TEXT})"
    args = {**source.args, "code": asked.code, "pattern": asked.pattern}

    def find(at: int, backwards: bool, limit: int) -> list[tuple[int, Outcome]]:
        text = (
            f"SELECT {AS_JSON} FROM (SELECT * FROM {source.rows} WHERE seq BETWEEN :first AND :last"
            f"{where} ORDER BY seq {'DESC' if backwards else 'ASC'} LIMIT :limit) AS r"
        )

        def step(db: sqlite3.Connection) -> tuple[int, list[tuple[int, Outcome]]] | None:
            (nearest,) = db.execute(_PREVIOUS if backwards else _NEXT, (at,)).fetchone()
            if nearest is None:
                return None
            end = nearest - _STEP + 1 if backwards else nearest + _STEP - 1
            first, last = sorted((nearest, end))
            bound: dict[str, Any] = {"first": first, "last": last, "limit": limit - len(found)}
            (rows,) = db.execute(text, {**args, **bound}).fetchone()
            return end, numbered(db, rows)

        found: list[tuple[int, Outcome]] = []
        while len(found) < limit and (some := reader.read(step)) is not None:
            at = some[0]
            found += some[1]
        return found

    return page_of(asked, find)
