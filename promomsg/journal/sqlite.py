"""The SQLite journal: one campaign a file, which appears by rename when its plan is complete.

Beside `autumn.db` there are, while it is in use, `autumn.db-wal` and `autumn.db-shm` (SQLite's),
`autumn.db.lock` (the sender's) and, while the plan is made, `autumn.db.planning`. All are readable
by their owner only, whatever the umask.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import resources
from typing import Any, Final, Literal, Self, TypeVar, cast

from promomsg.errors import JournalError, UsageError
from promomsg.journal import sqlite_plan as plan
from promomsg.journal import sqlite_read as read
from promomsg.journal.lock import SenderLock, is_locked
from promomsg.journal.records import CampaignRecord, Control, Reached
from promomsg.journal.sqlite_handle import SqliteHandle
from promomsg.journal.sqlite_read import JournalReader
from promomsg.journal.sqlite_rows import SqliteRows
from promomsg.journal.sqlite_send import set_control
from promomsg.journal.sqlite_suppress import reached_page
from promomsg.journal.tally import Counts
from promomsg.journal.writer import Writer, explain

__all__ = ["Durability", "JournalReader", "SqliteJournal", "is_being_sent"]

Durability = Literal["power", "process"]
T = TypeVar("T")

_SIDES: Final = ("", "-wal", "-shm", "-journal")
_WAL_PAGES: Final = 2_000
_CACHE_KIB: Final = 8_000
"""Page cache of the writer; a sort before it spills to disk takes as much again."""


class SqliteJournal:
    """A journal in one file, through the standard library's sqlite3.

    Args:
        path: where it is, or is to be; its folder must exist on a local disk.
        durability: `"power"` (default) syncs every commit: what was intended is known even after a
            power cut. `"process"` leaves that to the system: it survives `kill -9`, but a power cut
            may take the last commits, and a resume would then send to those recipients again.
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "power") -> None:
        if durability not in ("power", "process"):
            raise UsageError(f'durability = {durability!r}: say "power" or "process"')
        if not isinstance(path, (str, os.PathLike)) or "\0" in os.fspath(path):
            raise UsageError(f"journal: {path!r} is not a path; give a str or a Path")
        if not os.fspath(path):
            raise UsageError("journal: the path is empty; give a file's name, or leave it out")
        self.path = os.path.realpath(path)
        self.durability: Durability = durability

    @classmethod
    def temporary(cls, *, durability: Durability = "power") -> Self:
        """A private journal in the system's folder for temporary files; see `discard`."""
        name = f"promomsg-{secrets.token_hex(8)}.db"
        return cls(os.path.join(tempfile.gettempdir(), name), durability=durability)

    def __repr__(self) -> str:
        return f"SqliteJournal({self.path!r}, durability={self.durability!r})"

    @property
    def _planning(self) -> str:
        return f"{self.path}.planning"

    async def exists(self) -> bool:
        """Whether there is a journal with a complete plan."""
        return self._exists()

    def _exists(self) -> bool:
        return os.path.exists(self.path)

    async def create(self, record: CampaignRecord) -> SqliteHandle:
        """A new campaign, under a temporary name until it is sealed.

        Raises:
            JournalError: there is one already, somebody is making one, or the folder is missing,
                full or not to be written.
        """
        lock, db = await _finish(self._create, record, unwanted=self._planning)
        return SqliteHandle(
            self.path,
            record,
            writer=Writer(self.path, db),
            lock=lock,
            planning=self._planning,
            seal=self._seal,
        )

    def _create(self, record: CampaignRecord) -> tuple[SenderLock, sqlite3.Connection]:
        if os.path.isdir(self.path):  # before the lock, which would be left beside it
            raise JournalError(f"{self.path}: it is a folder; give the path of a file in it")
        lock = SenderLock(self.path)
        try:
            if os.path.exists(self.path):
                raise JournalError(
                    f"{self.path}: there is a journal already; resume it, or give another path"
                )
            _remove(self._planning)
            fd = os.open(self._planning, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.fchmod(fd, 0o600)
            os.close(fd)
            db = read.connect(self._planning, mode="rw")
            try:
                # Nothing has to survive before the rename: a crash throws the file away.
                for pragma in (
                    "journal_mode = OFF",
                    "synchronous = OFF",
                    "locking_mode = EXCLUSIVE",
                    f"cache_size = -{_CACHE_KIB}",
                ):
                    db.execute(f"PRAGMA {pragma}")
                schema = resources.files("promomsg.journal").joinpath("schema.sql")
                db.executescript(schema.read_text("utf-8"))
                plan.save_record(db, record)
            except BaseException:
                db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            _remove(self._planning)
            lock.release()
            raise explain(error, self.path) from None
        except BaseException:
            lock.release()
            raise
        return lock, db

    def _seal(self, db: sqlite3.Connection) -> sqlite3.Connection:
        """In the writer thread: the complete file becomes durable, and then the journal."""
        db.close()
        temporary = read.connect(self._planning, mode="rw")
        try:
            temporary.execute("PRAGMA journal_mode = WAL")
        finally:
            temporary.close()
        _sync(self._planning, os.O_RDWR)
        if os.path.exists(self.path):
            raise JournalError(f"{self.path}: a file of that name has appeared; give another path")
        os.rename(self._planning, self.path)
        _sync(os.path.dirname(self.path), os.O_RDONLY)
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = read.connect(self.path, mode="rw")
        try:
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            level = "FULL" if self.durability == "power" else "NORMAL"
            db.execute(f"PRAGMA synchronous = {level}")
            if self.durability == "power":
                # macOS: a sync that also empties the drive's cache; nothing elsewhere.
                db.execute("PRAGMA fullfsync = ON")
                db.execute("PRAGMA checkpoint_fullfsync = ON")
        except BaseException:
            db.close()
            raise
        return db

    async def open(self, *, write: bool = False) -> SqliteHandle:
        """See `Journal.open`."""
        self._look()
        if not write:
            reader = await asyncio.to_thread(JournalReader, self.path)
            handle = SqliteHandle(self.path, reader.record)
            handle._reader = reader
            return handle
        lock, db, record, counts, today = await _finish(self._open)
        writer = Writer(self.path, db, today)
        writer.counts = counts
        return SqliteHandle(self.path, record, writer=writer, lock=lock)

    def _look(self) -> None:
        if os.path.isfile(self.path):
            return
        if os.path.exists(self._planning):
            raise JournalError(
                f"{self.path}: its plan was not completed and nothing was sent; send it anew"
            )
        raise JournalError(f"{self.path}: there is no journal; check the path")

    def _open(
        self,
    ) -> tuple[SenderLock, sqlite3.Connection, CampaignRecord, Counts, tuple[str, int]]:
        # Looked at first, so that a file of another kind is left as it is.
        with JournalReader(self.path) as reader:
            record = reader.record
        lock = SenderLock(self.path)
        try:
            db = self._connect()
            try:
                # Also tells now, not at the first intent, when the file cannot be written.
                db.execute("BEGIN IMMEDIATE")
                db.execute("UPDATE control SET wish = wish")
                db.execute("COMMIT")
                record, counts, today = read.record(db), read.counts(db), read.today(db)
            except BaseException:
                db.close()
                raise
        except sqlite3.Error as error:
            lock.release()
            raise explain(error, self.path) from None
        except BaseException:
            lock.release()
            raise
        return lock, db, record, counts, today

    async def request(self, control: Control) -> None:
        """Writes the control row through a connection of its own; the sender sees it at its next
        intent."""
        await asyncio.to_thread(self._request, control)

    def _request(self, control: Control) -> None:
        with JournalReader(self.path):
            pass
        db: sqlite3.Connection | None = None
        try:
            db = read.connect(self.path, mode="rw")
            set_control(db, control)
        except sqlite3.Error as error:
            raise explain(error, self.path) from None
        finally:
            if db is not None:
                db.close()

    def reached(self) -> Iterator[list[Reached]]:
        """See `Journal.reached`: by short reads, while a sender runs and after."""
        with JournalReader(self.path) as reader:
            after = -1
            while True:
                try:
                    page, after = reader.read(partial(reached_page, after=after))
                except JournalError as error:
                    raise JournalError(
                        f"{self.path}: {str(error).removeprefix(self.path + ': ')}"
                    ) from None
                if not page:
                    return
                yield page

    def rows_later(self) -> SqliteRows:
        """See `Journal.rows_later`."""
        return SqliteRows(self.path)

    def discard(self) -> None:
        """Removes the journal and every file beside it; what is open keeps what it sees."""
        _remove(self.path)
        _remove(self._planning)
        _remove(f"{self.path}.lock")


def is_being_sent(path: str | os.PathLike[str]) -> bool:
    """Whether a sender has this journal open now, in whatever process."""
    return is_locked(os.path.realpath(path))


async def _finish(call: Callable[..., T], *args: Any, unwanted: str | None = None) -> T:
    """Runs `call` in a thread, to its end. When the caller is cancelled meanwhile, what it opened is
    closed, and the file `unwanted` that it made is removed."""
    running = asyncio.get_running_loop().run_in_executor(None, call, *args)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((running,))
        if running.exception() is None:
            lock, db, *_ = cast("tuple[Any, ...]", running.result())
            db.close()
            if unwanted is not None:
                _remove(unwanted)
            lock.release()
        raise


def _remove(path: str) -> None:
    for side in _SIDES:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(f"{path}{side}")


def _sync(path: str, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
