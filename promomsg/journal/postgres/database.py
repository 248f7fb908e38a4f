"""Connections to the database: how they are opened, and which databases are refused."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg
from psycopg import conninfo

from promomsg.errors import JournalError
from promomsg.journal.postgres.connections.lost_answers import (
    IS_AT_WORK,
    AnsweringConnection,
    hung_up_after,
)
from promomsg.journal.postgres.connections.server_errors import ASK_AGAIN, explain, is_away, place
from promomsg.journal.postgres.schema import (
    SCHEMA,
    check_schema,
    schema_version,
    schema_version_now,
)

__all__ = [
    "ASK_AGAIN",
    "OLDEST_SERVER",
    "Connection",
    "connect",
    "connect_now",
    "connection_defaults",
    "explain",
    "is_at_work",
    "is_away",
    "place",
    "standby_warning",
]


class Connection(AnsweringConnection[tuple[Any, ...]]):
    """A connection that knows its process at the server, behind whatever pooler.

    Attributes:
        process: its number; 0 until it was asked for.
    """

    process: int = 0


OLDEST_SERVER: Final = 15
"""The oldest version of PostgreSQL that is not refused."""

_CONNECTS_IN: Final = 5
"""Seconds for a connection to be made, and as many for what it is asked first: there is time for
another before the leases are over."""
_ANSWERS_IN: Final = 10
"""Seconds after which a silent peer is given up."""
_IDLE_IN_TRANSACTION: Final = 60.0
"""Seconds after which a process that stands still inside a transaction loses its locks."""
_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": _CONNECTS_IN,
    "keepalives": 1,
    "keepalives_idle": _ANSWERS_IN // 2,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": _ANSWERS_IN * 1000,
    "application_name": "promomsg",
    "client_encoding": "UTF8",
}

# Only a constant of this package is put into it.
_LOOK: Final = f"""
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
       current_setting('synchronous_commit'), pg_is_in_recovery(), pg_backend_pid(),
       coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace
                 WHERE nspname = '{SCHEMA}'), true),
       set_config('search_path', '{SCHEMA}, pg_temp', false),
       set_config('synchronous_commit', current_setting('synchronous_commit'), false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('lock_timeout', '0', false), set_config('idle_session_timeout', '0', false),
       set_config('statement_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false)
"""  # noqa: S608
_BACKEND: Final = "SELECT pg_backend_pid()"
_STANDBYS: Final = """
SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) FROM pg_stat_replication
"""


class _Found(NamedTuple):
    version: int
    encoding: str
    synchronous_commit: str
    in_recovery: bool
    backend: int
    has_rights: bool


async def connect(
    url: str,
    *,
    check: bool = True,
    answers_in: float = 0.0,
    idle_in_transaction: float = _IDLE_IN_TRANSACTION,
    then: str = "resume",
) -> Connection:
    """A new connection in autocommit mode.

    Args:
        url: as libpq takes it.
        check: whether the tables have to be there, of our version.
        answers_in: seconds that a statement may take; 0: any time.
        idle_in_transaction: seconds after which a process that stands still inside a transaction
            loses its locks, and the connection.
        then: as `explain` has it.

    Raises:
        JournalError: it refuses us, it is none that is safe to send from, or its tables are not ours.
        JournalUnreachable: it cannot be reached.
    """
    where = place(url)
    try:
        db = await Connection.connect(url, autocommit=True, **connection_defaults(url))
        try:
            with hung_up_after(db, _CONNECTS_IN):
                found = await _look(db, answers_in, idle_in_transaction)
                db.process = found.backend
                _refuse_unsafe(found, where)
                if found.backend != db.info.backend_pid:
                    await _refuse_pooler(url, db, where)
                if check:
                    check_schema(await schema_version(db), where)
        except BaseException:
            await db.close()
            raise
    except psycopg.Error as error:
        raise explain(error, where, then) from None
    return db


async def is_at_work(url: str, process: int) -> bool:
    """Whether a process of the server has a statement under way, asked on a connection of its own; False
    when the server cannot be asked."""
    try:
        db = await Connection.connect(url, autocommit=True, **connection_defaults(url))
        async with db:
            with hung_up_after(db, _CONNECTS_IN):
                row = await (await db.execute(IS_AT_WORK.encode(), (process,))).fetchone()
    except psycopg.Error:
        return False
    return row is not None and bool(row[0])


def connect_now(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """The same for plain calls without an event loop, which only read.

    Raises:
        JournalError: the server cannot be reached, or its tables are not ours.
    """
    where = place(url)
    try:
        db = psycopg.connect(url, autocommit=True, **connection_defaults(url))
        try:
            db.execute(f"SET search_path = {SCHEMA}, pg_temp".encode())
            check_schema(schema_version_now(db), where)
        except BaseException:
            db.close()
            raise
    except psycopg.Error as error:
        raise explain(error, where, ASK_AGAIN) from None
    return db


def connection_defaults(url: str) -> dict[str, Any]:
    """Parameters of a connection that a URL says nothing of: how soon a silent peer is given up, say."""
    given = conninfo.conninfo_to_dict(url)
    return {name: value for name, value in _DEFAULTS.items() if name not in given}


async def _look(db: Connection, *limits: float) -> _Found:
    timeouts = [f"{round(seconds * 1000)}ms" for seconds in limits]
    row = await (await db.execute(_LOOK.encode(), timeouts)).fetchone()
    assert row is not None
    return _Found(*row[:6])


def _refuse_unsafe(found: _Found, where: str) -> None:
    version = found.version // 10_000
    if version < OLDEST_SERVER:
        raise JournalError(
            f"{where}: it is PostgreSQL {version}; give a server of version {OLDEST_SERVER} or later"
        )
    if found.in_recovery:
        raise JournalError(f"{where}: it is a standby; give the address of the primary")
    if found.encoding != "UTF8":
        raise JournalError(
            f"{where}: its encoding is {found.encoding}; give a database with ENCODING 'UTF8'"
        )
    if not found.has_rights:
        raise JournalError(
            f'{where}: the user has no rights on its schema "{SCHEMA}"; grant that user the rights of '
            "its owner, or give another"
        )
    if found.synchronous_commit == "off":
        raise JournalError(
            f"{where}: synchronous_commit is off, and a crash of the server would have messages sent "
            "twice; set it to on for this user, database or server"
        )


async def _refuse_pooler(url: str, db: Connection, where: str) -> None:
    """Refuses a pooler that gives each transaction whatever connection is free: settings and
    temporary tables of one client get to another there.

    What stands between us and the server shows in the process number that it gives at the start,
    which is not the server's. One that gives a client a server's connection for as long as it
    stays is none of these: its process is always the same, and never another client's.
    """
    other = await Connection.connect(url, autocommit=True, **connection_defaults(url))
    try:
        ours: set[int] = set()
        others: set[int] = set()
        for of, client in (*((ours, db), (others, other)) * 2, (ours, db), (ours, db)):
            row = await (await client.execute(_BACKEND.encode())).fetchone()
            assert row is not None
            of.add(row[0])
    finally:
        await other.close()
    if len(ours) > 1 or len(others) > 1 or ours & others:
        raise JournalError(
            f"{where}: a pooler in transaction mode (PgBouncer) stands before it, which loses what a "
            "connection has set; give the address of the server itself, or of a pool in session mode"
        )


async def standby_warning(db: Connection) -> str | None:
    """What to say of standbys that may lack the last commits when one of them is promoted; None:
    there are none, or one is synchronous."""
    try:
        row = await (await db.execute(_STANDBYS.encode())).fetchone()
    except psycopg.Error:
        return None
    if row is None or row[0] == 0 or row[1] > 0:
        return None
    return (
        "the database has standbys, and none of them is known to be synchronous: after one is promoted "
        "the last sends may be made twice; set synchronous_standby_names, or resume only from the old "
        "primary"
    )
