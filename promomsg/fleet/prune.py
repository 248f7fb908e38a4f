"""Workers that are asked to end, and what a database has no more use for."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Final, TypeVar

import anyio
import msgspec
import psycopg

from promomsg.clock import DAY
from promomsg.fleet.worker_table import ALIVE_FOR, drain, read_workers, remove_gone
from promomsg.journal.postgres.campaign_tables import remove_ended, remove_half_plans
from promomsg.journal.postgres.connections.lost_answers import hung_up_after, hung_up_behind
from promomsg.journal.postgres.database import ASK_AGAIN, Connection, connect, explain, place
from promomsg.transport.quota.quota_state import QuotaState

__all__ = ["Pruned", "drain_workers", "prune", "prune_is_due"]

T = TypeVar("T")

_NOW: Final = "extract(epoch FROM clock_timestamp())"
_LONGEST: Final = 600.0
_ENDS_IN: Final = 5.0
"""Seconds for all of it, and for what is left of it once a worker that does it is to end: an answer may be
lost on the way."""
_HAS_QUEUE: Final = b"SELECT to_regclass('procrastinate_jobs') IS NOT NULL"
_GONE_FROM_QUEUE: Final = (
    b"DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - interval '1 day'"
)
# The row stays: its generation tells every process that has an older token.
_ERASE_TOKENS: Final = f"""
UPDATE token SET sealed = NULL WHERE sealed IS NOT NULL AND expires_at <= {_NOW} - {DAY}
""".encode()
_UNUSED_FOR: Final = 35 * DAY
"""Seconds after which nothing of an account's quota is in force, whatever the server's clock was set to
meanwhile: windows are minutes, and the counts of days are of the last seven on which it sent."""
_QUOTAS: Final = f"SELECT channel, origin, account, kind, state, {_NOW}::float8 FROM quota".encode()
# A sender that has used it since has written another text: its row stays.
_REMOVE_QUOTA: Final = b"""
DELETE FROM quota WHERE (channel, origin, account, kind, state) = (%s, %s, %s, %s, %s)
"""
_WAS_PRUNED: Final = (
    f"SELECT 1 FROM upkeep WHERE task = 'prune' AND begun_at > {_NOW} - {DAY}".encode()
)
_BEGIN: Final = f"""
INSERT INTO upkeep (task, begun_at) VALUES ('prune', {_NOW})
ON CONFLICT (task) DO UPDATE SET begun_at = excluded.begun_at
WHERE upkeep.begun_at <= {_NOW} - {DAY}
RETURNING task
""".encode()


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed from a fleet's database.

    Attributes:
        workers: the names of workers that were killed.
        half_plans: the names of campaigns whose plan was never completed, and whose maker is gone: nothing
            was sent of them.
        jobs: how many jobs waited for workers that are gone.
        tokens: how many access tokens had expired a day ago or earlier.
        campaigns: the names of campaigns that ended long ago.
    """

    workers: tuple[str, ...] = ()
    half_plans: tuple[str, ...] = ()
    jobs: int = 0
    tokens: int = 0
    campaigns: tuple[str, ...] = ()


async def drain_workers(url: str, names: Sequence[str]) -> None:
    """Asks workers to end; see `Fleet.drain`."""

    async def ask(db: Connection) -> None:
        await drain(db, names)

    await _on(url, ask)


async def prune(url: str, ended: Sequence[str] = (), *, stop: anyio.Event | None = None) -> Pruned:
    """Removes what nobody needs any more. Of campaigns only those that are named, and of these none in
    which somebody is pending or that is being sent. Done twice, or by two at once, it does no harm.

    Args:
        ended: names of campaigns.
        stop: once it is set, it is given up within seconds; what is left is for another day.
    """

    async def remove(db: Connection) -> Pruned:
        workers = await remove_gone(db, ALIVE_FOR)
        await _remove_quotas(db)
        return Pruned(
            workers=tuple(workers),
            half_plans=tuple(await remove_half_plans(db)),
            jobs=await _remove_jobs(db),
            tokens=(await db.execute(_ERASE_TOKENS)).rowcount,
            campaigns=tuple([name for name in ended if await remove_ended(db, name)]),
        )

    return await _on(url, remove, stop)


async def _remove_jobs(db: Connection) -> int:
    """Jobs of workers that take no work any more, where there is a queue; how many."""
    row = await (await db.execute(_HAS_QUEUE)).fetchone()
    if row is None or not row[0]:
        return 0
    # Loaded where there is a queue: it needs Procrastinate.
    from promomsg.fleet.queue import tidy_queue

    workers = [worker.name for worker in await read_workers(db) if worker.takes_work]
    await db.execute(_GONE_FROM_QUEUE)
    return await tidy_queue(db, workers)


async def _remove_quotas(db: Connection) -> None:
    """Those of accounts that nobody has sent for in weeks: of stand-ins, say, each at a port of its own."""
    for *row, now in await (await db.execute(_QUOTAS)).fetchall():
        try:
            kept = msgspec.json.decode(row[-1], type=QuotaState)
        except msgspec.MsgspecError:
            continue  # a new one, or a newer version's
        in_force = max(kept.seen, kept.latest or 0.0, kept.not_before, kept.hold_until)
        if kept.seen and in_force < now - _UNUSED_FOR:
            await db.execute(_REMOVE_QUOTA, row)


async def prune_is_due(db: Connection) -> bool:
    """Whether nobody has pruned for a day; who is told so does it, and nobody else on that day."""
    row = await (await db.execute(_WAS_PRUNED)).fetchone()
    if row is not None:
        return False
    return await (await db.execute(_BEGIN)).fetchone() is not None


async def _on(
    url: str, call: Callable[[Connection], Awaitable[T]], stop: anyio.Event | None = None
) -> T:
    db = await connect(url, then=ASK_AGAIN)
    try:
        stopped = nullcontext() if stop is None else hung_up_behind(db, stop, _ENDS_IN)
        with hung_up_after(db, _LONGEST), stopped:
            return await call(db)
    except psycopg.Error as error:
        raise explain(error, place(url), ASK_AGAIN) from None
    finally:
        await db.close()
