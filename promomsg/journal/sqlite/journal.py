"""The SQLite journal: one campaign a file, which appears by rename when its plan is complete.

Beside `autumn.db` there are, while it is in use, `autumn.db-wal` and `autumn.db-shm` (SQLite's),
`autumn.db.lock` (the sender's), `autumn.db-mark` (how far it got) and, while the plan is made,
`autumn.db.planning`. All are readable by their owner only, whatever the umask.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Self

import msgspec

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import JournalError, UsageError
from promomsg.journal.counts import RunningCounts
from promomsg.journal.records import NEVER, CampaignRecord, Control, Durability, Reached
from promomsg.journal.sqlite.access import ReadAccess, WriteAccess
from promomsg.journal.sqlite.connect import connect, explain
from promomsg.journal.sqlite.crash_safety.commit_mark import (
    CommitMark,
    Position,
    close_clean,
)
from promomsg.journal.sqlite.crash_safety.file_view import FileView
from promomsg.journal.sqlite.crash_safety.files_in_place import FilesInPlace
from promomsg.journal.sqlite.crash_safety.in_doubt import source_of
from promomsg.journal.sqlite.crash_safety.lost_commits import Finding
from promomsg.journal.sqlite.crash_safety.open_flag import check_whole, set_open_flag
from promomsg.journal.sqlite.crash_safety.sender_slots import SenderSlots, left_slots
from promomsg.journal.sqlite.crash_safety.side_files import (
    LOCK,
    PLANNING,
    clear_side_files,
    refuse_foreign_log,
    remove_database,
    remove_failure_files,
)
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.journal.sqlite.lock import SenderLock, holder, is_locked
from promomsg.journal.sqlite.readers.journal_reader import JournalReader
from promomsg.journal.sqlite.readers.report_rows import ReportRows
from promomsg.journal.sqlite.schema import bring_up, schema_text
from promomsg.journal.sqlite.statements import reading as read
from promomsg.journal.sqlite.statements.campaign_row import save_record, set_control
from promomsg.journal.sqlite.writer import Writer
from promomsg.private_files import rename_new
from promomsg.standard_descriptors import open_standard_descriptors

__all__ = ["JournalReader", "SqliteJournal"]

_CACHE_KIB: Final = 8_000
"""Page cache of the writer."""
_PLANNING_CACHE_KIB: Final = 2_000
"""Page cache while a plan is written; a sort before it spills to disk takes as much again. With more
of it, what is sorted at a time leaves the processor's own cache, and that takes a tenth longer."""


class _Opened(msgspec.Struct, frozen=True):
    """What a sender has of a journal that is there."""

    lock: SenderLock
    db: sqlite3.Connection
    mark: CommitMark | None
    record: CampaignRecord
    counts: RunningCounts
    today: tuple[str, int]
    slots: SenderSlots

    def close(self) -> None:
        """Gives it back: nothing was sent from it."""
        if self.mark is None:
            self.db.close()
        else:
            close_clean(self.db, self.mark)
        self.lock.release()


class SqliteJournal:
    """A journal in one file, through the standard library's sqlite3.

    Args:
        path: where it is, or is to be; its folder must exist on a local disk.
        durability: `"power"` (default) syncs every commit: what was intended is known even after a
            power cut. `"process"` leaves that to the system: it survives `kill -9`, but a power cut
            may take the last commits, and a resume would then send to those recipients again.
        clock: by which its leases are held.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if durability not in ("power", "process"):
            raise UsageError(f'durability = {durability!r}: say "power" or "process"')
        if not isinstance(path, (str, os.PathLike)) or "\0" in os.fspath(path):
            raise UsageError(f"journal: {path!r} is not a path; give a str or a Path")
        if not os.fspath(path):
            raise UsageError("journal: the path is empty; give a file's name, or leave it out")
        self.path = os.path.realpath(path)
        self.durability: Durability = durability
        self._clock = clock
        self._reader: JournalReader | None = None

    @classmethod
    def temporary(cls, *, durability: Durability = "power") -> Self:
        """A private journal in the system's folder for temporary files; see `discard`."""
        name = f"promomsg-{secrets.token_hex(8)}.db"
        return cls(os.path.join(tempfile.gettempdir(), name), durability=durability)

    @classmethod
    def behind(cls, view: FileView, *, durability: Durability = "power") -> Self:
        """The journal that somebody looks at: its next `open` takes the view's reader over, so that
        the file is not opened and looked at once more."""
        journal = cls(view.reader.path, durability=durability)
        journal._reader = view.reader
        return journal

    def _take_reader(self) -> JournalReader:
        reader, self._reader = self._reader, None
        if reader is not None:
            if reader.is_as_opened():
                return reader
            reader.close()
        return JournalReader(self.path)

    def __repr__(self) -> str:
        path, durability = getattr(self, "path", None), getattr(self, "durability", None)
        return f"SqliteJournal({path!r}, durability={durability!r})"

    @property
    def _planning(self) -> str:
        return self.path + PLANNING

    async def create(self, record: CampaignRecord) -> SqliteHandle:
        """A new campaign, under a temporary name until it is sealed.

        Raises:
            JournalError: there is one already, somebody is making one, or the folder is missing,
                full or not to be written.
        """
        made = await _finish(self._create, record, unwanted=self._planning)
        writer = Writer(self.path, made.db)

        def seal(db: sqlite3.Connection, record: CampaignRecord) -> None:
            writer.db, writer.mark = self._seal(db, record)

        def release() -> None:
            with suppress(OSError):
                remove_database(self._planning)  # half a plan
            made.lock.release()

        access = WriteAccess(
            self.path, writer, missing=FilesInPlace(self.path).missing, release=release
        )
        return SqliteHandle(
            record, access, path=self.path, seal=seal, slots=made.slots, clock=self._clock
        )

    def _create(self, record: CampaignRecord) -> _Opened:
        open_standard_descriptors()
        if os.path.isdir(self.path):  # before the lock, which would be left beside it
            raise JournalError(f"{self.path}: it is a folder; give the path of a file in it")
        lock = SenderLock(self.path)
        try:
            if os.path.exists(self.path):
                raise JournalError(
                    f"{self.path}: there is a journal already; resume it, or give another path"
                )
            refuse_foreign_log(self.path)
            remove_database(self._planning)
            fd = os.open(self._planning, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.fchmod(fd, 0o600)
            os.close(fd)
            db = connect(self._planning, mode="rw")
            try:
                # Nothing has to survive before the rename: a crash throws the file away.
                for pragma in (
                    "journal_mode = OFF",
                    "synchronous = OFF",
                    "locking_mode = EXCLUSIVE",
                    f"cache_size = -{_PLANNING_CACHE_KIB}",
                ):
                    db.execute(f"PRAGMA {pragma}")
                db.executescript(schema_text())
                save_record(db, record)
            except BaseException:
                db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            with suppress(OSError):
                remove_database(self._planning)
            lock.release()
            raise explain(error, self.path) from None
        except BaseException:
            lock.release()
            raise
        slots = SenderSlots(self.path)
        return _Opened(lock, db, None, record, RunningCounts(), ("", 0), slots)

    def _seal(
        self, db: sqlite3.Connection, record: CampaignRecord
    ) -> tuple[sqlite3.Connection, CommitMark]:
        """In the writer thread: the complete file becomes durable, and then the journal."""
        db.close()
        temporary = connect(self._planning, mode="rw")
        try:
            temporary.execute("PRAGMA journal_mode = WAL")
        finally:
            temporary.close()
        _sync(self._planning, os.O_RDWR)
        if os.path.exists(self.path):
            raise JournalError(f"{self.path}: a file of that name has appeared; give another path")
        clear_side_files(self.path)
        durable = self.durability == "power"
        mark = CommitMark(self.path, Position(record.run_id, 0, 0, 0), durable=durable)
        try:
            rename_new(self._planning, self.path)
            _sync(os.path.dirname(self.path), os.O_RDONLY)
            return self._connect(), mark
        except FileExistsError:
            mark.close(remove=False)
            raise JournalError(
                f"{self.path}: a file of that name has appeared; give another path"
            ) from None
        except BaseException:
            mark.close(remove=not os.path.exists(self.path))
            raise

    def _connect(self) -> sqlite3.Connection:
        db = connect(self.path, mode="rw")
        try:
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            db.execute("PRAGMA wal_autocheckpoint = 0")  # the writer thread merges it
            level = "FULL" if self.durability == "power" else "NORMAL"
            db.execute(f"PRAGMA synchronous = {level}")
            if self.durability == "power":
                # macOS: a sync that also empties the drive's cache; nothing elsewhere.
                db.execute("PRAGMA fullfsync = ON")
                db.execute("PRAGMA checkpoint_fullfsync = ON")
            db.execute("SELECT requested FROM control").fetchone()  # the -wal is there from here on
        except BaseException:
            db.close()
            raise
        return db

    async def open(self, *, write: bool = False, after_lost_wal: bool = False) -> SqliteHandle:
        """See `Journal.open`."""
        self._refuse_missing()
        if not write:
            reader = await asyncio.to_thread(self._take_reader)
            return SqliteHandle(reader.record, ReadAccess(reader), path=self.path)
        opened = await _finish(self._open, after_lost_wal)
        writer = Writer(self.path, opened.db, opened.today, opened.mark)
        writer.counts = opened.counts
        in_place = FilesInPlace(self.path)
        in_place.missing()  # looked at now: a person may be asked before the first call
        access = WriteAccess(
            self.path,
            writer,
            missing=in_place.missing,
            release=opened.lock.release,
        )
        return SqliteHandle(
            opened.record, access, path=self.path, slots=opened.slots, clock=self._clock
        )

    def _refuse_missing(self) -> None:
        if os.path.isfile(self.path):
            return
        if os.path.exists(self._planning):
            raise JournalError(
                f"{self.path}: its plan was not completed and nothing was sent; send it anew"
            )
        raise JournalError(f"{self.path}: there is no journal; check the path")

    def _open(self, after_lost_wal: bool) -> _Opened:
        # Looked at first, so that a file of another kind is left as it is.
        with self._take_reader() as reader:
            lock = SenderLock(self.path)
            try:
                finding, mark = check_whole(reader, after_lost_wal=after_lost_wal)
                counted = reader.read(read.count_again) if finding is Finding.WHOLE else None
                slots = SenderSlots(self.path, *left_slots(reader, finding, mark))
                reader.close()
                db = self._connect()
                try:
                    bring_up(db)
                    durable = self.durability == "power"
                    new = set_open_flag(db, self.path, finding, mark, counted, durable=durable)
                    try:
                        counts = read.kept_counts(db)
                        if slots.left is None:
                            slots.forget_earlier()
                        return _Opened(
                            lock, db, new, read.record(db), counts, read.today(db), slots
                        )
                    except BaseException:
                        new.close(remove=False)
                        raise
                except BaseException:
                    db.close()
                    raise
            except (sqlite3.Error, OSError) as error:
                lock.release()
                raise explain(error, self.path) from None
            except BaseException:
                lock.release()
                raise

    def reader(self) -> FileView:
        """See `Journal.reader`."""
        return FileView(self._take_reader())

    @property
    def address(self) -> str:
        """See `Journal.address`."""
        return self.path

    def exists(self) -> bool:
        """See `Journal.exists`."""
        return os.path.lexists(self.path)

    def is_being_sent(self) -> bool:
        """See `Journal.is_being_sent`."""
        return is_locked(self.path)

    def senders(self) -> list[str]:
        """See `Journal.senders`."""
        pid = holder(self.path)
        return [] if pid is None else [f"process {pid}"]

    async def request(self, control: Control) -> None:
        """Writes the control row through a connection of its own; the sender sees it at its next
        intent."""
        await asyncio.to_thread(self._request, control)

    def _request(self, control: Control) -> None:
        # The reader stays open meanwhile: the last connection to close merges the -wal, unless it
        # can only read, and after a kill that is left to whoever looks whether it is whole.
        with JournalReader(self.path) as reader:
            reader.control()
            db: sqlite3.Connection | None = None
            try:
                db = connect(self.path, mode="rw")
                db.execute("PRAGMA wal_autocheckpoint = 0")
                set_control(db, control)
            except sqlite3.Error as error:
                raise explain(error, self.path) from None
            finally:
                if db is not None:
                    db.close()

    def reached(self, since: float = NEVER, *, pending: bool = False) -> Iterator[list[Reached]]:
        """See `Journal.reached`: by short reads, while a sender runs and after."""
        with JournalReader(self.path) as reader:
            if reader.warnings() and not self.is_being_sent():
                raise JournalError(
                    f"{self.path}: its last commits are lost, so that it does not say who was sent "
                    "to; resume it first (--after-lost-wal), then they are unknown in it"
                )
            yield from reader.reached(since, pending=pending)

    def rows_later(self) -> ReportRows:
        """See `Journal.rows_later`."""
        return ReportRows(self.path, source_of)

    def quota_store(self, channel: str, origin: str, account: str) -> None:
        """See `Journal.quota_store`: the machine's own."""

    token_store = quota_store

    def discard(self) -> None:
        """Removes the journal and every file beside it; what is open keeps what it sees."""
        # They name people, and after a kill here nobody would look for them without a journal.
        remove_failure_files(self.path)
        remove_database(self.path)
        remove_database(self._planning)
        remove_database(self.path + LOCK)


async def _finish(call: Callable[..., _Opened], *args: Any, unwanted: str | None = None) -> _Opened:
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
            opened = running.result()
            opened.close()
            if unwanted is not None:
                remove_database(unwanted)
        raise


def _sync(path: str, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
