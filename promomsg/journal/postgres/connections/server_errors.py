"""What the database's refusals and errors mean to people. No message has a password in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors

from promomsg.errors import JournalError, UsageError
from promomsg.journal.postgres.schema import SCHEMA
from promomsg.journal.unreachable import JournalUnreachable

__all__ = ["ASK_AGAIN", "explain", "is_away", "place"]

ASK_AGAIN: Final = "ask again"
"""What to do, once the server can do it again, for who has only looked."""

_MENDS: Final[tuple[tuple[type[psycopg.Error], str], ...]] = (
    (errors.InsufficientPrivilege, f'grant that user the rights on "{SCHEMA}" and its tables, or give another'),
    (errors.ReadOnlySqlTransaction, "it is a standby or read-only: give the address of the primary"),
    (errors.DiskFull, "free some space on the server, then {then}"),
    (errors.OutOfMemory, "the server has no memory left: free some, then {then}"),
    (errors.UndefinedTable, "its tables are not there, or not those of this version: `promomsg fleet init` makes them"),
)  # fmt: skip


# A connection that is refused has no code of the error, only the server's words, or libpq's.
_COMES_BACK: Final = ("starting up", "shutting down", "recovery mode", "not yet accepting", "too many", "slots are reserved")  # fmt: skip
_REFUSALS: Final = (
    ("password", "check the user and the password of the URL"),
    ("pg_hba.conf", "have the server's pg_hba.conf let this user in from here"),
    ("role", "check the user of the URL"),
    ("permission denied for database", "grant that user CONNECT on the database, or give another"),
    ("database", "create the database, or give another URL"),
    ("", "check the URL"),
)
_NEVER_BETTER: Final = (
    "no password supplied",
    "SSL",
    "certificate",
    "invalid port",
    "invalid sslmode",
)
"""Words of libpq for what no time mends."""


def _refusal(error: BaseException) -> str | None:
    """What to do about a server that has answered and does not let us in; None: it is none of these."""
    text = str(error)
    if not isinstance(error, psycopg.OperationalError) or error.sqlstate is not None:
        return None
    _, fatal, told = text.partition("FATAL")
    if fatal and any(words in text for words in _COMES_BACK):
        return None
    if not fatal:
        told = next((words for words in _NEVER_BETTER if words in text), "")
        if not told:
            return None
    return next(mend for words, mend in _REFUSALS if words in told)


def _is_torn(parts: Mapping[str, Any], url: str) -> bool:
    """Whether a character of the password, unescaped, had a piece of it taken for something else."""
    host, port, database = (str(parts.get(name) or "") for name in ("host", "port", "dbname"))
    return (
        "@" in host
        or any(not number.isdigit() for number in port.split(",") if number)
        or ("@" in database and "://" in url and "%40" not in url)
    )


def place(url: str) -> str:
    """A database for messages: its name and host, without user and password.

    Raises:
        UsageError: the URL is none.
    """
    try:
        parts: Mapping[str, Any] | None = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        parts = None
    if parts is None or _is_torn(parts, url):
        # What libpq says of it, or made of it, may have the password in it.
        raise UsageError(
            "the URL of the database, as it is given or in PROMOMSG_FLEET, cannot be read; write "
            "postgresql://user:password@host/database, with %-escapes for what is special"
        )
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    port = parts.get("port")
    return f"PostgreSQL {host}{f':{port}' if port else ''}/{parts.get('dbname') or ''}"


def is_away(error: BaseException) -> bool:
    """Whether the server cannot do it at this moment, as while it starts anew: it may be asked again."""
    if _refusal(error) is not None:
        return False
    return isinstance(
        error,
        (
            errors.AdminShutdown,
            errors.CrashShutdown,
            errors.CannotConnectNow,
            errors.TooManyConnections,
            errors.IdleInTransactionSessionTimeout,
            errors.ConnectionException,
            errors.DeadlockDetected,
            errors.SerializationFailure,
            errors.QueryCanceled,
        ),
    ) or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None)


def _said(error: Exception) -> str:
    """What the server says, in one line: without the statement, which it shows below."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((primary or str(error)).split())


def explain(error: Exception, where: str, then: str = "resume") -> JournalError:
    """An error of psycopg as the journal's, in one line: what, where, how to mend it.

    Args:
        then: what to do, or what happens, once the server can do it again.
    """
    text = _said(error)
    refusal = _refusal(error)
    if refusal is not None:
        return JournalError(f"{where}: {text.partition('FATAL: ')[2] or text}; {refusal}")
    for kind, mend in _MENDS:
        if isinstance(error, kind):
            return JournalError(f"{where}: {text}; {mend.replace('{then}', then)}")
    if is_away(error):
        return JournalUnreachable(
            f"{where}: it cannot be reached now ({text[:200] or 'the connection is lost'}); see that it runs "
            f"and answers, then {then}"
        )
    return JournalError(f"{where}: {text}")
