"""The days of a campaign's single sends, for whoever looks: found without reading all of the log."""

from __future__ import annotations

import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.journal.sqlite.statements.campaign_row import sent_days, sent_days_seen


def log_of(commits: list[int | None]) -> sqlite3.Connection:
    """A log with the days of its commits, by how many later each is; None: one that intended nothing."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE commit_log (log_no INTEGER PRIMARY KEY, intended_day TEXT)")
    day = 0
    for number, later in enumerate(commits):
        day += later or 0
        text = None if later is None else f"2026-{1 + day // 28:02}-{1 + day % 28:02}"
        db.execute("INSERT INTO commit_log VALUES (?, ?)", (3 + 2 * number, text))
    return db


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, None]), max_size=60))
def test_they_are_those_of_the_whole_log(commits: list[int | None]) -> None:
    db = log_of(commits)
    assert sent_days_seen(db) == sent_days(db)


def test_a_long_log_is_not_read_to_its_end() -> None:
    db = log_of([0, 0, 1, 0] * 20 + [0] * 20_000)
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(step, 100)
    assert len(sent_days_seen(db)) == 21
    assert steps * 100 < 20_000
