"""User tokens in a SQLite file that only its owner can read: what `tokens = "tokens.db"` opens."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Self, TypeVar

import anyio.to_thread

from promomsg.alipay.models import UserToken
from promomsg.errors import JournalError
from promomsg.model import Secret

__all__ = ["TokenDatabase"]

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS user_tokens (
    key TEXT PRIMARY KEY,
    access_token TEXT NOT NULL,
    access_token_expiry TEXT,
    refresh_token TEXT,
    refresh_token_expiry TEXT,
    customer_id TEXT
) WITHOUT ROWID, STRICT
"""
_GET: Final = """
SELECT access_token, access_token_expiry, refresh_token, refresh_token_expiry, customer_id
FROM user_tokens WHERE key = ?
"""
_SAVE: Final = "INSERT OR REPLACE INTO user_tokens VALUES (?, ?, ?, ?, ?, ?)"
_WAIT: Final = 10.0
"""Seconds to wait for another process that is writing."""

T = TypeVar("T")


class TokenDatabase:
    """A `UserTokens` in one file. Several processes may share it.

    Args:
        path: made when it is not there, with mode 0600; a file that others may read is closed to
            them when it is opened. Nothing is opened before the first call.

    Its methods raise JournalError when the file cannot be read, written or is something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"TokenDatabase({str(getattr(self, '_path', None))!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def get(self, key: str) -> UserToken | None:
        """The latest token of a user; None when there is none."""
        return await self._do("read", lambda db: _token(db.execute(_GET, (key,)).fetchone()))

    async def save(self, key: str, token: UserToken) -> None:
        """Replaces a user's token; on disk when it returns."""
        await self._do("write", lambda db: db.execute(_SAVE, _row(key, token)))

    async def close(self) -> None:
        """Closes the file; a later call opens it again."""
        await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    async def _do(self, what: str, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            with self._lock:
                try:
                    if self._connection is None:
                        self._connection = self._open()
                    return work(self._connection)
                except (OSError, sqlite3.Error) as error:
                    # SQLite's and the system's own texts hold no values, so no token.
                    raise JournalError(
                        f"{self._path}: cannot {what} user tokens: {error}"
                    ) from None

        return await anyio.to_thread.run_sync(run)

    def _open(self) -> sqlite3.Connection:
        # Made before SQLite does, so that there is no moment at which others could open it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if self._path.stat().st_mode & 0o077:
            self._path.chmod(0o600)
        connection = sqlite3.connect(
            self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False
        )
        try:
            # A rollback journal: its file is as private as the database, and gone after a commit.
            connection.execute("PRAGMA synchronous = EXTRA")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(
                    f"it is of version {version}; this promomsg reads {_VERSION}"
                )
            if version == 0:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if any(name != "user_tokens" for (name,) in tables.fetchall()):
                    raise sqlite3.DatabaseError("it is another program's database; name a new file")
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
        except BaseException:
            connection.close()
            raise
        return connection


def _row(key: str, token: UserToken) -> tuple[str | None, ...]:
    """What is stored: in the clear, so in no variable of a frame that an error comes through."""
    access_expiry, refresh_expiry = token.access_token_expiry, token.refresh_token_expiry
    return (
        key,
        token.access_token.reveal(),
        access_expiry.isoformat() if access_expiry else None,
        token.refresh_token.reveal() if token.refresh_token else None,
        refresh_expiry.isoformat() if refresh_expiry else None,
        token.customer_id,
    )


def _token(row: tuple[str | None, ...] | None) -> UserToken | None:
    if row is None:
        return None
    access, access_expiry, refresh, refresh_expiry, customer_id = row
    return UserToken(
        access_token=Secret(access or ""),
        access_token_expiry=_moment(access_expiry),
        refresh_token=Secret(refresh) if refresh else None,
        refresh_token_expiry=_moment(refresh_expiry),
        customer_id=customer_id,
    )


def _moment(text: str | None) -> datetime | None:
    """None for what is no time: an expiry is only advice."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
