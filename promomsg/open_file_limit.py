"""How many files and connections this process may have open at once (`ulimit -n`)."""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["is_exhausted", "limit", "ran_out", "remedy"]


def limit() -> int | None:
    """The soft limit of open files; None when there is none."""
    if sys.platform == "win32":  # pragma: no cover - it has no such limit
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def ran_out(error: BaseException) -> bool:
    """Whether an error says that no further file or connection can be opened."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def is_exhausted() -> bool:
    """Whether not one more file can be opened now.

    For libraries that hide it: SQLite says "unable to open database file", and the system's
    resolver that the name is not known.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return ran_out(error)
    return False


def remedy() -> str:
    """What happened and what to do about it, in one line."""
    allowed = limit()
    now = "" if allowed is None else f" (ulimit -n is {allowed})"
    return f"too many open files{now}: raise ulimit -n, or run fewer campaigns at once"
