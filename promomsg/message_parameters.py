"""What a parameter of a message may be: one rule for every list, and for a single call.

Text, a number, a date or time, a `Decimal`, a `UUID` or a bool. Anything else would put its Python
name into somebody's message (`<__main__.O object at 0x7f…>`), so it is a problem of its row.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from promomsg.control_characters import has_half_character
from promomsg.model import Code, Problem

__all__ = ["plain_parameter", "plain_value", "rounded"]

_AS_THEY_ARE: Final = frozenset({str, int, bool, type(None), date, time, UUID})
_LONGEST_INT: Final = 1024
"""Bits; Python itself refuses to write out numbers that are much longer."""
_MISSING: Final = ("NAType", "NaTType")
_ARRAYS: Final = ("numpy", "pyarrow")


_EXACT_SHORT: Final = {"float32": 1 << 24, "float16": 1 << 11}
"""Below this, each whole number has a short float of its own."""


def plain_value(value: Any) -> Any:
    """A value of a library's own kind as Python's: scalars of numpy, pandas and pyarrow, subclasses
    of text and numbers. pandas' marks of a missing value are None; NaN stays. Anything else is given back as it is.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return value
    if isinstance(value, Decimal):  # a signalling NaN cannot even be compared
        return Decimal("NaN") if value.is_snan() else Decimal(value)
    if kind.__name__ in _MISSING:
        return None
    if isinstance(value, str):
        return str.__str__(value)
    module = kind.__module__.partition(".")[0]
    if module in _ARRAYS:
        return _scalar(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return plain_value(float.__float__(value))
    if isinstance(value, datetime):  # a pandas Timestamp is one
        return datetime(
            value.year, value.month, value.day, value.hour, value.minute, value.second,
            value.microsecond, value.tzinfo, fold=value.fold,
        )  # fmt: skip
    return value


def rounded(kind: str, value: Any) -> bool:
    """Whether a number from a float of 32 or 16 bits may stand for its neighbour: it is over what
    such a float holds exactly. Never for another kind."""
    exact = _EXACT_SHORT.get(kind)
    return exact is not None and value is not None and abs(value) >= exact


def _scalar(value: Any) -> Any:
    if hasattr(value, "as_py"):
        return plain_value(value.as_py())
    if getattr(value, "shape", None) != () or not hasattr(value, "item"):
        return value
    if type(value).__name__ == "datetime64":
        # In nanoseconds it would come out as a whole number.
        value = value.astype("datetime64[us]")
    elif type(value).__name__ in ("float32", "float16"):
        return plain_value(float(str(value)))  # 0.1, not 0.10000000149011612
    item = value.item()
    return item if type(item) is type(value) else plain_value(item)


def plain_parameter(name: str, value: Any) -> Any:
    """A parameter as people write it: whole floats are whole numbers, a midnight is its date.

    Returns:
        text, int, float, bool, `Decimal`, `UUID`, date or time; None when it is missing (NaN and
        NaT too); a `Problem` when it cannot be put into a text.
    """
    if type(value) is str:
        if value.isascii():  # most of them
            return value
    else:
        value = plain_value(value)
    kind = type(value)
    if kind is str:
        if has_half_character(value):
            return Problem(Code.BAD_ROW, f"parameter {name!r} holds half a character")
        return value
    if kind is int and value.bit_length() > _LONGEST_INT:
        return Problem(Code.BAD_ROW, f"parameter {name!r} is a number of hundreds of digits")
    if kind in _AS_THEY_ARE:
        return value
    if kind is float or kind is Decimal:
        return _plain_number(name, value)
    if isinstance(value, datetime):
        if (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0):
            return value.date()
        return value
    if isinstance(value, (date, time, UUID)):
        return value
    return Problem(
        Code.BAD_ROW,
        f"parameter {name!r} is a {type(value).__name__}; give text, a number, a date or time, "
        "a UUID or a bool",
    )


def _plain_number(name: str, value: float | Decimal) -> Any:
    if value != value:
        return None
    if value in (float("inf"), float("-inf")):
        return Problem(Code.BAD_ROW, f"parameter {name!r} is infinite; give a number")
    if isinstance(value, float):
        if value.is_integer():
            return int(value)
        return value if "e" not in repr(value) else f"{Decimal(repr(value)):f}"
    exponent = value.as_tuple().exponent
    written = str(value)
    if isinstance(exponent, int) and "E" in written:
        return f"{value:f}" if abs(exponent) < 400 else written
    return value
