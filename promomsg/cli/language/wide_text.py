"""Text by the columns that it takes on a terminal, where most Chinese characters take two."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["folded", "padded", "width", "wrapped"]

_NOT_FIRST: Final = frozenset("，。；：、？！）】》」』”’…,.;:?!)]}")
"""No line begins with one of these."""
_NOT_LAST: Final = frozenset("（【《「『“‘([{")
"""No line ends with one of these."""
_PIECE: Final = re.compile(
    r"`[^`]+`[!-)+-~]*|[\d,.]+ (?:s|min|h|d|[kMG]?B|秒|分|小时|天|人|位|行|个|条|次)(?![A-Za-z])[),.;:]*| +|[!-~]+|.",
    re.DOTALL,
)
"""A command in backticks, a number with its unit, spaces, a word of ASCII, or one other character: a line may
end after any of them."""
_JOINTS: Final = frozenset("-_/.:,;@=")
"""After one of these a word that is longer than a line is broken rather than elsewhere."""


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
    """The lines of a text, which may have few spaces; a word of ASCII is never broken, and so may be wider."""
    lines, line = [], ""
    for piece in _joined(_PIECE.findall(text)):
        if line and width(line) + width(piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() else lines


def folded(text: str, columns: int) -> list[str]:
    """The lines of a text, none of which is wider: a word that is too long is broken, after a joint if it can be."""
    if width(text) <= columns:
        return [text]
    lines = []
    for line in wrapped(text, columns):
        rest = line
        while width(rest) > columns:
            end = _end_of_line(rest, columns)
            lines.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
        lines.append(rest)
    return lines


def _end_of_line(text: str, columns: int) -> int:
    """How many characters of a text that is too wide fit into a line."""
    end, taken = 0, 0
    while taken + width(text[end]) <= columns or not end:
        taken += width(text[end])
        end += 1
    joint = max((at for at in range(1, end) if text[at - 1] in _JOINTS), default=0)
    return joint if joint > end // 2 else end


def _joined(pieces: list[str]) -> list[str]:
    """The same, punctuation with what it closes or opens."""
    joined: list[str] = []
    for piece in pieces:
        closes = piece[0] in _NOT_FIRST or (bool(joined) and joined[-1] in _NOT_LAST)
        if joined and closes and not joined[-1].isspace():
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
