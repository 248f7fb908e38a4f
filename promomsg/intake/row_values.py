"""One value, made a key or a parameter, or a problem that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Integral
from typing import Any, Final
from uuid import UUID

from promomsg.addresses import whole
from promomsg.control_characters import excerpt, find_control
from promomsg.model import Code, Problem
from promomsg.parameters import plain_parameter

__all__ = ["WordsForNothing", "clean_key", "clean_param", "rounded_away"]

_LONGEST_INT: Final = 1024
_WORDS: Final = frozenset(
    word
    for base in ("none", "null", "nan", "nat", "n/a", "#n/a", "<na>", "undefined", "(null)", "nil")
    for word in (base, base.upper(), base.capitalize(), base.replace("n", "N"))
) | {"#NULL!", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "NaN", "NaT", "\\N"}
"""What programs write for a cell without a value, or for one that they could not compute."""


def clean_key(value: Any) -> str | Problem | None:
    """A key verbatim; None when it is absent or blank."""
    if value is None:
        return None
    if not isinstance(value, str):
        if isinstance(value, Decimal):
            if value.is_infinite():
                return Problem(Code.BAD_ROW, "key is infinite; give text")
            value = value if (digits := whole(value)) is None else digits
            return None if value != value else str(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        if isinstance(value, (Integral, float)) and not isinstance(value, bool):
            if isinstance(value, Integral) and int(value).bit_length() > _LONGEST_INT:
                return Problem(Code.BAD_ROW, "key is a number of hundreds of digits")
            if value in (float("inf"), float("-inf")):
                return Problem(Code.BAD_ROW, "key is infinite; give text")
            return None if value != value else str(value)
        if isinstance(value, UUID):
            return str(value)
        return Problem(Code.BAD_ROW, f"key is a {type(value).__name__}; give text")
    if not value or value.isspace():
        return None
    if find_control(value):
        detail = f"key {excerpt(value)} holds a control character or half a character"
        return Problem(Code.BAD_ROW, detail)
    return value


def rounded_away(name: str) -> Problem:
    """What to say of an address or key that a float of 32 or 16 bits may have made another."""
    return Problem(
        Code.BAD_ROW if name == "key" else Code.BAD_ADDRESS,
        f"{name} is a short float, which rounds numbers of its size; give whole numbers or text",
    )


def clean_param(name: str, value: Any) -> Any:
    """A parameter as people write it, None when it is missing, or a `Problem` with it."""
    if type(value) is str and value.isascii():
        return value
    return plain_parameter(name, value)


class WordsForNothing:
    """Counts the parameters that read `None`, `NULL`, `nan` or `#N/A`, as exports write for an
    empty cell. They are sent as they are, since somebody may be called Null; but it is said.

    Args:
        where: the list, for the notice.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._counts: dict[str, int] = {}
        self._example: dict[str, str] = {}

    def count(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Looks through some columns of parameters, by name."""
        for name, column in columns.items():
            # By exact type: another one may have no hash, or one of its own.
            if found := [v for v in column if type(v) is str and v in _WORDS]:
                self._counts[name] = self._counts.get(name, 0) + len(found)
                self._example.setdefault(name, found[0])

    def notices(self) -> list[str]:
        """One a column."""
        return [
            f"{self._where}: {count} values in {name!r} are words such as {self._example[name]!r}, "
            "which exports write for an empty cell: they are sent as they are; empty those cells "
            "to have them left out"
            for name, count in sorted(self._counts.items())
        ]
