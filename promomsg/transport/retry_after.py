"""`Retry-After`: how long an answer asks to wait, in seconds or until a date (RFC 9110, 10.2.3)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["LONGEST", "retry_after"]

LONGEST: Final = 3600.0
"""Seconds; a longer wait is taken as this long, and asked for again then."""

_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait that an answer names; None when it names none that can be understood.

    Args:
        headers: the answer's, with names in any case.
        now: Unix seconds. A date is counted from the answer's own `Date` where it has one: its
            clock need not be ours.
    """
    text = (headers.get("Retry-After") or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST)
    until = _moment(text)
    if until is None:
        return None
    since = _moment(headers.get("Date") or "")
    seconds = until - (now if since is None else since)
    return min(max(math.ceil(seconds), 0.0), LONGEST)


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000", or no zone at all: it is GMT by the rule
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None
