"""A plan that was never completed: nothing of it was sent."""

from __future__ import annotations

import os

from promomsg.errors import JournalError
from promomsg.journal.sqlite.crash_safety.side_files import PLANNING, remove_database
from promomsg.journal.sqlite.lock import SenderLock

__all__ = ["remove_half_plan"]


def remove_half_plan(journal: str | os.PathLike[str]) -> None:
    """Removes what there is of it, as the only one who has it.

    Raises:
        JournalError: somebody makes it just now, or it cannot be removed.
    """
    path = os.path.realpath(journal)
    lock = SenderLock(path)
    try:
        remove_database(path + PLANNING)
    except OSError as error:
        raise JournalError(f"{path}{PLANNING}: cannot be removed: {error.strerror}") from None
    finally:
        lock.release()
