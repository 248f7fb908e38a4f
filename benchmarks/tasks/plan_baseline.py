"""The least to do with a file's rows: read them, put them into a table that has each once."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job


def run(job: Job) -> Laps:
    """Fills the table, in one transaction with full sync."""
    base = sqlite3.connect(Path(job.folder) / "rows.db")
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.execute(
        "CREATE TABLE rows (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "
        "id TEXT UNIQUE, name TEXT)"
    )
    with Path(job.options["csv"]).open(encoding="utf-8", newline="") as file, base:
        rows = csv.reader(file)
        next(rows)
        base.executemany("INSERT INTO rows (key, id, name) VALUES (?, ?, ?)", rows)
    [(count,)] = base.execute("SELECT count(*) FROM rows")
    base.close()
    check(count, job.messages)
    return {}
