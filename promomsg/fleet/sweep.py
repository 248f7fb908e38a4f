"""What is to be done, read from the campaigns themselves: it makes whatever job is missing.

A job may be lost, and nobody tells a worker of a lease that has run out: so every worker looks again
and again, one at a time, and the look is cheap: campaigns of which nothing is left to do are in none of the
indexes it reads.
"""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final, NamedTuple

import msgspec
import psycopg

from promomsg.fleet.jobs import SHIFT, Job, Wanted
from promomsg.fleet.later_looks import due_looks
from promomsg.fleet.open_chunks import open_chunks, over_campaigns
from promomsg.fleet.placing import place_jobs
from promomsg.fleet.queue import enqueue, queued, tidy_queue
from promomsg.fleet.task_context import IT_GOES_ON
from promomsg.fleet.worker_table import read_workers, remove_gone
from promomsg.journal.counts import STATE_NUMBERS
from promomsg.journal.postgres.database import Connection, explain
from promomsg.journal.records import Control
from promomsg.model import State

__all__ = ["RULES", "FollowedGroups", "Rule", "UnsentCampaign", "polls_of", "sweep", "work_of"]

log = logging.getLogger("promomsg.fleet")

Rule = Callable[[Connection, int], Awaitable[Sequence[Wanted]]]
"""What campaigns have to be done, as a connection finds it, for so many workers. It is asked every few
seconds, and reads no campaign of which nothing is left to do."""

_LOCK: Final = 0x50524F4E
"""Advisory lock of whoever sweeps."""
_GONE_FOR: Final = 86_400.0
"""Seconds for which a worker that was killed stays in the table, for people to see."""

_PENDING: Final = STATE_NUMBERS[State.PENDING.value]
_NOW: Final = "extract(epoch FROM clock_timestamp())"
# One step through the index for each campaign that is in it.
_EACH: Final = """
WITH RECURSIVE found (campaign) AS (
    (SELECT campaign FROM {table} WHERE {where} ORDER BY campaign LIMIT 1)
    UNION ALL
    SELECT (SELECT t.campaign FROM {table} AS t
            WHERE {where} AND t.campaign > found.campaign ORDER BY t.campaign LIMIT 1)
    FROM found WHERE found.campaign IS NOT NULL
)
"""
_OPEN: Final = f"""
{_EACH.format(table="chunk", where="NOT done")}
SELECT campaign, requested, halted IS NOT NULL, coalesce(parked_until > {_NOW}, false),
       (SELECT count(*) FROM (
           SELECT FROM chunk AS c WHERE c.campaign = found.campaign AND NOT c.done
           AND (c.deadline IS NULL OR c.deadline <= {_NOW}) LIMIT %s) AS free),
       EXISTS (SELECT FROM tally AS t WHERE t.campaign = found.campaign AND t.state = {_PENDING}
               GROUP BY t.campaign HAVING sum(t.recipients) > 0)
FROM found JOIN campaign USING (campaign) JOIN control USING (campaign)
WHERE planned_at IS NOT NULL
""".encode()
# Of a campaign without anybody pending, who was killed right after the last results: nobody would look
# into them any more. One statement sees a retry's new chunks and whom it reopened, or neither.
_CLOSE: Final = f"""
UPDATE chunk AS c SET done = true, deadline = NULL
WHERE campaign = ANY(%s::bigint[]) AND NOT done AND (deadline IS NULL OR deadline <= {_NOW})
  AND 0 >= (SELECT coalesce(sum(t.recipients), 0) FROM tally AS t
            WHERE t.campaign = c.campaign AND t.state = {_PENDING})
""".encode()
_FOLLOWED: Final = f"""
{_EACH.format(table="group_send", where="state = 'accepted'")}
SELECT campaign, halted IS NOT NULL,
       (SELECT min(g.next_poll_at) FROM group_send AS g WHERE g.campaign = found.campaign
        AND g.state = 'accepted') <= {_NOW}
FROM found JOIN campaign USING (campaign)
""".encode()


class UnsentCampaign(NamedTuple):
    """A campaign of which chunks are not done.

    Attributes:
        campaign: its number.
        requested: what the user asks for, as `Control` has it.
        halted: a sender has stopped it for all.
        parked: nobody sends for now.
        free: chunks that nobody holds; no more are counted than there are workers.
        pending: somebody is.
    """

    campaign: int
    requested: str
    halted: bool
    parked: bool
    free: int
    pending: bool

    @property
    def stands_still(self) -> bool:
        """Whether it is paused, or waits for a day, so that nobody sends it; a halted one is a person's."""
        return not self.halted and (self.parked or self.requested == Control.PAUSE)


class FollowedGroups(NamedTuple):
    """A campaign whose group sends are followed; `due`: one is to be looked at now."""

    campaign: int
    halted: bool
    due: bool


def work_of(found: UnsentCampaign, *, is_over: bool = False) -> Wanted | None:
    """What is to be done for a campaign that is not sent to its end; None: nothing for now.

    Args:
        is_over: `finish_by` has come to one that stands still: whoever takes it cancels who is left.
    """
    if not found.free or not found.pending:
        return None
    if found.requested == Control.CANCEL:
        return Wanted(task="finish", campaign=found.campaign)
    if found.stands_still:
        return Wanted(task=SHIFT, campaign=found.campaign) if is_over else None
    if found.requested != Control.RUN or found.halted:
        return None
    return Wanted(task=SHIFT, campaign=found.campaign, workers=found.free)


def polls_of(found: FollowedGroups) -> Wanted | None:
    """The same for one whose groups are followed."""
    if found.halted or not found.due:
        return None
    return Wanted(task="poll", campaign=found.campaign)


async def _open_campaigns(db: Connection, workers: int) -> list[Wanted]:
    rows = await (await db.execute(_OPEN, (workers,))).fetchall()
    found = [UnsentCampaign(*row) for row in rows]
    done = [one.campaign for one in found if one.free and not one.pending]
    if done:
        await db.execute(_CLOSE, (done,))
    over = await over_campaigns(db, [one.campaign for one in found if one.stands_still])
    wanted = [
        work for one in found if (work := work_of(one, is_over=one.campaign in over)) is not None
    ]
    shifts = [work.campaign for work in wanted if work.task == SHIFT]
    may_be_sent = await open_chunks(db, shifts)
    return [
        msgspec.structs.replace(work, workers=free)
        for work in wanted
        if (free := min(may_be_sent.get(work.campaign, work.workers), work.workers))
    ]


async def _followed_groups(db: Connection, workers: int) -> list[Wanted]:
    rows = await (await db.execute(_FOLLOWED)).fetchall()
    return [work for row in rows if (work := polls_of(FollowedGroups(*row))) is not None]


RULES: Final[tuple[Rule, ...]] = (_open_campaigns, _followed_groups, due_looks)


async def sweep(
    db: Connection, *, by: str = "", without_account: Sequence[str] = (), rng: Random
) -> list[Job]:
    """Queues the jobs that are missing, for the workers that take work; another sweep at this moment
    leaves nothing to do.

    Args:
        by: the name of the worker whose sweep it is: it is there, however long ago it said so, since a
            slow server may take long to come so far.
        without_account: as `place_jobs` has it.
        rng: shares out turns, and guards nothing.

    Returns:
        What was queued.
    """
    async with db.transaction():
        row = await (
            await db.execute(f"SELECT pg_try_advisory_xact_lock({_LOCK})".encode())
        ).fetchone()
        if row is None or not row[0]:
            return []
        await remove_gone(db, _GONE_FOR)
        workers = [
            worker
            for worker in await read_workers(db)
            if not worker.draining and ((worker.alive and worker.answers) or worker.name == by)
        ]
        await tidy_queue(db, [worker.name for worker in workers])
        wanted = [work for rule in RULES for work in await _asked(db, rule, len(workers))]
        # Where there are more campaigns than places, each has its turn some time.
        rng.shuffle(wanted)
        jobs = place_jobs(wanted, workers, await queued(db), without_account=without_account)
        await enqueue(db, jobs)
    return jobs


async def _asked(db: Connection, rule: Rule, workers: int) -> Sequence[Wanted]:
    """What a rule finds; one that fails keeps none of the others from their work."""
    try:
        async with db.transaction():
            return await rule(db, workers)
    except psycopg.Error as error:
        if db.closed:
            raise
        told = explain(error, rule.__name__, IT_GOES_ON)
        log.warning("a look for what is to be done failed: %s", told)
        return ()
