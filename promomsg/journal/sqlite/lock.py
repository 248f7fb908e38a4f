"""The sender's lock: it dies with its process, and a second one in the same process is refused too.

`flock` on a side file. Record locks (`lockf`) would not do: they do not keep out another open of
the same process, and closing any descriptor of the file drops them. Not on the journal itself:
some systems let `flock` and SQLite's own record locks meet. The side file is removed on release,
so whoever gets the lock looks whether the file is still the one at that path. In it stands the
holder's process number, for the message to whoever is refused.

A lock of this kind belongs to the open file, which a forked child shares: the child lets go of its
copy at once, or a worker that outlives its parent would keep everybody out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
import weakref
from contextlib import suppress

from promomsg import open_file_limit
from promomsg.errors import JournalError
from promomsg.journal.sqlite.crash_safety.side_files import LOCK
from promomsg.private_files import open_private
from promomsg.standard_descriptors import open_standard_descriptors

__all__ = ["SenderLock", "holder", "is_locked"]

# Not waiting for whoever would write into a pipe that somebody put there.
_LOOK = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_held: weakref.WeakSet[SenderLock] = weakref.WeakSet()


class SenderLock:
    """Held from construction to `release`.

    Raises:
        JournalError: another sender holds it, or the folder cannot be written.
    """

    def __init__(self, journal: str) -> None:
        self.path = f"{journal}{LOCK}"
        open_standard_descriptors()
        self._fd: int | None = self._take(journal)
        self.inode = _inode(os.fstat(self._fd))
        """Device and inode of the side file."""
        _held.add(self)

    def _take(self, journal: str) -> int:
        patience = 4
        while True:
            try:
                fd = open_private(self.path, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EINVAL, errno.EPERM):
                    raise JournalError(
                        f"{self.path}: {error.strerror}; remove it, or keep the journal in a folder "
                        "of your own"
                    ) from None
                if open_file_limit.ran_out(error):
                    raise JournalError(
                        f"{journal}: {open_file_limit.remedy()}, then resume"
                    ) from None
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise JournalError(
                        f"{journal}: the disk is full; free some space, then resume"
                    ) from None
                raise JournalError(
                    f"{journal}: its folder cannot be written ({error.strerror}); choose a folder "
                    "that exists and is yours to write"
                ) from None
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _inode(os.stat(self.path)) == _inode(os.fstat(fd)):
                    with suppress(OSError):  # a full disk: the lock holds without the number
                        os.ftruncate(fd, 0)
                        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
                    return fd
            except BlockingIOError:
                os.close(fd)
                if patience > 0:
                    # Perhaps only somebody who looks whether a sender is there (`is_locked`).
                    patience -= 1
                    time.sleep(0.005)
                    continue
                pid = holder(journal)
                who = "" if pid is None else f" (process {pid})"
                raise JournalError(
                    f"{journal}: a sender has it open already{who}; wait for it to end, or ask it "
                    "to pause or cancel"
                ) from None
            except FileNotFoundError:
                pass
            except OSError as error:
                os.close(fd)
                raise JournalError(
                    f"{journal}: cannot be locked ({error.strerror}); keep the journal on a local "
                    "disk"
                ) from None
            # Its last holder removed the file between our open and our lock: again, with a new one.
            os.close(fd)

    def release(self) -> None:
        """Gives it back and removes the side file; a second call does nothing."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                if _inode(os.stat(self.path, follow_symlinks=False)) == self.inode:
                    os.unlink(self.path)  # not one that somebody else has put there since
            os.close(fd)

    def forked(self) -> None:
        """In a child: only its copy of the descriptor goes; the lock stays the parent's."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                os.close(fd)


def _forked() -> None:
    for lock in list(_held):
        lock.forked()


os.register_at_fork(after_in_child=_forked)


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def holder(journal: str) -> int | None:
    """The process number that the lock's side file names; None when it names none."""
    try:
        fd = os.open(f"{journal}{LOCK}", _LOOK)
    except OSError:
        return None
    try:
        text = os.read(fd, 21)
    except OSError:
        return None
    finally:
        os.close(fd)
    return int(text) if text.strip().isdigit() else None


def is_locked(journal: str) -> bool:
    """Whether a sender holds the lock now; looking takes nothing away from it."""
    try:
        fd = os.open(f"{journal}{LOCK}", _LOOK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
