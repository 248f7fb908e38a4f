"""Whom a report names, kept in a temporary database of this process that is gone with it: memory does not
grow with them, and no other process sees it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice, repeat
from typing import Final

from promomsg.intake.reported.report_file import ReportedRow
from promomsg.intake.row_batch import RowBatch
from promomsg.intake.sources import NAMELESS_KEY
from promomsg.model import State

__all__ = ["AGAIN", "ReportedKeys"]

AGAIN: Final = (State.FAILED, State.CANCELLED)
"""Verdicts of people who surely did not get the message, and were to."""
_NOT_SENT: Final = frozenset((*AGAIN, State.SKIPPED))
_CACHE_KIB: Final = 16_000

# wanted: the report has a row of it that can be sent again; kept_back: and one that may have been sent, so
# that it is not; not_sent: rows of it that were surely not; in_list: how many the list has.
# row_again: the rows that can be sent again; one that stands there more than once was doubled by whoever edited
# the report, and what its key has in not_sent says nothing.
_SCHEMA: Final = """
CREATE TABLE reported (
    key TEXT PRIMARY KEY, line INTEGER NOT NULL, wanted INTEGER NOT NULL, kept_back INTEGER NOT NULL,
    not_sent INTEGER NOT NULL, tried INTEGER NOT NULL, in_list INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE VIEW chosen AS SELECT * FROM reported WHERE wanted AND NOT kept_back;
CREATE TABLE address (mark BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE untried (mark BLOB, key TEXT);
CREATE TABLE row_again (mark BLOB PRIMARY KEY, key TEXT NOT NULL, times INTEGER NOT NULL) WITHOUT ROWID;
"""
_ADD: Final = """
INSERT INTO reported (key, line, wanted, kept_back, not_sent, tried) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    line = iif(wanted, line, excluded.line), wanted = wanted OR excluded.wanted,
    kept_back = kept_back OR excluded.kept_back, not_sent = not_sent + excluded.not_sent,
    tried = tried OR excluded.tried
"""
_ADD_ROW: Final = """
INSERT INTO row_again VALUES (?, ?, 1) ON CONFLICT (mark) DO UPDATE SET times = times + 1
"""


class ReportedKeys:
    """The keys of a report, and which of them a list has.

    Attributes:
        rows: rows of the report, by verdict.
        nameless: rows without a key of their own (`row 7`), which nobody can be found by.
    """

    def __init__(self) -> None:
        self.rows: dict[State, int] = {}
        self.nameless = 0
        # An empty name is a database of this connection, in a file without a name.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.executescript(_SCHEMA)
        self._pepper = os.urandom(16)
        self._has_untried = False

    def close(self) -> None:
        """All of it is gone."""
        self._db.close()

    def add(self, rows: Iterable[ReportedRow]) -> None:
        """Some rows of the report."""
        added, rows_again = [], []
        for line, key, state, tried, cells in rows:
            self.rows[state] = self.rows.get(state, 0) + 1
            again, not_sent = state in AGAIN, state in _NOT_SENT
            if NAMELESS_KEY.fullmatch(key):
                self.nameless += again
                continue
            added.append((key, line, again, not not_sent, not_sent, tried))
            if again:
                rows_again.append((self._mark(0, "\0".join(cells)), key))
        self._db.execute("BEGIN")
        self._db.executemany(_ADD, added)
        self._db.executemany(_ADD_ROW, rows_again)
        self._db.execute("COMMIT")

    def complete(self) -> int:
        """All rows were added. Returns how many people there are to send to again."""
        untried, chosen = self._db.execute("SELECT sum(NOT tried), count(*) FROM chosen").fetchone()
        self._has_untried = bool(untried)
        return int(chosen)

    def wanted(self) -> Iterable[tuple[int, str]]:
        """The line and the key of each of them, in the order of the report."""
        return self._db.execute("SELECT line, key FROM chosen ORDER BY line")

    def choose(self, batch: RowBatch) -> list[int]:
        """The places of those rows of a list that are of them."""
        keys = batch.keys
        found = dict(
            self._db.execute(
                "SELECT key, tried FROM chosen WHERE key IN (SELECT value FROM json_each(?))",
                (json.dumps(list(dict.fromkeys(keys))),),
            )
        )
        places = [place for place, key in enumerate(keys) if key in found]
        self._db.execute("BEGIN")
        self._db.executemany(
            "UPDATE reported SET in_list = in_list + 1 WHERE key = ?",
            [(keys[place],) for place in places],
        )
        if self._has_untried:
            self._keep_addresses(batch, found)
        self._db.execute("COMMIT")
        return places

    def _keep_addresses(self, batch: RowBatch, chosen: dict[str, int]) -> None:
        """Those of rows that the report does not say were not sent, to be compared with those of people
        for whom no call was made: planning failed them before it looked for duplicates."""
        (named,) = self._db.execute(
            "SELECT json_group_array(key) FROM reported WHERE not_sent AND NOT kept_back"
            " AND key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(dict.fromkeys(batch.keys))),),
        ).fetchone()
        not_sent = set(json.loads(named))
        columns = (batch.ids, batch.openids, batch.unionids, batch.tokens)
        untried, others = [], []
        for key, *addresses in zip(batch.keys, *(c or repeat(None) for c in columns), strict=False):
            marks = [self._mark(n, a) for n, a in enumerate(addresses) if a is not None]
            if key not in not_sent:
                others += [(mark,) for mark in marks]
            elif chosen.get(key) == 0:
                untried += [(mark, key) for mark in marks]
        self._db.executemany("INSERT OR IGNORE INTO address VALUES (?)", others)
        self._db.executemany("INSERT INTO untried VALUES (?, ?)", untried)

    def _mark(self, column: int, address: str) -> bytes:
        """16 bytes for an address: a user token is not written down."""
        text = f"{column}{address}".encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=16, key=self._pepper).digest()

    def missing(self, some: int) -> tuple[int, list[str]]:
        """How many of them the list has not, and the keys of some."""
        return _counted(
            self._db.execute("SELECT key FROM chosen WHERE NOT in_list ORDER BY line"), some
        )

    def ambiguous(self, some: int) -> tuple[int, list[str]]:
        """How many of them have more rows in the list than the report says were not sent."""
        found = self._db.execute(
            "SELECT key FROM chosen WHERE in_list > not_sent OR in_list > 1"
            " AND key IN (SELECT key FROM row_again WHERE times > 1) ORDER BY line"
        )
        return _counted(found, some)

    def sent_under_another_key(self, some: int) -> tuple[int, list[str]]:
        """How many of them have the address of a row that may have been sent."""
        found = self._db.execute(
            "SELECT DISTINCT key FROM untried JOIN address USING (mark) ORDER BY key"
        )
        return _counted(found, some)


def _counted(found: Iterator[tuple[str]], some: int) -> tuple[int, list[str]]:
    """How many keys there are, and the first ones."""
    first = [key for (key,) in islice(found, some)]
    return len(first) + sum(1 for _ in found), first
