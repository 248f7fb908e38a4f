"""One value, made a key or a parameter, or a problem that says what is wrong with it."""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Integral
from typing import Any, Final

from promomsg.addresses import CONTROL, shortened, whole
from promomsg.model import Code, Problem

__all__ = ["clean_key", "clean_param", "printable"]

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped, fit for a file and a screen."""
    return CONTROL.sub(lambda m: f"\\u{ord(m.group()):04x}", text)


def clean_key(value: Any) -> str | Problem | None:
    """A key verbatim; None when it is absent or blank."""
    if value is None:
        return None
    if not isinstance(value, str):
        if isinstance(value, Decimal):
            value = value if (digits := whole(value)) is None else digits
            return None if value != value else str(value)
        if isinstance(value, (Integral, float)) and not isinstance(value, bool):
            return None if value != value else str(value)
        return Problem(Code.BAD_ROW, f"key is a {type(value).__name__}; give text")
    if not value or value.isspace():
        return None
    if CONTROL.search(value):
        detail = f"key {shortened(value)} holds a control character or half a character"
        return Problem(Code.BAD_ROW, detail)
    return value


def clean_param(name: str, value: Any) -> Problem | None:
    """What keeps a parameter from being put into a text: no text or number, or half a character."""
    if isinstance(value, str):
        if value.isascii() or not _SURROGATE.search(value):
            return None
        return Problem(Code.BAD_ROW, f"parameter {name!r} holds half a character")
    if isinstance(value, (bytes, bytearray, list, tuple, set, dict)):
        detail = f"parameter {name!r} is a {type(value).__name__}; give text or a number"
        return Problem(Code.BAD_ROW, detail)
    return None
