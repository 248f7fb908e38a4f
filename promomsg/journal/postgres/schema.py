"""The tables in a database: which version is there, and how it comes to the one this package knows."""

# Only constants of this package are put together into statements; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Final

import psycopg

from promomsg.errors import JournalError

__all__ = [
    "INDEXES",
    "PREPARE",
    "SCHEMA",
    "SENDERS",
    "VERSION",
    "changing_tables",
    "check_schema",
    "prepare_schema",
]

SCHEMA: Final = "promomsg"
"""The schema that all tables are in."""

INDEXES: Final = {
    "by_openid": "(openid) WHERE openid IS NOT NULL",
    "by_unionid": "(unionid) WHERE unionid IS NOT NULL",
    "digest": "(message_digest) WHERE message_digest IS NOT NULL",
    "group_no": "(group_no) WHERE group_no IS NOT NULL",
    "cohort": "(cohort, seq)",
}
"""Indexes of a campaign's recipients that are made when they are needed; the first two are gone when
its plan is complete."""

_LOCK: Final = 0x50524F4D
"""Advisory lock of whoever changes the tables: 'PROM'."""
SENDERS: Final = _LOCK
"""With a campaign's number, the advisory lock that everybody who sends it shares, on each of their
connections: that it is held says that they are at work."""


def _migrations() -> dict[int, str]:
    """The statements that lead to each version."""
    folder = resources.files("promomsg.journal.postgres.migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return {int(name[:4]): folder.joinpath(name).read_text("utf-8") for name in names}


VERSION: Final = 7
"""The version of the tables that this package works with."""

# Of the catalog itself: what a session has found missing once it would go on missing from its cache.
_ASK: Final = f"SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{SCHEMA}')"
_ASK_VERSION: Final = (
    "SELECT EXISTS (SELECT FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    f" WHERE n.nspname = '{SCHEMA}' AND c.relname = 'schema_version' AND a.attname = 'version')"
)
_VERSION: Final = f"SELECT coalesce(max(version), 0) FROM {SCHEMA}.schema_version"
PREPARE: Final = "`promomsg fleet init`, or Fleet(url).prepare() in Python"
"""What makes the tables, for messages."""


def _refusal(found: int | None, where: str) -> str | None:
    if found is None:
        return f'{where}: it has a schema "{SCHEMA}" that is not ours; give another database'
    if found > VERSION:
        return (
            f"{where}: its tables are of version {found}, and this promomsg knows version {VERSION}; "
            "update promomsg"
        )
    return None


def check_schema(found: int | None, where: str) -> None:
    """Refuses tables that this package cannot work with.

    Args:
        found: their version; 0: there are none; None: they are somebody else's.
        where: the database, for the message.

    Raises:
        JournalError: what they are, and what to do.
    """
    refusal = _refusal(found, where)
    if refusal is None and found == 0:
        refusal = f"{where}: it has no tables of ours yet; make them with {PREPARE}"
    elif refusal is None and found != VERSION:
        refusal = f"{where}: its tables are of version {found}; bring them to version {VERSION} with {PREPARE}"
    if refusal is not None:
        raise JournalError(refusal)


async def schema_version(db: psycopg.AsyncConnection[Any]) -> int | None:
    """The version of a database's tables, for `check_schema`."""

    async def one(text: str) -> Any:
        row = await (await db.execute(text.encode())).fetchone()
        assert row is not None
        return row[0]

    if not await one(_ASK):
        return 0
    return int(await one(_VERSION)) if await one(_ASK_VERSION) else None


def schema_version_now(db: psycopg.Connection[Any]) -> int | None:
    """The same by a plain call."""

    def one(text: str) -> Any:
        row = db.execute(text.encode()).fetchone()
        assert row is not None
        return row[0]

    if not one(_ASK):
        return 0
    return int(one(_VERSION)) if one(_ASK_VERSION) else None


async def prepare_schema(db: psycopg.AsyncConnection[Any], where: str) -> None:
    """Makes the tables, or brings them to `VERSION`; nothing is done when they are of it.

    Args:
        db: in autocommit mode; whoever comes at the same time waits.
        where: the database, for messages.

    Raises:
        JournalError: they are somebody else's, or newer.
    """
    async with db.transaction():
        await db.execute(f"SELECT pg_advisory_xact_lock({_LOCK})".encode())
        found = await schema_version(db)
        refusal = _refusal(found, where)
        if refusal is not None:
            raise JournalError(refusal)
        if found == 0:
            await db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
            await db.execute(
                f"CREATE TABLE IF NOT EXISTS {SCHEMA}.schema_version (version integer PRIMARY KEY,"
                " applied_at timestamptz NOT NULL DEFAULT now())".encode()
            )
        await db.execute(f"SET LOCAL search_path = {SCHEMA}".encode())
        for version, text in _migrations().items():
            if version > (found or 0):
                await db.execute(text.encode())
                await db.execute(b"INSERT INTO schema_version (version) VALUES (%s)", (version,))


@asynccontextmanager
async def changing_tables(db: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """A block in which nobody else changes tables by `prepare_schema` or here."""
    await db.execute(f"SELECT pg_advisory_lock({_LOCK})".encode())
    try:
        yield
    finally:
        if not db.closed:
            await db.execute(f"SELECT pg_advisory_unlock({_LOCK})".encode())
