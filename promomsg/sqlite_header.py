"""What the first bytes of a SQLite file say of it (sqlite.org/fileformat.html, "The Database Header")."""

from __future__ import annotations

from typing import Final

__all__ = ["HEADER_SIZE", "SQLITE_SIGN", "application_id", "is_sqlite"]

SQLITE_SIGN: Final = b"SQLite format 3\0"
HEADER_SIZE: Final = 72
"""Bytes up to the end of the application id: as many as `application_id` needs."""


def is_sqlite(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a SQLite database, as a campaign's journal is."""
    return start.startswith(SQLITE_SIGN)


def application_id(start: bytes) -> int | None:
    """Whose database it is, by the number that its program gave it; None: it is no SQLite database, or
    shorter than its header."""
    if not is_sqlite(start) or len(start) < HEADER_SIZE:
        return None
    return int.from_bytes(start[68:72], "big")
