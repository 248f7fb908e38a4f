"""The quota of one account on this machine: a small SQLite file in the user's state folder.

Nobody holds anything in it between two transactions, so that a process that is killed leaves rows and
no lock. Its times are of the machine's monotonic clock, which all processes share until the machine is
started again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from promomsg.boot_id import boot_id
from promomsg.private_files import open_private
from promomsg.transport.quota.quota_state import QuotaState
from promomsg.transport.quota.state_folder import VARIABLE, state_folder
from promomsg.transport.quota.store import QuotaStoreError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["QuotaFile", "quota_file_name"]

T = TypeVar("T")

_APPLICATION: Final = 0x50_51_55_4F
"""SQLite's application id of these files: PQUO."""
_VERSION: Final = 1
_BUSY: Final = 2.0
"""Seconds for which another process may keep a transaction open."""
_LOOK_AGAIN: Final = 0.005
"""Seconds until a file that another process is making is tried again."""
_FAR: Final = 3600.0
"""Seconds ahead for which nothing is ever given out: a row that says so is of another clock."""
_SCHEMA: Final = "CREATE TABLE quota (kind TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID"


def quota_file_name(channel: str, origin: str, account: str) -> str:
    """`wechat-api.weixin.qq.com-wx0123-5f0c….db`: for a person to know, and of this account alone."""
    whole = "\n".join((channel, origin, account))
    digest = hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    host = origin.partition("://")[2]
    known = re.sub(r"[^0-9A-Za-z._-]+", "_", f"{channel}-{host}-{account}")[:80]
    return f"{known}-{digest}.db"


_MEND: Final = f"name another folder in {VARIABLE}"


class QuotaFileError(QuotaStoreError):
    """What went wrong with a file or its folder, and what mends it."""

    def __init__(self, error: Exception, path: Path | None = None) -> None:
        where = getattr(error, "filename", None) or path
        said = getattr(error, "strerror", None) or str(error)
        super().__init__(f"{where}: {said}; {_MEND}" if where else f"{said}; {_MEND}")


def _make_folder() -> Path:
    folder = state_folder() / "quota"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class QuotaFile:
    """A `QuotaStore` in a file. Making it does no I/O: the first transaction opens the file.

    Args:
        name: the file's, by `quota_file_name`.
    """

    is_needed = False
    spread = 0.0

    def __init__(self, name: str) -> None:
        self.key = self._name = name
        self._lock = threading.Lock()
        self._opened: _Database | None = None

    def submit(self, kind: str, step: Callable[[QuotaState, float], T]) -> asyncio.Future[T]:
        """As `QuotaStore.submit`, in a thread."""
        return asyncio.get_running_loop().run_in_executor(None, self.change, kind, step)

    @property
    def where(self) -> str:
        """As `QuotaStore.where`."""
        return str(_path_of(self._name) or self._name)

    def to_local(self, at: float) -> float:
        """The same: it is one clock."""
        return at

    def to_local_by(self, at: float) -> float:
        """The same."""
        return at

    def to_stored(self, at: float) -> float:
        """The same."""
        return at

    def keep_open(self) -> None:
        """Nothing: the open file costs nobody anything."""

    async def close(self) -> None:
        """Nothing: the open file costs nobody anything."""

    def change(self, kind: str, step: Callable[[QuotaState, float], T]) -> T:
        """`submit` in this thread.

        Raises:
            QuotaStoreError: the file cannot be used.
        """
        import sqlite3

        with self._lock:
            try:
                opened = self._opened
                if opened is None or not opened.is_in_place():
                    self._opened = None
                    opened = self._opened = _Database(_make_folder() / self._name)
                return opened.change(kind, step)
            except (OSError, sqlite3.Error, msgspec.MsgspecError) as error:
                self._opened = None
                raise QuotaFileError(error, _path_of(self._name)) from None


def _path_of(name: str) -> Path | None:
    with suppress(OSError):
        return state_folder() / "quota" / name
    return None


class _Database:
    """The open file, as long as it is the one of that name, and this process the one that opened it."""

    def __init__(self, path: Path) -> None:
        import sqlite3

        self._path = path
        self._pid = os.getpid()
        self._inode = _make_private(path)
        self._db = sqlite3.connect(
            path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        self._close = weakref.finalize(self, _close, self._db, self._pid)
        self._boot = boot_id() or ""
        try:
            _prepare_when_free(self._db)
        except BaseException:
            self._close()
            raise

    def is_in_place(self) -> bool:
        """Whether it may still be used: not after a fork, nor once somebody removed the file."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._inode and self._pid == os.getpid()

    def change(self, kind: str, step: Callable[[QuotaState, float], T]) -> T:
        """One transaction."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            now = time.monotonic()
            row = db.execute("SELECT state FROM quota WHERE kind = ?", (kind,)).fetchone()
            state = self._read(row, now)
            result = step(state, now)
            db.execute(
                "INSERT INTO quota VALUES (?1, ?2) ON CONFLICT (kind) DO UPDATE SET state = ?2",
                (kind, msgspec.json.encode(state)),
            )
            db.execute("COMMIT")
        except BaseException:
            with suppress(Exception):
                db.execute("ROLLBACK")
            raise
        return result

    def _read(self, row: tuple[bytes] | None, now: float) -> QuotaState:
        if row is None:
            return QuotaState(clock=self._boot)
        state = msgspec.json.decode(row[0], type=QuotaState)
        if state.clock == self._boot and (state.latest or 0.0) < now + _FAR:
            return state
        # The machine was started since. Where it says so, its clock began then, and a call from
        # before that is as old as the clock at the least.
        began = 0.0 if self._boot else now
        return QuotaState(clock=self._boot, not_before=began + state.reach, days=state.days)


def _close(db: sqlite3.Connection, pid: int) -> None:
    if pid == os.getpid():
        with suppress(Exception):
            db.close()


def _make_private(path: Path) -> tuple[int, int]:
    """Makes the file if it is not there; which one it is."""
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino
    finally:
        os.close(descriptor)


def _prepare_when_free(db: sqlite3.Connection) -> None:
    """Waits for other processes that make the file at this moment: while one does, SQLite itself refuses to
    change how it is written, at once, whatever its time-out is."""
    import sqlite3

    end = time.monotonic() + _BUSY
    while True:
        try:
            return _prepare(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        if db.in_transaction:
            db.execute("ROLLBACK")
        time.sleep(_LOOK_AGAIN)


def _prepare(db: sqlite3.Connection) -> None:
    """Makes the table in a new file, and refuses one that is not ours."""
    import sqlite3

    version = _version(db)
    if not version:
        # In this mode a commit does not wait for the disk, and a kill or a power cut harms no file.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        if not _version(db):  # another process may have been first
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    elif version > _VERSION:
        raise sqlite3.DatabaseError("it was written by a newer promomsg")
    db.execute("PRAGMA synchronous = NORMAL")


def _version(db: sqlite3.Connection) -> int:
    """The version of the file; 0 for an empty one."""
    import sqlite3

    # In this order: another process may be making it, and whose tables are seen, their id is there too.
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application == _APPLICATION:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    if application or tables:
        raise sqlite3.DatabaseError("it is another program's file")
    return 0
