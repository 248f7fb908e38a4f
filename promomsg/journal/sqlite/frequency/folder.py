"""The journals of a folder, and who counts them just now."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from typing import Final

from promomsg.errors import JournalError
from promomsg.journal.sqlite.crash_safety.side_files import ALL_ENDINGS
from promomsg.journal.sqlite.schema import APPLICATION_ID
from promomsg.sqlite_header import HEADER_SIZE, application_id, is_sqlite

__all__ = ["FolderLock", "journals_in"]

_SUFFIXES: Final = (".db", ".sqlite", ".sqlite3")
"""Of a file that is most likely a journal, whatever stands in it by now."""


def journals_in(folder: str, own: str) -> list[str]:
    """The paths of all journals in a folder, in order of their names, but for one's own. Half plans are none.

    Raises:
        JournalError: a file that may be one cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        raise JournalError(
            f"{folder}: {error.strerror}, so its journals cannot be counted"
        ) from None
    found: dict[str, None] = {}
    for name in names:
        path = os.path.realpath(os.path.join(folder, name))
        if path != own and not name.endswith(ALL_ENDINGS) and _is_journal(path):
            found[path] = None
    return list(found)


def _is_journal(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            start = os.pread(descriptor, HEADER_SIZE, 0)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"{path} cannot be read ({error.strerror})") from None
    if is_sqlite(start):
        return application_id(start) == APPLICATION_ID
    if path.endswith(_SUFFIXES):
        raise JournalError(f"{path} is no journal by its first bytes, though its name is one's")
    return False


class FolderLock:
    """Held by the one campaign that counts the journals of a folder and completes its plan.

    It is on the folder itself, so that nothing is left there, and dies with its process.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Whether it is held now; False: by somebody else.

        Raises:
            JournalError: the folder cannot be locked.
        """
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        except OSError as error:
            raise self._refusal(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise self._refusal(error) from None
        self._descriptor = descriptor
        return True

    def _refusal(self, error: OSError) -> JournalError:
        return JournalError(
            f"{self._folder}: cannot be locked ({error.strerror}), so two campaigns could count at once; keep "
            "the journals in a folder on a local disk"
        )

    def release(self) -> None:
        """Gives it back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                # A forked child has the descriptor too: it must not keep the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
