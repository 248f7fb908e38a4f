"""All campaigns of a database at a glance, by plain calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import psycopg

from promomsg.journal.postgres.database import ASK_AGAIN, connect_now, explain, place
from promomsg.journal.postgres.reader import PostgresView

__all__ = [
    "CampaignOverview",
    "PlainConnection",
    "connected",
    "named",
    "newest",
    "overview",
    "sizes",
    "sizes_of",
]

T = TypeVar("T")
PlainConnection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
"""One for plain calls, which only reads."""

_CAMPAIGNS: Final = b"""
SELECT campaign, journal, created_at, planned_at,
       coalesce(parked_until > extract(epoch FROM clock_timestamp()), false)
FROM campaign LEFT JOIN control USING (campaign)
"""
_NEWEST: Final = (
    _CAMPAIGNS
    + b"""
WHERE %(at)s::float8 IS NULL OR (created_at, journal) < (%(at)s, %(name)s)
ORDER BY created_at DESC, journal DESC LIMIT %(most)s
"""
)
_COUNT: Final = b"SELECT count(*) FROM campaign"
_SIZES: Final = b"""
SELECT journal, coalesce(pg_total_relation_size(to_regclass('recipient_' || campaign)), 0)
                + coalesce(pg_total_relation_size(to_regclass('user_token_' || campaign)), 0)
FROM campaign
"""


class CampaignOverview(NamedTuple):
    """A campaign of the database.

    Attributes:
        number, name: its number, and its name there.
        created_at: as its record has it.
        planned_at: when its plan was complete; None: it is not.
        is_parked: nobody sends it before the next China-time day, its start or its hours.
    """

    number: int
    name: str
    created_at: float
    planned_at: float | None
    is_parked: bool


def overview(url: str, of: Callable[[CampaignOverview, PostgresView], T]) -> list[T]:
    """What `of` makes of each campaign, from the first planned to the last. The view is of all that
    is there of it, and open for that call only.

    Raises:
        JournalError: the database cannot be reached, or its tables are not ours.
    """
    with connected(url) as db:
        return [
            of(one, _view(db, one)) for one in _found(db, _CAMPAIGNS + b" ORDER BY campaign", {})
        ]


def newest(
    db: PlainConnection,
    before: tuple[float, str] | None,
    most: int,
    of: Callable[[CampaignOverview, PostgresView], T],
) -> tuple[list[T], int]:
    """The same of the newest ones, the newest first, and how many there are of all.

    Args:
        before: Unix seconds and name of a campaign: those begun before it; None: from the newest on.
        most: how many.
    """
    at, name = before or (None, None)
    found = _found(db, _NEWEST, {"at": at, "name": name, "most": most})
    [[number]] = db.execute(_COUNT).fetchall()
    return [of(one, _view(db, one)) for one in found], number


def named(
    db: PlainConnection,
    names: Sequence[str],
    of: Callable[[CampaignOverview, PostgresView], T],
) -> list[T]:
    """The same of the campaigns of these names, as far as there are any."""
    asked = _CAMPAIGNS + b" WHERE journal = ANY(%(names)s)"
    return [of(one, _view(db, one)) for one in _found(db, asked, {"names": list(names)})]


def sizes(url: str) -> dict[str, int]:
    """The bytes that each campaign's recipients take in the database, by its name; what it has in tables of
    all campaigns is little beside it.

    Raises:
        JournalError: as `overview`.
    """
    with connected(url) as db:
        return dict(db.execute(_SIZES).fetchall())


def sizes_of(db: PlainConnection, names: Sequence[str]) -> dict[str, int]:
    """The same of the campaigns of these names."""
    asked = _SIZES + b"WHERE journal = ANY(%(names)s)"
    return dict(db.execute(asked, {"names": list(names)}).fetchall())


def _found(db: PlainConnection, statement: bytes, values: dict[str, Any]) -> list[CampaignOverview]:
    return [CampaignOverview(*row) for row in db.execute(statement, values).fetchall()]


def _view(db: PlainConnection, one: CampaignOverview) -> PostgresView:
    return PostgresView(db, one.number, f"fleet:{one.name}")


@contextmanager
def connected(url: str) -> Iterator[PlainConnection]:
    """A connection for a block of plain calls, whose errors are the journal's."""
    db = connect_now(url)
    try:
        yield db
    except psycopg.Error as error:
        raise explain(error, place(url), ASK_AGAIN) from None
    finally:
        db.close()
