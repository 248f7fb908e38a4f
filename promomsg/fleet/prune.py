"""Workers that are asked to end, and rows of workers that were killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import psycopg

from promomsg.fleet.worker_table import ALIVE_FOR, drain, remove_gone
from promomsg.journal.postgres.database import ASK_AGAIN, Connection, connect, explain, place

__all__ = ["drain_workers", "prune_workers"]

T = TypeVar("T")


async def drain_workers(url: str, names: Sequence[str]) -> None:
    """Asks workers to end; see `Fleet.drain`."""

    async def ask(db: Connection) -> None:
        await drain(db, names)

    await _on(url, ask)


async def prune_workers(url: str) -> list[str]:
    """Removes the rows of workers that are not alive; returns their names. Jobs that waited for them
    are removed by the next sweep."""

    async def remove(db: Connection) -> list[str]:
        return await remove_gone(db, ALIVE_FOR)

    return await _on(url, remove)


async def _on(url: str, call: Callable[[Connection], Awaitable[T]]) -> T:
    db = await connect(url, then=ASK_AGAIN)
    try:
        return await call(db)
    except psycopg.Error as error:
        raise explain(error, place(url), ASK_AGAIN) from None
    finally:
        await db.close()
