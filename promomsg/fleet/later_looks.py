"""Looks at campaigns on later days: for their clicks, and for group sends whose answer was lost. When each
is due stands in the campaign's row; whichever worker is there makes the look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.engine.following.later_answers import (
    LookDone,
    keep_due_clicks,
    look_for_lost_groups,
)
from promomsg.fleet.jobs import Wanted
from promomsg.fleet.task_context import TaskContext
from promomsg.journal.postgres.database import Connection
from promomsg.model import GROUP_CHANNELS
from promomsg.plural import counted

__all__ = ["CLICKS", "RECONCILE", "due_looks", "look"]

CLICKS: Final = "clicks"
RECONCILE: Final = "reconcile"

_LOOKS: Final[dict[str, Callable[..., Awaitable[LookDone]]]] = {
    CLICKS: keep_due_clicks,
    RECONCILE: look_for_lost_groups,
}
_MOST: Final = 200
"""Campaigns a sweep; the others are found by later ones."""

# One statement each, since each has an index of its own: campaigns that nobody looks at any more are in
# neither.
_DUE: Final = """
SELECT campaign FROM campaign
WHERE {kind}_at <= coalesce(%s, extract(epoch FROM clock_timestamp())) AND planned_at IS NOT NULL
ORDER BY {kind}_at LIMIT %s
"""
# Of channels without groups the provider says everything at once.
_NEVER: Final = b"""
UPDATE campaign SET clicks_at = NULL, reconcile_at = NULL
WHERE channel <> ALL(%s::text[]) AND (clicks_at = 0 OR reconcile_at = 0)
"""
# A look that is not finished is due at once again, and whoever has resumed the campaign meanwhile has it
# looked at anew: the moment at which a look began is nobody else's.
_BEGIN: Final = """
UPDATE campaign SET {kind}_at = extract(epoch FROM clock_timestamp())
WHERE campaign = %(campaign)s AND {kind}_at IS NOT NULL RETURNING {kind}_at
"""
_END: Final = """
UPDATE campaign SET {kind}_at = %(next_at)s
WHERE campaign = %(campaign)s AND {kind}_at = %(begun_at)s RETURNING campaign
"""


async def due_looks(db: Connection, workers: int, *, now: float | None = None) -> list[Wanted]:
    """The campaigns that are to be looked at; a rule of the sweep.

    Args:
        now: Unix seconds; None: the server's.
    """
    await db.execute(_NEVER, (list(GROUP_CHANNELS),))
    found: list[Wanted] = []
    for kind in _LOOKS:
        cursor = await db.execute(_DUE.format(kind=kind).encode(), (now, _MOST))
        found += [Wanted(task=kind, campaign=row[0]) for row in await cursor.fetchall()]
    return found


async def look(context: TaskContext, kind: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Makes one look at a campaign, and writes down when the next one is due.

    Args:
        kind: `CLICKS` or `RECONCILE`.
    """
    channel = await context.channel()
    begun = await context.rows(_BEGIN.format(kind=kind).encode())
    if not begun:
        return
    [(begun_at,)] = begun
    done = await _LOOKS[kind](context.journal, channel, clock=clock)
    if done.trouble:
        context.log(done.trouble)
    elif done.asked:
        context.log(f"{kind}: {counted(done.asked, 'answer')} kept")
    end = _END.format(kind=kind).encode()
    await context.rows(end, next_at=done.next_at, begun_at=begun_at)
