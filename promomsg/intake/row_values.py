"""One value of a key column, made a key, or a problem that says what is wrong with it."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral
from typing import Any, Final
from uuid import UUID

from promomsg.addresses import whole_number
from promomsg.control_characters import excerpt, find_control
from promomsg.model import Code, Problem

__all__ = ["parse_key", "rounded_problem"]

_LONGEST_INT: Final = 1024


def parse_key(value: Any) -> str | Problem | None:
    """A key verbatim; None when it is absent or blank."""
    if value is None:
        return None
    if not isinstance(value, str):
        if isinstance(value, Decimal):
            if value.is_infinite():
                return Problem(Code.BAD_ROW, "key is infinite; give text")
            value = value if (digits := whole_number(value)) is None else digits
            return None if value != value else str(value)
        if isinstance(value, float) and (digits := whole_number(value)) is not None:
            return digits
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


def rounded_problem(name: str) -> Problem:
    """What to say of an address or key that a float of 32 or 16 bits may have made another."""
    return Problem(
        Code.BAD_ROW if name == "key" else Code.BAD_ADDRESS,
        f"{name} is a short float, which rounds numbers of its size; give whole numbers or text",
    )
