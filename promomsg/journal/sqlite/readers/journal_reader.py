"""Reading a journal's file: nothing on disk is changed by it, also after a sender was killed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from promomsg.errors import JournalError
from promomsg.journal.sqlite import schema as sqlite_schema
from promomsg.journal.sqlite.connect import connect, explain
from promomsg.journal.sqlite.crash_safety.commit_mark import Position, read_mark
from promomsg.journal.sqlite.crash_safety.lost_commits import Finding, judge, position
from promomsg.journal.sqlite.crash_safety.side_files import WAL, refuse_planted
from promomsg.journal.sqlite.lock import SenderLock, is_locked
from promomsg.journal.sqlite.readers.reader import Reader
from promomsg.journal.sqlite.statements import reading as read

__all__ = ["JournalReader", "wal_size"]

_STEP: Final = 50_000
_FEW_STEPS: Final = 200
"""SQLite's instructions between looks at how many a read has taken, and looks that any may take;
four instructions a byte of the file come on top (a scan takes less than one)."""

_SMALL: Final = 256 * 1024
"""Bytes of a journal that `detach` takes into memory: some 2,000 recipients."""

T = TypeVar("T")


class _Steps:
    """Ends a read that would never end, as one of a damaged tree of pages may."""

    __slots__ = ("most", "taken")

    def __init__(self) -> None:
        self.taken = self.most = 0

    def too_many(self) -> bool:
        self.taken += 1
        return self.taken > self.most


def wal_size(path: str) -> int | None:
    """The size of the write-ahead log beside a journal; None when there is none."""
    try:
        return os.stat(f"{path}{WAL}").st_size
    except FileNotFoundError:
        return None


def _at_rest(path: str) -> tuple[int, ...] | None:
    """What tells a file that nobody has open from itself after a change; None: somebody may."""
    if wal_size(path) or os.path.lexists(f"{path}-journal"):
        return None
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _files(path: str) -> list[tuple[int, ...] | None]:
    """What tells a journal's file and its -wal from others of that name, and a -wal from itself after
    a change."""
    found: list[tuple[int, ...] | None] = []
    for name in (path, f"{path}{WAL}"):
        try:
            status = os.stat(name)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
            if name != path:
                found.append((status.st_size, status.st_mtime_ns))
    return found


class JournalReader(Reader):
    """A journal's file as a reader sees it.

    Nothing on disk is changed by it: no -wal is merged or removed, also after a sender was killed.

    Raises:
        JournalError: there is no journal, it is another version's, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = self.name = os.path.realpath(path)
        self._steps = _Steps()
        self._opened: list[tuple[int, ...] | None] = []
        self._rest: tuple[int, ...] | None = None
        if not os.path.isfile(self.path):
            raise JournalError(f"{os.fspath(path)}: there is no journal; check the path")
        refuse_planted(self.path)
        super().__init__(self.path, self._open())

    def _open(self) -> sqlite3.Connection:
        """A connection that changes nothing on disk, not even when it is the last one to close.

        SQLite's last connection merges the -wal and removes it, unless it cannot write: `mode=ro`.
        Such a one would leave an empty -wal where none was, so a file of which nothing is in one is
        read as it stands (`immutable`, no locks), and read again when it has changed meanwhile.
        """
        db: sqlite3.Connection | None = None
        try:
            self._opened = _files(self.path)
            self._rest = _at_rest(self.path)
            db = connect(self.path, mode="ro", immutable=self._rest is not None)
            self._steps.most = _FEW_STEPS + 4 * os.path.getsize(self.path) // _STEP
            db.set_progress_handler(self._steps.too_many, _STEP)
            sqlite_schema.check_version(db, self.path)
            sqlite_schema.check_schema(db, self.path)
            sqlite_schema.show_as_current(db)
            db.execute("PRAGMA query_only = ON")
            db.execute("SELECT name FROM campaign").fetchone()
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
            if db is not None:
                db.close()
            raise self._explained(error) from None
        return db

    def read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            while True:
                self._steps.taken = 0
                try:
                    result = call(self._db)
                except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
                    if not self._has_changed():
                        raise self._explained(error) from None
                else:
                    if not self._has_changed():
                        return result
                self._db.close()
                self._db = self._open()

    def _has_changed(self) -> bool:
        """Whether somebody has opened or written the file that was read as it stood."""
        if self._rest is None:
            return False
        with suppress(OSError):
            now = _at_rest(self.path)
            if now is None or now[:2] == self._rest[:2]:
                return now != self._rest
        return False  # gone, or another one's name: what is open is still what it was

    def detach(self) -> None:
        """From now on it reads what is there now, and needs neither the file's name nor the files
        beside it: a small journal is copied into memory, of another the file stays open.

        Of a campaign that is closed. While a sender has it open still, it goes on reading as before.

        Raises:
            JournalError: it cannot be read.
        """
        self.read(read.record)
        with self._lock:
            if os.path.exists(f"{self.path}{WAL}"):
                return
            try:
                if os.path.getsize(self.path) <= _SMALL:
                    copy = sqlite3.connect(
                        ":memory:", isolation_level=None, check_same_thread=False
                    )
                    try:
                        self._db.backup(copy)
                        sqlite_schema.show_as_current(copy)
                    except BaseException:
                        copy.close()
                        raise
                    self._db.close()
                    self._db = copy
                self._rest = None
            except (sqlite3.Error, OSError) as error:
                raise explain(error, self.path) from None

    def is_as_opened(self) -> bool:
        """Whether the files at the journal's path are those that it reads, the -wal unchanged.

        A connection still sees commits of a -wal that has been removed, replaced or cut meanwhile,
        and the next connection does not.
        """
        return self._opened == _files(self.path)

    def check_whole(self) -> None:
        """Raises JournalError when it is damaged: a pass over the whole file."""
        self.read(lambda db: sqlite_schema.check_whole(db, self.path))

    def position(self) -> tuple[bool, Position]:
        """(open flag, how far the journal got by its own account)."""
        return self.read(position)

    def finding(self) -> Finding:
        """Whether commits that were made are missing, as far as nobody is sending it now."""
        wal = wal_size(self.path)
        flag, at = self.position()
        return judge(flag=flag, wal=wal, number=at.number, mark=read_mark(self.path, at.run_id))

    def warnings(self) -> list[str]:
        """What a look at a journal that nobody is sending has to say of how true it is."""
        name = os.path.basename(self.path)
        match self.finding():
            case Finding.WHOLE:
                return []
            case Finding.BEHIND:
                lost = f"{name}{WAL} is damaged or was cut"
            case Finding.LOST:
                lost = f"{name}{WAL}, which a sender wrote, is not beside it"
        return [f"{lost}: these counts may be older than what was sent; resume says what to do"]

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            was_open, self._rest = self._rest is None, None
            clean = was_open and wal_size(self.path) == 0 and not position(self._db)[0]
            self._db.close()
            if clean:
                self._tidy_up()

    def _tidy_up(self) -> None:
        """After a clean close of the sender that this reader has outlived: only a connection that
        can write removes the empty files that SQLite leaves. Under the sender's lock: none begins
        meanwhile, so there is nothing in them."""
        if is_locked(self.path):
            return
        with suppress(JournalError, OSError):
            lock = SenderLock(self.path)
            try:
                if wal_size(self.path) == 0:
                    db = connect(self.path, mode="rw")
                    db.execute("SELECT requested FROM control").fetchone()
                    db.close()
            finally:
                lock.release()
