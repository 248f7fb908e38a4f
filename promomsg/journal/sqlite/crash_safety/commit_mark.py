"""The commit mark: how far a journal got, kept outside of its write-ahead log.

SQLite rolls a `-wal` with a flipped bit, or one that was cut short, back to the last commit that it
can read, and says nothing; without its `-wal` a journal is as old as its last checkpoint. The mark
tells. It is written after each commit and before anybody hears of that commit, so it is never ahead
of what was durable then, and no call leaves for a commit that it does not have. It is not synced
with each commit: after a power cut it may be behind, which means no more than that it notices less.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import suppress
from typing import Final, NamedTuple

from promomsg.journal.sqlite.crash_safety.side_files import MARK

__all__ = ["CommitMark", "Position", "close_clean", "read_mark"]

_HEAD: Final = "promomsg-mark 1"
_LENGTH: Final = len(_HEAD) + 1 + 32 + 3 * (1 + 20) + 1 + 8 + 1


class Position(NamedTuple):
    """How far a journal got.

    `run_id` says whose position it is (32 hex digits), `number` is `commit_log.log_no` of the last commit;
    `singles` and `groups` are the highest chunk ever leased of each kind, 0 for none.
    """

    run_id: str
    number: int
    singles: int
    groups: int


def _whose(run_id: str) -> bytes:
    return f"{_HEAD} {run_id:.32} ".encode()


def _chunks(singles: int, groups: int) -> bytes:
    return b" %020d %020d " % (singles, groups)


def _line(before: bytes, number: int, after: bytes) -> bytes:
    text = b"%b%020d%b" % (before, number, after)
    return b"%b%08x\n" % (text, zlib.crc32(text))


def read_mark(journal: str, run_id: str) -> Position | None:
    """The mark beside a journal; None when there is none, it is torn, or it is another journal's."""
    try:
        fd = os.open(journal + MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        content = os.read(fd, _LENGTH + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    words = content.split()
    if len(content) != _LENGTH or len(words) != 7:
        return None
    try:
        numbers = [int(word) for word in words[3:6]]
    except ValueError:
        return None
    number, singles, groups = numbers
    if _line(_whose(run_id), number, _chunks(singles, groups)) != content:
        return None
    return Position(run_id, number, singles, groups)


class CommitMark:
    """The mark of a journal that a sender has open; of the writer thread alone.

    Args:
        journal: the journal's path.
        position: where it stands now; on disk, the folder's entry too, once this returns.
        durable: whether the syncs of `write` are wanted.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, journal: str, position: Position, *, durable: bool) -> None:
        self.path = journal + MARK
        run_id, number, self._singles, self._groups = position
        self._before, self._after = _whose(run_id), _chunks(self._singles, self._groups)
        self._durable = durable
        # A file of its own each time, complete before it has its name: an earlier mark is there
        # until then, and nothing that was planted under the name is written into.
        new = f"{self.path}.partial"
        with suppress(FileNotFoundError):
            os.unlink(new)
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
            os.write(fd, _line(self._before, number, self._after))
            os.fsync(fd)
            self._inode = _inode(os.fstat(fd))
            os.rename(new, self.path)
            _sync_folder(os.path.dirname(self.path))
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
        finally:
            os.close(fd)

    def write(self, number: int, singles: int, groups: int, *, sync: bool) -> None:
        """Says that commit `number` is done.

        The file is opened each time: hundreds of campaigns in one process would run out of
        descriptors. One that was removed or replaced under the sender is left alone: the sender
        sees that within a second, and stops.

        Args:
            singles, groups: the chunk that it leased, of that kind; 0 for none.
            sync: a chunk begins or ends with it.

        Raises:
            OSError: it cannot be written: what is sent from now on could not be told from what
                was not, so nothing may be.
        """
        if singles > self._singles or groups > self._groups:
            self._singles, self._groups = max(singles, self._singles), max(groups, self._groups)
            self._after = _chunks(self._singles, self._groups)
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        try:
            if _inode(os.fstat(fd)) != self._inode:
                return
            # Less than a sector at its beginning, never longer: it is there whole, or as it was.
            os.pwrite(fd, _line(self._before, number, self._after), 0)
            if sync and self._durable:
                _sync(fd)
        finally:
            os.close(fd)

    def close(self, *, remove: bool) -> None:
        """Lets go of it; `remove`: the journal is closed cleanly and needs it no more."""
        if remove:
            with suppress(OSError):
                if _inode(os.stat(self.path, follow_symlinks=False)) == self._inode:
                    os.unlink(self.path)


def close_clean(db: sqlite3.Connection, mark: CommitMark) -> None:
    """Clears the open flag, merges the write-ahead log, and closes; then the mark is needed no more.

    Whatever stays in a -wal, because somebody reads, is told from a lost one by the mark.
    """
    merged = False
    with suppress(sqlite3.Error):
        db.execute("UPDATE campaign SET sender_open = 0")
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        merged = not busy
    with suppress(sqlite3.Error):
        db.close()
    mark.close(remove=merged)


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


_sync = getattr(os, "fdatasync", os.fsync)  # macOS has none


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
