"""Connections to the database: how they are opened, and which databases are refused."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import conninfo

from promomsg.errors import JournalError
from promomsg.journal.postgres.schema import SCHEMA, check_schema, schema_version

__all__ = ["Connection", "connect", "connect_now", "explain", "place"]

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_SETTINGS: Final = f"SET search_path = {SCHEMA}, pg_temp"


def place(url: str) -> str:
    """A database for messages: its name and host, without a password."""
    parts = conninfo.conninfo_to_dict(url)
    return f"PostgreSQL database {parts.get('dbname', '')!r} at {parts.get('host', 'localhost')}"


def explain(error: Exception, where: str) -> JournalError:
    """An error of psycopg as the journal's, in one line."""
    text = " ".join(str(error).split())
    return JournalError(f"{where}: {text}")


async def connect(url: str, *, check: bool = True) -> Connection:
    """A new connection in autocommit mode.

    Args:
        url: as libpq takes it.
        check: whether the tables have to be there, of our version.

    Raises:
        JournalError: the server cannot be reached, or its tables are not ours.
    """
    where = place(url)
    try:
        db = await psycopg.AsyncConnection.connect(url, autocommit=True)
    except psycopg.Error as error:
        raise explain(error, where) from None
    try:
        if check:
            check_schema(await schema_version(db), where)
        await db.execute(_SETTINGS.encode())
    except BaseException:
        await db.close()
        raise
    return db


def connect_now(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """The same for plain calls without an event loop."""
    try:
        db = psycopg.connect(url, autocommit=True)
        db.execute(_SETTINGS.encode())
    except psycopg.Error as error:
        raise explain(error, place(url)) from None
    return db
