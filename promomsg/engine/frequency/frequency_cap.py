"""`max_per_person = "2 in 7d"`: how many messages a person may have in a time."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from promomsg.durations import parse_duration
from promomsg.errors import UsageError

__all__ = ["FrequencyCap", "parse_frequency_cap"]

_TEXT: Final = re.compile(r"\s*(\d+)\s+in\s+(\d.*[a-z])\s*", re.IGNORECASE | re.ASCII)
"""The time with its unit: nobody means seven seconds by 7."""
_MOST: Final = 1_000
_LONGEST: Final = 366 * 86_400.0


class FrequencyCap(NamedTuple):
    """At most so many messages to a person within any `window` seconds before a campaign."""

    most: int
    window: float
    text: str


def parse_frequency_cap(value: Any) -> FrequencyCap:
    """What `max_per_person` says.

    Raises:
        UsageError: it is not a number from 1 to 1,000 and a duration up to a year, like `"2 in 7d"`.
    """
    where = f"max_per_person={value!r}"
    found = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UsageError(f'{where}: write a number of messages and a time, like "2 in 7d"')
    most, window = int(found[1]), parse_duration(found[2], where)
    if not 1 <= most <= _MOST:
        raise UsageError(f"{where}: from 1 to {_MOST} messages")
    if not 0 < window <= _LONGEST:
        raise UsageError(f"{where}: a time of more than nothing, up to 366d")
    return FrequencyCap(most, window, f"{most} in {found[2]}")
