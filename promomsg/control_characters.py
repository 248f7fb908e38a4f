"""Characters that nobody sees: which texts are refused for them, and how other texts lose them.

Control characters are U+0000 to U+001F and U+007F to U+009F. A surrogate that stands alone is half
a character: no UTF-8 can hold it. What to use where:

- A person's text that must have none (an address, a key, a message): `find_control`.
- A person's text that need only be Unicode (a parameter, a campaign's name): `has_half_character`.
- An id or a code in an answer, which would be another one if a character was lost: `is_garbled`.
- A stranger's text that is stored or reported: `one_line`; `masking.printable` where it may hold a
  secret or be long.
- Any text on a terminal: `escaped`. A piece of one in an error message: `excerpt`.
- What people pasted, with a byte order mark or a zero-width space around it: `trimmed`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

__all__ = [
    "FILLERS",
    "escaped",
    "excerpt",
    "find_control",
    "has_blank",
    "has_half_character",
    "is_garbled",
    "is_invisible",
    "is_printable",
    "one_line",
    "replace_halves",
    "trimmed",
]

FILLERS: Final = "\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Shown as nothing, though Unicode counts them among letters, marks and symbols."""

_PRINTABLE_ASCII: Final = bytes(range(0x20, 0x7F))
_HALF: Final = re.compile("[\ud800-\udfff]")
# re compiles these when they are first looked for, and keeps them: each takes a third of a
# millisecond, and most programs meet no such text.
_CONTROL_OR_HALF: Final = "[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
# U+2028 and U+2029 end a line for some readers of a file, as a line feed does.
_NOT_IN_ONE_LINE: Final = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+"
_GARBLED: Final = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]"


def find_control(text: str, allowed: str = "") -> str | None:
    """The first control character or half of a character in a text; None when it has none.

    Args:
        allowed: control characters that may stand in it, such as a line feed.
    """
    if text.isprintable():  # quick, and false for each of them
        return None
    found = (match[0] for match in re.finditer(_CONTROL_OR_HALF, text))
    return next((character for character in found if character not in allowed), None)


def has_half_character(text: str) -> bool:
    """Whether a surrogate stands alone in it, which no file and no provider takes."""
    return not text.isascii() and _HALF.search(text) is not None


def replace_halves(text: str) -> str:
    """The text with U+FFFD for each surrogate that stands alone."""
    return _HALF.sub("\ufffd", text)


def is_garbled(text: str) -> bool:
    """Whether an id or a code has a character that none has, or U+FFFD, where one was cut."""
    if text.isascii() and text.isprintable():  # quick, and so is nearly every one
        return False
    return re.search(_GARBLED, text) is not None


def is_printable(text: str) -> bool:
    """`str.isprintable`, in a third of the time for a long text of ASCII."""
    if text.isascii():
        return not text.encode().translate(None, _PRINTABLE_ASCII)
    return text.isprintable()


def has_blank(text: str) -> bool:
    """Whether there is a blank of any kind in it: a space, a line end, U+00A0, U+3000."""
    return bool(text) and text.split() != [text]


def one_line(text: str) -> str:
    """The text with one space for each run of control characters, line ends and halves."""
    if text.isprintable():  # quick, and false for each of them
        return text
    return re.sub(_NOT_IN_ONE_LINE, " ", text)


def escaped(text: str) -> str:
    r"""The text with what cannot be seen written out (`\x1b`), so that a terminal shows it, and
    does not obey it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def excerpt(text: str, limit: int = 40) -> str:
    """The text in quotes for a message, escaped, and cut to `limit` characters."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


@lru_cache(maxsize=4096)
def is_invisible(character: str) -> bool:
    """Whether a character leaves no mark: a blank of any kind, or one of format (a zero-width
    space, byte order mark, direction mark, soft hyphen)."""
    return character.isspace() or character in FILLERS or unicodedata.category(character) == "Cf"


def trimmed(text: str) -> str:
    """The text without the blanks and invisible characters around it."""
    text = text.strip()
    if text.isascii():
        return text
    first, last = 0, len(text)
    while first < last and is_invisible(text[first]):
        first += 1
    while first < last and is_invisible(text[last - 1]):
        last -= 1
    return text[first:last]
