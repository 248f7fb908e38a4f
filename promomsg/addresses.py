"""What an address is: one rule for every list, and for a single call.

An id, openid or unionid is `[0-9A-Za-z_-]{1,128}` once blanks and invisible characters around it
are taken off (docs/design.md, "Addresses"). Spreadsheets turn long ids into `1.2E+17` and whole
columns into `1.0`: such an address is never guessed back, it is refused
(docs/design.md, "Addresses"). A value of an access token is in no message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral
from typing import Any, Final

from promomsg.control_characters import (
    excerpt,
    find_control,
    has_blank,
    is_invisible,
    is_printable,
    trimmed,
)
from promomsg.model import Code, Problem, Secret

__all__ = [
    "are_digits",
    "folded",
    "has_address_shape",
    "is_clean_column",
    "is_empty_word",
    "is_mangled",
    "known_column",
    "parse_address",
    "whole_number",
    "why_no_address",
]

_LONGEST: Final = 128
_ADDRESS: Final = re.compile(rf"[0-9A-Za-z_-]{{1,{_LONGEST}}}")
_EXACT_FLOATS: Final = 2**53
"""Under this, a float holds each whole number exactly."""
_COLUMNS: Final = {
    name.replace("_", ""): name
    for name in ("key", "id", "openid", "unionid", "access_token", "request_id")
}
_FOLDED: Final = re.compile(r"[\s_-]+")
_EXPONENT: Final = r"[+-]?\d+(?:[.,]\d*)?e[+-]?\d+"
_MANGLED: Final = re.compile(
    rf"{_EXPONENT}|[+-]?(?:\d+\.\d*|\.\d+)|\d{{1,3}}(?:,\d{{3}})+|[+-]?nan|[+-]?inf(?:inity)?"
    r"|#[\w/]+[!?]?",
    re.IGNORECASE | re.ASCII,
)
_MANGLED_ID: Final = re.compile(_EXPONENT, re.IGNORECASE | re.ASCII)
_EMPTY: Final = re.compile(r"none|null|undefined|n/a|<na>", re.IGNORECASE | re.ASCII)
_MAYBE_EMPTY: Final = re.compile(r"(?:none|null|undefined)\Z", re.IGNORECASE).match
_MAYBE_MANGLED: Final = re.compile(
    r"[+\-.]?\d|[+-]?nan\Z|[+-]?inf|(?:none|null|undefined)\Z", re.IGNORECASE
).match
_MAYBE_COLUMN: Final = re.compile(r"key|[_-]*(?:id|open|union|access|request)", re.IGNORECASE).match
_SHORT: Final = 24
"""A column's name is no longer, and a real openid is: most columns need no look for one."""
_BY_SPREADSHEET: Final = "a spreadsheet or a float column did that; export the column as text"
_BY_EXPORT: Final = "an export wrote that for an empty cell; leave the cell empty"


def known_column(heading: str) -> str | None:
    """The known column that a heading means, whatever its case, blanks and underscores; else None.

    `Open ID`, `open-id` and `open_id` are `openid`. The columns are key, id, openid, unionid,
    access_token and request_id.
    """
    return _COLUMNS.get(folded(heading))


def folded(heading: str) -> str:
    """A heading without regard to case, width, blanks, underscores, hyphens and what is invisible."""
    if not heading.isascii():
        heading = unicodedata.normalize("NFKC", heading)
        heading = "".join(c for c in heading if not is_invisible(c))
    return _FOLDED.sub("", heading).casefold()


def has_address_shape(text: str) -> bool:
    """Whether a text has the characters and the length of an address, whatever it says."""
    return _ADDRESS.fullmatch(text) is not None


def why_no_address(text: str) -> str | None:
    """Why a text, blanks around it taken off, is no id, openid or unionid; None when it is one."""
    if has_address_shape(text):
        if text.isdigit() or not (_MAYBE_MANGLED(text) or _MAYBE_COLUMN(text)):
            return None
    elif find_control(text):
        return "it holds a control character or half a character"
    if is_mangled(text):
        return _BY_SPREADSHEET
    if not text.isascii() and text.isdecimal():
        return "write its digits in ASCII"
    if _EMPTY.fullmatch(text):
        return _BY_EXPORT
    if known_column(text) is not None:
        return "it is a column's name"
    if has_blank(text):
        return "it has a space in it"
    if len(text) > _LONGEST:
        return f"it has {len(text)} characters, and an address {_LONGEST} at the most"
    if not has_address_shape(text):
        return "an address has letters, digits, - and _ alone"
    return None


def is_empty_word(text: str) -> bool:
    """Whether this is what an export writes for an empty cell: `NULL`, `None`, `undefined`, `N/A`."""
    return _EMPTY.fullmatch(text) is not None


def is_mangled(text: str) -> bool:
    """Whether this is what a spreadsheet makes of an id: `1.0`, `1.2E+17`, `1,000`, `nan`, `#N/A`."""
    return _MANGLED.fullmatch(text) is not None


def are_digits(text: str) -> bool:
    """Whether a text, however long, has ASCII digits alone, and at least one."""
    return text.isascii() and text.encode().isdigit()  # of bytes: a fifth of the time


def is_clean_column(name: str, joined: str, column: Sequence[str]) -> bool:
    """Whether a whole column of a batch needs no look at each value; may be False for a clean one.

    Args:
        name: the column's meaning.
        joined: all its values, one after the other.
        column: its values.
    """
    if name == "key":
        return is_printable(joined) and " " not in joined
    if not joined.isascii():
        return False
    if name == "id":
        return not joined or (are_digits(joined) and max(map(len, column)) <= _LONGEST)
    bare = joined.replace("_", "").replace("-", "")
    if bare and not bare.isalnum():
        return False
    if name == "access_token":
        return not any(map(_MAYBE_EMPTY, column))
    if any(map(_MAYBE_MANGLED, column)):
        return False
    if name == "request_id" or not column:
        return True
    lengths = list(map(len, column))
    if min(lengths) <= _SHORT and any(map(_MAYBE_COLUMN, column)):
        return False
    return max(lengths) <= _LONGEST


def parse_address(name: str, value: Any) -> str | Problem | None:
    """An address or request id as text; None when absent; a problem when it is not one.

    Whole numbers are accepted, exact decimals and floats under 2^53 among them; bools, fractions,
    NaN and what a spreadsheet made of an id are not.
    """
    secret = name == "access_token"
    if isinstance(value, Secret):
        value = value.reveal()
    if value is None:
        return None
    if isinstance(value, str):
        own = secret or name == "request_id"
        text = value.strip() if own else trimmed(value)
        if not text:
            return None
        shown = "" if secret else f" {excerpt(text)}"
        if not own:
            why = why_no_address(text)
            return text if why is None else _bad(f"{name}{shown} is not an address: {why}")
        if find_control(text):
            return _bad(f"{name}{shown} holds a control character or half a character")
        if not secret and _MANGLED_ID.fullmatch(text):
            return _bad(f"{name}{shown} is not an address: {_BY_SPREADSHEET}")
        if not text.isascii() and text.isdecimal():
            return _bad(f"{name}{shown} is not an address: write its digits in ASCII")
        if _EMPTY.fullmatch(text):
            return _bad(f"{name}{shown} is not an address: {_BY_EXPORT}")
        if has_blank(text):
            return _bad(f"{name}{shown} has a space in it")
        return text
    if isinstance(value, bool) or secret:
        return _bad(f"{name} is a {type(value).__name__}; give text")
    if isinstance(value, Integral) and int(value).bit_length() > 4 * _LONGEST:
        return _bad(f"{name} is a number of more digits than an address has")
    # A column with one empty cell makes floats of whole ids.
    if (digits := whole_number(value)) is not None:
        return digits
    if isinstance(value, (float, Decimal)):
        return _bad(f"{name} {excerpt(str(value))} is not an address: {_BY_SPREADSHEET}")
    return _bad(f"{name} is a {type(value).__name__}; give text")


def whole_number(value: Any) -> str | None:
    """The digits of a whole number that nothing has rounded: of any kind of int, of a float under
    2^53, of a Decimal that was never written as a power of ten. None for anything else, a bool too.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT_FLOATS else None
    if not isinstance(value, Decimal):
        return None
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent > 0 or value != value.to_integral_value():
        return None
    return str(int(value))


def _bad(detail: str) -> Problem:
    return Problem(Code.BAD_ADDRESS, detail)
