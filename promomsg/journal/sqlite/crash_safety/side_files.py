"""What stands beside a journal's file. SQLite writes into its own ones, and believes them, whoever put
them there.
"""

from __future__ import annotations

import glob
import os
import stat
from contextlib import suppress
from typing import Final

from promomsg.errors import JournalError

__all__ = [
    "ALL_ENDINGS",
    "LOCK",
    "MARK",
    "PLANNING",
    "SIDE_FILES",
    "SLOTS",
    "WAL",
    "clear_side_files",
    "failure_file",
    "refuse_foreign_log",
    "refuse_planted",
    "remove_database",
    "remove_failure_files",
]

WAL: Final = "-wal"
SIDE_FILES: Final = (WAL, "-shm", "-journal")
"""SQLite's own: the write-ahead log, its index, and the log of a database that has none."""
MARK: Final = "-mark"
"""The commit mark: how far a sender got."""
SLOTS: Final = "-slots"
"""The wire slots: whose call may have begun."""
LOCK: Final = ".lock"
"""The sender's lock."""
PLANNING: Final = ".planning"
"""A plan that is being made."""
ALL_ENDINGS: Final = (*SIDE_FILES, MARK, SLOTS, LOCK, PLANNING)
"""Of the names of all files that stand beside a journal while it is in use."""


def failure_file(path: str, group_no: int) -> str:
    """The file beside a journal that is a group's failure file as it came."""
    return f"{path}.group-{group_no}.failures"


def remove_database(path: str) -> None:
    """Removes a journal's file and what belongs to its content; the sender's lock stays."""
    for side in ("", *SIDE_FILES, MARK, SLOTS):
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(f"{path}{side}")


def remove_failure_files(path: str) -> None:
    """Removes those of all groups of a journal that goes."""
    for found in glob.glob(f"{glob.escape(path)}.group-*.failures"):
        with suppress(FileNotFoundError):
            os.unlink(found)


def refuse_planted(path: str) -> None:
    """Looks, before SQLite opens a journal, that nobody has planted a link beside it.

    Raises:
        JournalError: something there is a link, a second name of another file, or no file.
    """
    for side in SIDE_FILES:
        try:
            found = os.lstat(f"{path}{side}")
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(found.st_mode):
            why = "it is a link"
        elif not stat.S_ISREG(found.st_mode):
            why = "it is not a regular file"
        elif found.st_nlink > 1:
            why = "it has a second name (a hard link), and would be written into"
        else:
            continue
        raise JournalError(
            f"{path}{side}: {why}; remove it when it is not the journal's own, or keep the journal "
            "in a folder of your own"
        )


def refuse_foreign_log(path: str) -> None:
    """Looks, before there is a journal, for a log that SQLite would replay over it, whosever it is.

    Raises:
        JournalError: there is one, or something that is planted.
    """
    refuse_planted(path)
    for side in (WAL, "-journal"):
        with suppress(FileNotFoundError):
            if os.stat(f"{path}{side}").st_size:
                name = os.path.basename(path)
                raise JournalError(
                    f"{path}: {name}{side} of an earlier journal stands there; bring the two "
                    "together again, remove it if you need neither, or give another path"
                )


def clear_side_files(path: str) -> None:
    """Removes what an earlier journal left empty, and may have left readable to others.

    Raises:
        JournalError: see `refuse_foreign_log`. OSError: it cannot be removed.
    """
    refuse_foreign_log(path)
    for side in SIDE_FILES:
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{side}")
