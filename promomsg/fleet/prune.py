"""What a database has no more use for: rows of workers that were killed, and campaigns that ended long ago."""

from __future__ import annotations

import psycopg

from promomsg.fleet.worker_table import ALIVE_FOR, remove_gone
from promomsg.journal.postgres.database import ASK_AGAIN, connect, explain, place

__all__ = ["prune_workers"]


async def prune_workers(url: str) -> list[str]:
    """Removes the rows of workers that are not alive; returns their names. Jobs that waited for them
    are removed by the next sweep.

    Raises:
        JournalError: the database cannot be reached, or has no tables of this version.
    """
    db = await connect(url, then=ASK_AGAIN)
    try:
        return sorted(await remove_gone(db, ALIVE_FOR))
    except psycopg.Error as error:
        raise explain(error, place(url), ASK_AGAIN) from None
    finally:
        await db.close()
