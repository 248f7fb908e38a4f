"""The least to do with a file's rows: read them, put them into a bare table, and see by one sort
whether a key is there twice. The table has no index but its primary key, the row's number."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import check
from benchmarks.job import Job
from benchmarks.machine import read_clocks

_SORT = "SELECT 1 FROM rows GROUP BY key HAVING count(*) > 1 LIMIT 1"


def run(job: Job) -> Laps:
    """Fills the table, in one transaction with full sync; `plan` is all of it, `sort` a part."""
    begin = read_clocks()
    base = sqlite3.connect(Path(job.folder) / "rows.db")
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.execute(
        "CREATE TABLE rows (seq INTEGER PRIMARY KEY, key TEXT NOT NULL, id TEXT, name TEXT)"
    )
    with Path(job.options["file"]).open(encoding="utf-8", newline="") as file, base:
        rows = csv.reader(file)
        next(rows)
        base.executemany("INSERT INTO rows (key, id, name) VALUES (?, ?, ?)", rows)
    filled = read_clocks()
    twice = base.execute(_SORT).fetchone()
    ended = read_clocks()
    check(0 if twice is None else 1, 0)
    [(count,)] = base.execute("SELECT count(*) FROM rows")
    base.close()
    check(count, job.messages)
    return {"plan": ended.since(begin), "sort": ended.since(filled)}
