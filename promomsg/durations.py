"""Durations as people write and read them: seconds, or `60s`, `2h`, `1h30m`, `2w`; `3 min 20 s`."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from promomsg.errors import UsageError

__all__ = ["format_age", "format_duration", "parse_duration"]

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*", re.ASCII)


def parse_duration(value: Any, where: str) -> float:
    """Seconds.

    Args:
        value: a number of seconds, or text such as `"60s"`, `"1h30m"`, `"250ms"`.
        where: what the duration is of, for the message.

    Raises:
        UsageError: neither of them, or less than nothing.
    """
    seconds: float | None = None
    if isinstance(value, str):
        text = value.strip().lower()
        if text.isascii() and text.isdigit():
            seconds = float(text)
        elif text and not _PART.sub("", text):
            seconds = sum(float(n) * _SECONDS[unit] for n, unit in _PART.findall(text))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise UsageError(f"{where}: {value!r} is not a duration; write seconds, or '60s', '1h30m'")
    return seconds


def format_duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 05 min`, `14 d 20 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 4 * 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def format_age(seconds: float) -> str:
    """`just now`, `12 min ago`, `5 h ago`, `3 days ago`; a time to come: `in 2 h`."""
    if abs(seconds) < 60:
        return "just now"
    number, unit = int(abs(seconds) // _SECONDS["d"]), "day"
    if not number:
        number, unit = int(abs(seconds) // _SECONDS["h"]), "h"
    if not number:
        number, unit = int(abs(seconds) // _SECONDS["m"]), "min"
    text = f"{number} {unit}" + ("s" if unit == "day" and number > 1 else "")
    return f"{text} ago" if seconds > 0 else f"in {text}"
