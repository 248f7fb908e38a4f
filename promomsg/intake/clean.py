"""One value, made an address, a key or a parameter, or a problem that says what is wrong with it.

Spreadsheets turn long ids into `1.2E+17` and whole columns into `1.0`: such an address is never
guessed back, its row fails (DESIGN §5). A value of an access token is in no message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral
from typing import Any, Final

from promomsg.model import Code, Problem, Secret

__all__ = [
    "clean_address",
    "clean_key",
    "clean_param",
    "column_is_clean",
    "mangled",
    "printable",
]

_EXPONENT: Final = r"[+-]?\d+(?:[.,]\d*)?e[+-]?\d+"
_MANGLED: Final = re.compile(
    rf"{_EXPONENT}|[+-]?(?:\d+\.\d*|\.\d+)|[+-]?nan|[+-]?inf(?:inity)?|#[\w/]+[!?]?",
    re.IGNORECASE | re.ASCII,
)
_MANGLED_ID: Final = re.compile(_EXPONENT, re.IGNORECASE | re.ASCII)
_MAYBE_MANGLED: Final = re.compile(r"[+\-.]?\d|[+-]?nan\Z|[+-]?inf", re.IGNORECASE).match
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_BY_SPREADSHEET: Final = "a spreadsheet or a float column did that; export the column as text"


def mangled(text: str) -> bool:
    """Whether this is what a spreadsheet makes of an id: `1.0`, `1.2E+17`, `nan`, `#N/A`."""
    return _MANGLED.fullmatch(text) is not None


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped, fit for a file and a screen."""
    return _CONTROL.sub(lambda m: f"\\u{ord(m.group()):04x}", text)


def column_is_clean(name: str, joined: str, column: Sequence[str]) -> bool:
    """Whether a whole column of a batch needs no look at each value; may be False for a clean one.

    Args:
        name: the column's meaning.
        joined: all its values, one after the other.
        column: its values.
    """
    if name == "key":
        return joined.isprintable() and " " not in joined
    if not joined.isascii():
        return False
    if name == "id":
        return not joined or joined.isdigit()
    bare = joined.replace("_", "").replace("-", "")
    if bare and not bare.isalnum():
        return False
    return name == "access_token" or not any(map(_MAYBE_MANGLED, column))


def clean_address(name: str, value: Any) -> str | Problem | None:
    """An address or request id as text; None when absent; a problem when it is not one.

    Whole numbers are accepted, exact decimals among them; bools, fractions, NaN and what a spreadsheet made of an id are not.
    """
    secret = name == "access_token"
    if isinstance(value, Secret):
        value = value.reveal()
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        shown = "" if secret else f" {_short(text)}"
        if _CONTROL.search(text):
            return _bad(f"{name}{shown} holds a control character or half a character")
        pattern = _MANGLED_ID if name == "request_id" else _MANGLED
        if not secret and pattern.fullmatch(text):
            return _bad(f"{name}{shown} is not an address: {_BY_SPREADSHEET}")
        if any(map(str.isspace, text)):
            return _bad(f"{name}{shown} has a space in it")
        return text
    if isinstance(value, bool) or secret:
        return _bad(f"{name} is a {type(value).__name__}; give text")
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Decimal) and (digits := _whole(value)) is not None:
        return digits
    if isinstance(value, (float, Decimal)):
        return _bad(f"{name} {_short(str(value))} is not an address: {_BY_SPREADSHEET}")
    return _bad(f"{name} is a {type(value).__name__}; give text")


def clean_key(value: Any) -> str | Problem | None:
    """A key verbatim; None when it is absent or blank."""
    if value is None:
        return None
    if not isinstance(value, str):
        if isinstance(value, Decimal):
            value = value if (digits := _whole(value)) is None else digits
            return None if value != value else str(value)
        if isinstance(value, (Integral, float)) and not isinstance(value, bool):
            return None if value != value else str(value)
        return Problem(Code.BAD_ROW, f"key is a {type(value).__name__}; give text")
    if not value or value.isspace():
        return None
    if _CONTROL.search(value):
        detail = f"key {_short(value)} holds a control character or half a character"
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


def _whole(value: Decimal) -> str | None:
    """The digits of a whole number that was never written as a power of ten; else None."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent > 0 or value != value.to_integral_value():
        return None
    return str(int(value))


def _bad(detail: str) -> Problem:
    return Problem(Code.BAD_ADDRESS, detail)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
