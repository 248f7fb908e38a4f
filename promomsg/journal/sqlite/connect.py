"""Connections to a journal's database, in a file or in this process's memory, and what their errors
mean to people.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Final
from urllib.parse import quote

from promomsg import open_file_limit
from promomsg.errors import JournalError

__all__ = ["MEMORY", "connect", "connect_memory", "explain"]

MEMORY: Final = "the journal in memory"
"""What messages call a journal that has no path."""

_LONGEST: Final = 256 * 1024 * 1024
"""Bytes of one value at the most: SQLite's own limit is 1 GB."""

_NO_ROOM: Final = 64 * 1024
"""Bytes: a disk that has fewer left is full for the index of a write-ahead log, which has 32 KiB."""


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


def explain(error: BaseException, path: str) -> JournalError:
    """An error of SQLite or of the system as one line: what, where, how to mend it."""
    text = " ".join(str(error).split())[:160]
    low = text.lower()
    if open_file_limit.ran_out(error) or (
        "unable to open" in low and open_file_limit.is_exhausted()
    ):
        return JournalError(f"{path}: {open_file_limit.remedy()}, then resume")
    if "full" in low and path == MEMORY:
        text, mend = "it is full (1 GB at the most)", "give a file's path as the journal"
    elif "full" in low or "no space" in low:
        mend = "free some space, then resume"
    elif ("disk i/o error" in low or "unable to open" in low) and _is_full(path):
        text, mend = "the disk is full", "free some space, then resume"
    elif "readonly" in low or "read-only" in low or "permission" in low:
        mend = "make the file and its folder writable for you, then resume"
    elif "unable to open" in low:
        mend = "check that the folder exists and is yours to write"
    elif "locked" in low or "busy" in low:
        mend = "another program holds it; close that one, then resume"
    elif "interrupted" in low:
        text, mend = "reading it does not come to an end", "it is damaged; give another path"
    elif "could not decode" in low:
        text, mend = "it has text that is no UTF-8", "it is damaged; put back a copy that is whole"
    elif "not a database" in low and path.endswith(".toml"):
        text, journal = (
            "it is a campaign file, not a journal",
            os.path.basename(path).removesuffix(".toml") + ".db",
        )
        mend = f"give its journal, which is {journal} unless the file names another"
    elif "not a database" in low or "malformed" in low:
        mend = "it is not a journal, or it is damaged; give another path"
    else:
        mend = "check the disk, then resume"
    return JournalError(f"{path}: {text}; {mend}")


def _is_full(path: str) -> bool:
    """SQLite calls it an I/O error when its index of the write-ahead log finds no room, and a file that
    it cannot open when the log itself finds none."""
    try:
        found = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _NO_ROOM
