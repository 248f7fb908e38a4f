"""All campaigns of a database at a glance, by plain calls."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import psycopg

from promomsg.journal.postgres.database import ASK_AGAIN, connect_now, explain, place
from promomsg.journal.postgres.reader import PostgresView
from promomsg.journal.postgres.statements import group_rows, provider_answers
from promomsg.journal.postgres.statements.campaign_row import CONTROL, FIRST_FEW, RECORD
from promomsg.journal.postgres.statements.reading import (
    COUNTS,
    LAST_AT,
    SENDERS_AT_WORK,
    SENDING,
    STANDING,
)

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
_Rows: TypeAlias = dict[str, list[tuple[Any, ...]]]
"""Of one campaign, what each statement finds."""
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
_TOGETHER: Final = 100
"""Campaigns that are read together."""
_READ: Final = (
    RECORD, CONTROL, FIRST_FEW, COUNTS, LAST_AT, SENDERS_AT_WORK, group_rows.GROUPS,
    provider_answers.SENT_DAYS, provider_answers.CLICKS,
)  # fmt: skip
"""What is asked of each, besides `STANDING`."""
_ASKED: Final = "unnest(%(campaigns)s::bigint[]) AS asked (campaign)"
# Where every chunk is done nobody is intended: `STANDING` need not look for them among the recipients.
_AT_REST: Final = f"""
WITH open AS MATERIALIZED ({SENDING})
SELECT campaign, EXISTS (SELECT FROM open WHERE open.campaign = asked.campaign), 0::bigint
FROM {_ASKED}
WHERE NOT EXISTS (SELECT FROM chunk AS c WHERE c.campaign = asked.campaign AND NOT c.done)
""".encode()
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
        return _looked_at(db, _found(db, _CAMPAIGNS + b" ORDER BY campaign", {}), of)


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
    return _looked_at(db, found, of), number


def named(
    db: PlainConnection,
    names: Sequence[str],
    of: Callable[[CampaignOverview, PostgresView], T],
) -> list[T]:
    """The same of the campaigns of these names, as far as there are any."""
    asked = _CAMPAIGNS + b" WHERE journal = ANY(%(names)s)"
    return _looked_at(db, _found(db, asked, {"names": list(names)}), of)


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


def _looked_at(
    db: PlainConnection,
    found: Sequence[CampaignOverview],
    of: Callable[[CampaignOverview, PostgresView], T],
) -> list[T]:
    """What `of` makes of each; one that was removed meanwhile is left out."""
    looked_at = []
    for first in range(0, len(found), _TOGETHER):
        page = found[first : first + _TOGETHER]
        kept = _read_together(db, [one.number for one in page])
        for one in page:
            name, rows = f"fleet:{one.name}", kept.get(one.number)
            if rows is None:
                looked_at.append(of(one, PostgresView(db, one.number, name)))
            elif rows[RECORD]:
                looked_at.append(of(one, _ReadView(db, one.number, name, rows)))
    return looked_at


def _read_together(db: PlainConnection, campaigns: list[int]) -> dict[int, _Rows]:
    """By number, what is asked of campaigns of which nobody has anything to send, all of one moment. One that
    is still sent is looked at by itself."""
    asked = {"campaigns": campaigns}
    try:
        db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with db.transaction():
            read: dict[int, _Rows] = {
                row[0]: {STANDING: [row[1:]], **{text: [] for text in _READ}}
                for row in db.execute(_AT_REST, asked).fetchall()
            }
            asked = {"campaigns": list(read)}
            for text in _READ if read else ():
                for campaign, *row in db.execute(_of_several(text), asked).fetchall():
                    read[campaign][text].append(tuple(row))
    finally:
        db.isolation_level = None
    return read


def _of_several(text: str) -> bytes:
    """A statement about one campaign as one about several: each row has its campaign before it."""
    one = text.replace("%(campaign)s", "asked.campaign")
    return f"SELECT asked.campaign, one.* FROM {_ASKED} CROSS JOIN LATERAL ({one}) AS one".encode()


class _ReadView(PostgresView):
    """A campaign of which what a report says was read together with others."""

    def __init__(self, db: PlainConnection, campaign: int, name: str, read: _Rows) -> None:
        super().__init__(db, campaign, name)
        self._read = read

    def _rows(self, text: str, args: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        if args is None and text in self._read:
            return self._read[text]
        return super()._rows(text, args)

    @contextmanager
    def _one_moment(self) -> Iterator[None]:
        yield  # it is


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
