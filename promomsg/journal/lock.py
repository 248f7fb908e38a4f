"""The sender's lock: it dies with its process, and a second one in the same process is refused too.

`flock` on a side file. Record locks (`lockf`) would not do: they do not keep out another open of
the same process, and closing any descriptor of the file drops them. Not on the journal itself:
some systems let `flock` and SQLite's own record locks meet. The side file is removed on release,
so whoever gets the lock looks whether the file is still the one at that path.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

from promomsg.errors import JournalError

__all__ = ["SenderLock", "is_locked"]


class SenderLock:
    """Held from construction to `release`.

    Raises:
        JournalError: another sender holds it, or the folder cannot be written.
    """

    def __init__(self, journal: str) -> None:
        self.path = f"{journal}.lock"
        self._fd: int | None = self._take(journal)

    def _take(self, journal: str) -> int:
        patience = 4
        while True:
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise JournalError(
                    f"{journal}: its folder cannot be written ({error.strerror}); choose a folder "
                    "that exists and is yours to write"
                ) from None
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                there = os.stat(self.path)
                mine = os.fstat(fd)
                if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                    return fd
            except BlockingIOError:
                os.close(fd)
                if patience > 0:
                    # Perhaps only somebody who looks whether a sender is there (`is_locked`).
                    patience -= 1
                    time.sleep(0.005)
                    continue
                raise JournalError(
                    f"{journal}: a sender has it open already; wait for it to end, or ask it to "
                    "pause or cancel"
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
                os.unlink(self.path)
            os.close(fd)


def is_locked(journal: str) -> bool:
    """Whether a sender holds the lock now; looking takes nothing away from it."""
    try:
        fd = os.open(f"{journal}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
