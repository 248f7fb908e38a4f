"""What the first bytes of a SQLite file say."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from promomsg.sqlite_header import HEADER_SIZE, application_id, is_sqlite


def test_a_database_tells_whose_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA application_id = 305419896")
        db.execute("CREATE TABLE one (n INTEGER)")
    db.close()
    start = file.read_bytes()[:HEADER_SIZE]
    assert is_sqlite(start)
    assert application_id(start) == 305419896


def test_what_is_no_database_is_nobodys() -> None:
    assert not is_sqlite(b"id,name\n")
    assert application_id(b"id,name\n" + bytes(100)) is None
    assert application_id(b"SQLite format 3\0") is None
