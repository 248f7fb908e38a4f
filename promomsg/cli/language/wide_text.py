"""Text by the columns that it takes on a terminal, where most Chinese characters take two."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["padded", "width", "wrapped"]

_NOT_FIRST: Final = frozenset("，。；：、？！）】》」』”’…,.;:?!)]}")
"""No line begins with one of these."""
_PIECE: Final = re.compile(r" +|[!-~]+|.", re.DOTALL)
"""Spaces, a word of ASCII, or one other character: a line may end after any of them."""


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def padded(text: str, columns: int) -> str:
    """A text, and spaces up to so many columns."""
    return text + " " * (columns - width(text))


def wrapped(text: str, columns: int) -> list[str]:
    """The lines of a text that has few spaces; a word of ASCII is never broken."""
    lines, line = [], ""
    for piece in _joined(_PIECE.findall(text)):
        if line and width(line) + width(piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() else lines


def _joined(pieces: list[str]) -> list[str]:
    """The same, closing punctuation with what it closes."""
    joined: list[str] = []
    for piece in pieces:
        if joined and piece[0] in _NOT_FIRST and not joined[-1].isspace():
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
