"""The kinds of template fields and their limits, checked before anything is sent.

Source of every limit: docs/facts/wechat.md, "Template fields". A character is a code point.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from typing import Final

from promomsg.control_characters import excerpt
from promomsg.errors import UsageError
from promomsg.model import Code, Problem
from promomsg.suggest import did_you_mean

__all__ = ["KINDS", "LENGTHS", "check", "kind_of", "too_long"]

KINDS: Final = ("first", "thing", "time", "amount", "number")

LENGTHS: Final[dict[str, int]] = {"first": 9, "thing": 20}
"""Most characters of the kinds that are limited by length alone ("less than 10", "20")."""

_SHOWN: Final = 60
"""Characters of a refused text that its message shows."""
_MOST_DIGITS: Final = {"amount": 10, "number": 32}

_DATE: Final = r"(?P<y>[0-9]{4})(?:(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P=s)(?P<d>[0-9]{1,2})|年(?P<cm>[0-9]{1,2})月(?P<cd>[0-9]{1,2})日)"
_HOURS: Final = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?|24:00(?::00)?"
# re compiles these when they are first looked for, and keeps them.
_MOMENT: Final = rf"(?:{_DATE})?(?P<gap> ?)(?P<t>{_HOURS})?"
_NUMBER: Final = r"-?([0-9]+)(?:\.([0-9]+))?"
_AMOUNT: Final = r"(\D?)([0-9]+)(?:\.([0-9]+))?元?"


def kind_of(name: object, where: str) -> str:
    """`name` when it is a kind.

    Raises:
        UsageError: it is not; the nearest kind is suggested.
    """
    if isinstance(name, str) and name in KINDS:
        return name
    hint = did_you_mean(str(name), KINDS) or f"; it is one of {', '.join(KINDS)}"
    raise UsageError(f"{where}: {name!r} is not a kind of template field{hint}")


def check(where: str, kind: str, text: str) -> Problem | None:
    """What is wrong with a rendered field, naming field, limit and what was given; None if nothing.

    Args:
        where: the field's name, for the message.
        kind: one of `KINDS`.
        text: the whole field as it will be sent.
    """
    if kind in LENGTHS:
        return _check_text(where, kind, text)
    if kind == "time":
        return _check_time(where, text)
    return _check_digits(where, kind, text)


def too_long(where: str, kind: str, length: int, text: str) -> Problem:
    """The problem of a `first` or `thing` of `length` characters."""
    return Problem(
        Code.OVER_LIMIT,
        f"{where}: {kind} takes at most {LENGTHS[kind]} characters, given {length}: {excerpt(text, _SHOWN)}",
    )


def _check_text(where: str, kind: str, text: str) -> Problem | None:
    if len(text) > LENGTHS[kind]:
        return too_long(where, kind, len(text), text)
    lines = text.count("\n")
    if lines > (1 if kind == "first" else 0):
        allowed = "at most one line feed" if kind == "first" else "no line feed"
        return Problem(
            Code.OVER_LIMIT,
            f"{where}: {kind} takes {allowed}, given {lines}: {excerpt(text, _SHOWN)}",
        )
    return None


def _check_time(where: str, text: str) -> Problem | None:
    ends = text.split("~")
    if len(ends) <= 2 and all(_is_moment(end.strip(" ")) for end in ends):
        return None
    return Problem(
        Code.BAD_ROW,
        f"{where}: time takes 15:01, 2022/10/28, 2022/10/28 15:01 or two of them joined by '~' "
        f"(24 hours), given {excerpt(text, _SHOWN)}",
    )


def _is_moment(text: str) -> bool:
    found = re.fullmatch(_MOMENT, text)
    if found is None or not text or (found["gap"] and not (found["y"] and found["t"])):
        return False
    if found["y"] is None:
        return True
    try:
        datetime.date(
            int(found["y"]), int(found["m"] or found["cm"]), int(found["d"] or found["cd"])
        )
    except ValueError:
        return False
    return True


def _check_digits(where: str, kind: str, text: str) -> Problem | None:
    if kind == "number":
        found = re.fullmatch(_NUMBER, text)
        shape = "digits with an optional decimal point"
    else:
        # The sign is optional: `199.00元` is common (inferred).
        found = re.fullmatch(_AMOUNT, text)
        if found is not None and found[1] and unicodedata.category(found[1]) != "Sc":
            found = None
        shape = "one currency sign, digits with an optional decimal point, and an optional 元"
    if found is None:
        return Problem(
            Code.BAD_ROW, f"{where}: {kind} takes {shape}, given {excerpt(text, _SHOWN)}"
        )
    parts = found.groups()[-2:]
    digits = sum(len(part) for part in parts if part)
    if digits > _MOST_DIGITS[kind]:
        return Problem(
            Code.OVER_LIMIT,
            f"{where}: {kind} takes at most {_MOST_DIGITS[kind]} digits, "
            f"given {digits}: {excerpt(text, _SHOWN)}",
        )
    return None
