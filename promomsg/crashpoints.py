"""Named places where a test may kill the process: after a commit, before the wire, in the merge.

`PROMOMSG_CRASH_AT="after-intend-commit:3"` makes the third passing of that name a SIGKILL, as a
power switch would. Without the variable, read once at import, a passing is an empty call.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

__all__ = ["VARIABLE", "reached"]

VARIABLE: Final = "PROMOMSG_CRASH_AT"

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count) if _count else 1
_lock = threading.Lock()


def _armed(name: str) -> None:
    global _left
    if name != _name:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _unset(name: str) -> None:
    pass


reached = _armed if _name else _unset
"""`reached(name)`: says that the place `name` was passed."""
