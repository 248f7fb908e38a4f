"""The tables of a fleet: those of the journal, and those of the queue."""

from __future__ import annotations

import psycopg

from promomsg.fleet.queue import prepare_queue
from promomsg.journal.postgres.database import ASK_AGAIN, connect, explain, place
from promomsg.journal.postgres.journal import PostgresJournal

__all__ = ["prepare"]


async def prepare(url: str) -> None:
    """Makes them, or brings them to this version's; see `Fleet.prepare`."""
    await PostgresJournal.prepare(url)
    db = await connect(url, then=ASK_AGAIN)
    try:
        await prepare_queue(db, place(url))
    except psycopg.Error as error:
        raise explain(error, place(url), ASK_AGAIN) from None
    finally:
        await db.close()
