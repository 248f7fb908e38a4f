"""Descriptors 0, 1 and 2: never free, so that no file, socket or loop is ever taken for a terminal.

A daemon or `promomsg … 0<&- >&- 2>&-` begins with some of them closed. The next file opened gets
the free number: a journal would then be somebody's standard output, and libuv (uvloop) ends the
process when one of its own descriptors is under 3.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["open_standard_descriptors"]

_STANDARD: Final = (0, 1, 2)


def open_standard_descriptors() -> tuple[int, ...]:
    """Opens those of 0, 1 and 2 that are closed on the null device; returns which they were.

    To be called before anything else is opened. Children get them as this process has them.
    """
    closed = tuple(number for number in _STANDARD if not _is_open(number))
    for number in closed:
        null = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
        if null != number:
            # Somebody opened a file in between, or an earlier number is closed as well.
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
    return closed


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
