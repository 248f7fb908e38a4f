"""An exception's traceback: its local variables, which crash reporters show, secrets among them, and the
line of a caller's own code in it."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import FrameType
from typing import Final

__all__ = ["clear_traceback_locals", "raised_at"]

_BETWEEN: Final = {"promomsg", "asyncio", "anyio"}
"""Packages whose lines lie between the engine and a caller's own function."""


def raised_at(error: BaseException) -> str:
    """What a caller's own function raised, and at which line of theirs: `KeyError at tokens.py, line 7`.
    Its text is left out, since it may hold what it should not."""
    kind, frames = type(error).__name__, list(traceback.walk_tb(error.__traceback__))
    theirs = [at for at in frames if _package(at[0]) not in _BETWEEN]
    if not frames:
        return kind
    frame, line = theirs[0] if theirs else frames[-1]
    return f"{kind} at {Path(frame.f_code.co_filename).name}, line {line}"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def clear_traceback_locals(error: BaseException) -> None:
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
