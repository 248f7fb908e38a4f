"""What nobody else is to see: files that only their owner can read, and the locals of an error."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

__all__ = ["forget", "write_private"]


def write_private(path: Path, content: bytes) -> None:
    """Writes a file in one step, readable by its owner only, whatever the umask says.

    Raises:
        OSError: it cannot be written; an earlier file of that name is then untouched.
    """
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def forget(error: BaseException) -> None:
    """Clears the variables of every finished frame that an exception came through.

    A crash reporter shows them, and down there a URL, a header or a body holds the secret in the
    clear, as it has to. Text, lines and chain stay as they are.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        waiting += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
