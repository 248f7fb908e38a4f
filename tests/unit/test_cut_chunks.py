"""Cutting a plan into chunks takes work in proportion to its recipients, whatever cohorts they are in."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from promomsg.journal.sqlite.planning.sealing import cut_chunks
from promomsg.journal.sqlite.schema import schema_text

SIZE = 20


def work_of_cutting(count: int, *, singles: range | None) -> int:
    """Of SQLite's virtual machine: how much it is, without a clock. One row in 50 is in cohort 1."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(schema_text())
        db.executemany(
            "INSERT INTO recipient (seq, state, key, cohort) VALUES (?, 1, ?, ?)",
            ((seq, f"k{seq}", seq % 50 == 49) for seq in range(count)),
        )
        db.set_progress_handler(step, 10)
        cut_chunks(db, SIZE, singles, has_cohorts=True)
        db.set_progress_handler(None, 0)
        chunks = db.execute("SELECT first_seq, last_seq, cohort FROM chunk").fetchall()
    people = {0: range(count), 1: range(49, count, 50)}
    assert [cohort for *_, cohort in chunks] == sorted(cohort for *_, cohort in chunks)
    for cohort, seqs in people.items():
        own = [seq for seq in seqs if (seq % 50 == 49) == bool(cohort)]
        parts = [own[at : at + SIZE] for at in range(0, len(own), SIZE)]
        assert [(part[0], part[-1], cohort) for part in parts] == [
            chunk for chunk in chunks if chunk[2] == cohort
        ]
    return steps


@pytest.mark.parametrize("known", [True, False], ids=["all-planned", "looked-for"])
def test_four_times_the_recipients_are_four_times_the_work(known: bool) -> None:
    few, many = (
        work_of_cutting(count, singles=range(count) if known else None) for count in (1_000, 4_000)
    )
    assert many < 5 * few
