"""All campaigns of a database at a glance, by plain calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import psycopg

from promomsg.journal.postgres.database import ASK_AGAIN, connect_now, explain, place
from promomsg.journal.postgres.reader import PostgresView

__all__ = ["CampaignOverview", "connected", "overview"]

T = TypeVar("T")

_CAMPAIGNS: Final = b"""
SELECT campaign, journal, created_at, planned_at,
       coalesce(parked_until > extract(epoch FROM clock_timestamp()), false)
FROM campaign LEFT JOIN control USING (campaign) ORDER BY campaign
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
        found = [CampaignOverview(*row) for row in db.execute(_CAMPAIGNS).fetchall()]
        return [of(one, PostgresView(db, one.number, f"fleet:{one.name}")) for one in found]


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection for a block of plain calls, whose errors are the journal's."""
    db = connect_now(url)
    try:
        yield db
    except psycopg.Error as error:
        raise explain(error, place(url), ASK_AGAIN) from None
    finally:
        db.close()
