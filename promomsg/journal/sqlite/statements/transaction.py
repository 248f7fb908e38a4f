"""One commit in the making: what every statement that writes works on."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from promomsg.journal.counts import STATE_NUMBERS, RunningCounts
from promomsg.journal.records import Lease
from promomsg.model import State

__all__ = ["Transaction", "Undone"]

_LOG: Final = """
INSERT INTO commit_log
    (intended_at, intended_day, intended_singles, intended_day_total, final_seqs)
VALUES (?, ?, ?, ?, ?)
"""

_KEEP_COUNT: Final = """
INSERT INTO recipient_count (state, code, recipients, last_at) VALUES (?, ?, ?, ?)
ON CONFLICT (state, code) DO UPDATE SET
    recipients = recipients + excluded.recipients,
    last_at = coalesce(max(last_at, excluded.last_at), excluded.last_at, last_at)
"""

_encode = msgspec.json.Encoder().encode


class Undone(Exception):
    """Raised by an operation to undo what it did and yet return `value`."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Transaction:
    """One commit in the making: what operations work on.

    Attributes:
        number: `commit_log.log_no` of its last row; 0 while it has none.
        singles, groups: the chunk that it leases, of that kind; 0 for none.
        chunk_over: whether it gives one back.
    """

    __slots__ = (
        "_at",
        "_before",
        "_day",
        "_final",
        "_last_at",
        "_returned",
        "_singles",
        "chunk_over",
        "counts",
        "db",
        "groups",
        "number",
        "singles",
        "today",
    )

    def __init__(self, db: sqlite3.Connection, today: tuple[str, int]) -> None:
        self.db = db
        self.counts = RunningCounts()
        self.today = today
        self.number = self.singles = self.groups = 0
        self.chunk_over = False
        self._before = db.total_changes
        self._final: list[int] = []
        self._singles = 0
        self._returned = 0
        self._at = 0.0
        self._day = ""
        self._last_at: float | None = None

    def holds(self, lease: Lease, now: float | None = None) -> bool:
        """Whether the lease is still the chunk's; at `now` (None: whether it has run out or not)."""
        row = self.db.execute(
            "SELECT epoch, deadline FROM chunk WHERE chunk_no = ?", (lease.chunk_no,)
        ).fetchone()
        if row is None or row[0] != lease.epoch:
            return False
        return now is None or (row[1] is not None and row[1] > now)

    def intended(self, count: int, at: float, day: str) -> None:
        """Counts intents of this commit."""
        if self._singles and day != self._day:
            self.flush()
        self._singles += count
        self._at, self._day = at, day

    def returned(self, count: int) -> None:
        """Takes intents that went uncalled off the day's count."""
        self._returned += count

    def final(self, seqs: list[int]) -> None:
        """Notes rows that became final in this commit, in order."""
        self._final += seqs

    def happened(self, at: float) -> None:
        """Notes when something became of a recipient, whatever it was."""
        if self._last_at is None or at > self._last_at:
            self._last_at = at

    def leased(self, chunk: int, *, group: bool) -> None:
        """Notes that a chunk was handed out."""
        if group:
            self.groups = max(self.groups, chunk)
        else:
            self.singles = max(self.singles, chunk)

    def finish(self) -> None:
        """Writes the last log row: each commit that changes anything has one; its number is `log_no`."""
        self.flush(always=self.db.total_changes != self._before)
        self.keep_counts()

    def keep_counts(self) -> None:
        """Writes what `counts` has changed into the counts that the journal keeps."""
        at = self._last_at
        changed = [(*place, count, at) for place, count in self.counts.by_state()]
        if not changed and at is not None:
            changed = [(STATE_NUMBERS[State.PENDING.value], "", 0, at)]
        if changed:
            self.db.executemany(_KEEP_COUNT, changed)

    def flush(self, *, always: bool = False) -> None:
        """Writes a log row, when there is something to log."""
        if not self._final and not self._singles and not self._returned and not always:
            return
        at = day = singles = total = final = None
        if self._returned:
            day, total = self.today[0], max(0, self.today[1] - self._returned)
            self.today = (day, total)
        if self._singles:
            at, day, singles = self._at, self._day, self._singles
            total = singles + (self.today[1] if self.today[0] == day else 0)
            self.today = (day, total)
        if self._final:
            final = _encode(self._final).decode()
        written = self.db.execute(_LOG, (at, day, singles, total, final))
        self.number = written.lastrowid or 0
        self._final = []
        self._singles = self._returned = 0
