"""What is asked of the first few of a campaign: how many, and when the others may follow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

import msgspec

from promomsg.durations import parse_duration
from promomsg.errors import JournalError, UsageError

__all__ = [
    "FIRST_OPTIONS",
    "FIRST_STOP_ABOVE",
    "FIRST_WAIT",
    "FirstOptions",
    "check_first_is_there",
    "checked_first",
    "first_count",
    "first_share",
    "kept_first",
    "refuse_first",
]

FIRST_STOP_ABOVE: Final = 0.1
"""The share of the first few above which the others are not sent to."""
FIRST_WAIT: Final = "10m"
"""How long the first few are looked at."""
FIRST_OPTIONS: Final = ("first_stop_above", "first_wait", "first_ask")
"""Options that say something of the first few, and nothing without `first`."""
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%", re.ASCII)
_EXAMPLE: Final = 'a whole number of 1 or more, like 20, or a share of the list, like "2%"'


class FirstOptions(msgspec.Struct, frozen=True, kw_only=True):
    """When the others follow the first few.

    Attributes:
        first: how many they are: a whole number, or text such as `"2%"`; None: there are none.
        stop_above: the share of them, 0 to 1, above which failed and unknown ones stop the campaign.
        wait: seconds that they are looked at once the last of them is answered.
        ask: whether a person has to say that it goes on.
    """

    first: int | str | None = None
    stop_above: float = FIRST_STOP_ABOVE
    wait: float = 600.0
    ask: bool = False


def checked_first(first: Any, *, stop_above: Any, wait: Any, ask: Any) -> FirstOptions:
    """The four options, each in its range.

    Raises:
        UsageError: one that is not.
    """
    if (
        not isinstance(stop_above, (int, float))
        or isinstance(stop_above, bool)
        or not 0 <= stop_above < 1
    ):
        raise UsageError(
            f"first_stop_above={stop_above!r}: a share from 0 to under 1, like {FIRST_STOP_ABOVE}"
        )
    seconds = parse_duration(wait, "first_wait")
    if not isinstance(ask, bool):
        raise UsageError(f"first_ask={ask!r}: say True or False")
    if first is not None:
        _share_or_number(first)
    return FirstOptions(first=first, stop_above=stop_above, wait=seconds, ask=ask)


def kept_first(settings: Mapping[str, Any]) -> FirstOptions | None:
    """The same of the settings that a journal keeps; None: the campaign has no first few.

    Raises:
        JournalError: they are not what promomsg writes.
    """
    if settings.get("first") is None:
        return None
    try:
        return checked_first(
            settings["first"],
            stop_above=settings.get("first_stop_above", FIRST_STOP_ABOVE),
            wait=settings.get("first_wait", FIRST_WAIT),
            ask=settings.get("first_ask", False),
        )
    except UsageError as error:
        raise JournalError(f"who is sent to first cannot be read back: {error}") from None


def check_first_is_there(given: Iterable[str]) -> None:
    """Raises UsageError when something is said of the first few, and not how many they are.

    Args:
        given: the names of the options that were given.
    """
    names = set(given)
    if "first" not in names:
        for name in FIRST_OPTIONS:
            if name in names:
                raise UsageError(f"{name} says nothing without first: say how many, like first=20")


def refuse_first(given: Iterable[str]) -> None:
    """Raises UsageError when a resume or a retry says something of the first few: every sender has to
    decide alike, so the journal's own word counts.

    Args:
        given: the names of the options that were given.
    """
    for name in given:
        if name == "first" or name in FIRST_OPTIONS:
            raise UsageError(
                f"{name} is decided when a campaign is planned: leave it out; approve=True goes on "
                "past the first few"
            )


def first_count(first: int | str, recipients: int) -> int:
    """How many of so many recipients are the first few: at least one, and never more than there are.

    A share is rounded up.
    """
    found = _share_or_number(first)
    if isinstance(found, Fraction):
        found = -(-found.numerator * recipients // found.denominator)
    return min(max(found, 1), recipients)


def first_share(first: int | str) -> Fraction | None:
    """The share of the recipients that are sent to first; None: it is a number of them."""
    found = _share_or_number(first)
    return found if isinstance(found, Fraction) else None


def _share_or_number(first: Any) -> int | Fraction:
    """A number of recipients, or their share: a fraction over 0 and under 1."""
    if isinstance(first, str):
        text = first.strip()
        if (found := _SHARE.fullmatch(text)) is not None:
            share = Fraction(found[1]) / 100
            if 0 < share < 1:
                return share
    elif isinstance(first, int) and not isinstance(first, bool) and first >= 1:
        return first
    raise UsageError(f"first={first!r}: {_EXAMPLE}")
