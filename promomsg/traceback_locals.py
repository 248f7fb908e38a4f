"""The local variables in an exception's traceback: crash reporters show them, secrets among them."""

from __future__ import annotations

import traceback

__all__ = ["clear_traceback_locals"]


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
