"""Connections to a journal's database, in a file or in this process's memory."""

from __future__ import annotations

import os
import sqlite3
from typing import Final
from urllib.parse import quote

__all__ = ["connect", "connect_memory"]

_LONGEST: Final = 256 * 1024 * 1024
"""Bytes of one value at the most: SQLite's own limit is 1 GB."""


def connect(path: str, *, mode: str, immutable: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode. `mode` is `rw` or `ro`: the file is never made by it."""
    # By bytes: a name may be none in UTF-8.
    uri = f"file:{quote(os.fsencode(path))}?mode={mode}{'&immutable=1' if immutable else ''}"
    return _connected(uri, temporary="FILE")


def connect_memory(name: str) -> sqlite3.Connection:
    """A connection to the database of that name in this process's memory, in autocommit mode.

    It is made by the first connection, and gone with the last one.
    """
    return _connected(f"file:/{quote(name)}?vfs=memdb", temporary="MEMORY")


def _connected(uri: str, *, temporary: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        # A file that somebody handed over: what its schema calls is not trusted, its pages are
        # looked at before they are used.
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        db.execute("PRAGMA cache_size = -4000")
        db.execute(f"PRAGMA temp_store = {temporary}")
    except sqlite3.Error:
        db.close()
        raise
    return db
