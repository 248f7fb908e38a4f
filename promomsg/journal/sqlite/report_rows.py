"""What a report reads single outcomes from: it holds no descriptor, since people keep reports."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from promomsg.journal.sqlite.reader import JournalReader
from promomsg.journal.sqlite.statements.reading import connect
from promomsg.journal.sqlite.writer import explain
from promomsg.model import Outcome, State

__all__ = ["SqliteRows"]

_SMALL: Final = 256 * 1024
"""Bytes of a journal that `keep` takes into memory: some 2,000 recipients."""


class SqliteRows:
    """See `promomsg.journal.contract.Rows`. The file is opened for one iteration, and closed after it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept: _KeptReader | None = None

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq.

        Raises:
            JournalError: the journal is gone, or cannot be read.
        """
        if self._kept is not None:
            yield from self._kept.rows(states)
            return
        with JournalReader(self._path) as reader:
            yield from reader.rows(states)

    def keep(self) -> None:
        """Stays readable when the file goes: a small one in memory, else by one open descriptor.

        Raises:
            JournalError: it cannot be read.
        """
        if self._kept is None:
            self._kept = _KeptReader(self._path)

    def close(self) -> None:
        """Gives back what `keep` holds."""
        if self._kept is not None:
            self._kept.close()


class _KeptReader(JournalReader):
    """A reader of a finished journal that needs neither its file's name nor the files beside it."""

    def _open(self) -> sqlite3.Connection:
        self._rest = None  # what was read once is kept
        if os.path.exists(f"{self.path}-wal"):
            return super()._open()  # somebody has it open still
        db: sqlite3.Connection | None = None
        try:
            if os.path.getsize(self.path) <= _SMALL:
                db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                content = bytearray(Path(self.path).read_bytes())
                content[18:20] = b"\x01\x01"  # a database in memory has no write-ahead log
                db.deserialize(content)
            else:
                db = connect(self.path, mode="ro", immutable=True)
            db.execute("PRAGMA query_only = ON")
            db.execute("SELECT name FROM campaign").fetchone()
        except (sqlite3.Error, OSError) as error:
            if db is not None:
                db.close()
            raise explain(error, self.path) from None
        return db
