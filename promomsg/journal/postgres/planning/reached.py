"""Whom a campaign has sent to, or may have."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import psycopg

from promomsg.errors import JournalError
from promomsg.journal.postgres.statements.transaction import statement
from promomsg.journal.records import NEVER, Reached
from promomsg.journal.state_sql import in_group_state, in_state
from promomsg.model import State
from promomsg.states import GROUP_REACHED_NOBODY, MAYBE_REACHED

__all__ = ["reached_pages"]

_PAGE: Final = 1_000

_LATE: Final = "coalesce({at}, %(since)s) >= %(since)s"
_OUT: Final = f"NOT {in_group_state(*GROUP_REACHED_NOBODY)} AND {_LATE.format(at='sent_at')}"
_MAYBE: Final = f"{in_state(*MAYBE_REACHED)} AND {_LATE.format(at='at')}"
_AUDIENCE: Final = (
    "SELECT 1 FROM group_send WHERE campaign = %(campaign)s AND audience IS NOT NULL"
    f" AND {_OUT} LIMIT 1"
)
_REACHED: Final = f"""
SELECT seq, key, id, openid, unionid FROM this.recipient
WHERE seq > %(after)s AND (
    {_MAYBE}
    OR {in_state(State.PENDING)} AND (
        %(pending)s OR maybe_sent OR group_no IN (
            SELECT group_no FROM group_send WHERE campaign = %(campaign)s AND {_OUT})
    )
    OR seq IN (SELECT seq FROM attempt_history
               WHERE campaign = %(campaign)s AND {_MAYBE})
)
ORDER BY seq LIMIT {_PAGE}
"""


def reached_pages(
    db: psycopg.Connection[tuple[Any, ...]],
    campaign: int,
    name: str,
    since: float = NEVER,
    *,
    pending: bool = False,
) -> Iterator[list[Reached]]:
    """Everybody who was sent to or may have been since then, in pages. `pending`: as `Journal.reached` has it.

    Raises:
        JournalError: an audience was sent to as one group: nobody names its members.
    """
    args: dict[str, Any] = {"campaign": campaign, "after": -1, "since": since, "pending": pending}
    if not pending and db.execute(statement(_AUDIENCE, campaign), args).fetchone() is not None:
        raise JournalError(
            f"{name}: it sent to an audience as one group, whose members it does not name: it cannot "
            "say whom it sent to"
        )
    while rows := db.execute(statement(_REACHED, campaign), args).fetchall():
        args["after"] = rows[-1][0]
        yield [Reached(*row[1:]) for row in rows]
