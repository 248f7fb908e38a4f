"""`"autumn.db since 7d"` in a suppression list: whom a journal sent to within that time."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import msgspec

from promomsg.durations import parse_duration
from promomsg.errors import UsageError

__all__ = ["JournalSince", "journal_since", "split_age"]

_AGED: Final = re.compile(
    r"(.*\S)\s+since\s+((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)", re.IGNORECASE | re.DOTALL
)
"""A duration with its unit: `list since 2024` and `list since 2024.csv` are files' names."""


class JournalSince(msgspec.Struct, frozen=True):
    """A journal of which only the last part is meant.

    Attributes:
        journal: its path, `"fleet:NAME"`, or the journal itself.
        age: seconds before now; who had the message earlier is not on the list.
        text: as it was written, for messages.
    """

    journal: Any
    age: float
    text: str


def split_age(text: str) -> tuple[str, float] | None:
    """What stands before `since`, and the seconds behind it; None: the text has no age.

    Raises:
        UsageError: what stands behind it is no duration of more than nothing.
    """
    found = _AGED.fullmatch(text.strip())
    if found is None:
        return None
    where = f"suppress = {text!r}"
    age = parse_duration(found[2].strip(), f"{where}: {found[2].strip()!r} behind since")
    if not age:
        raise UsageError(f"{where}: an age of nothing leaves nobody out; write since 7d, say")
    return found[1], age


def journal_since(text: str) -> JournalSince | None:
    """The journal and the age that a text names; None: it has no age, and is a path as it stands.

    A file whose own name ends like an age is meant when only it is there.

    Raises:
        UsageError: as `split_age`, or both files are there.
    """
    found = split_age(text)
    if found is None:
        return None
    name, age = found
    if os.path.lexists(text):
        if os.path.lexists(name):
            raise UsageError(
                f"suppress = {text!r}: there is a file of this name, and {name!r} too, so which is meant "
                "cannot be told; give one of them another name"
            )
        return None
    return JournalSince(name, age, text)
