"""The sandbox's own clock: it runs with the machine's and can be moved forward by a test."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

__all__ = ["CHINA", "SandboxClock"]

CHINA = timezone(timedelta(hours=8))
"""China Standard Time, no daylight saving (facts/wechat.md, Windows)."""


class SandboxClock:
    """Real time plus an offset.

    Tokens, quotas, delivery results and click data all go by it, so that "the day after" is one
    `advance(86400)` away.
    """

    def __init__(self) -> None:
        self._offset = 0.0

    def time(self) -> float:
        """Unix seconds."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Moves forward by so many seconds; backwards is a ValueError."""
        if seconds < 0:
            raise ValueError("the sandbox's clock only moves forward")
        self._offset += seconds

    def china_day(self, at: float | None = None) -> str:
        """The China-time natural day of `at` (now when None), `2026-11-24`."""
        return datetime.fromtimestamp(self.time() if at is None else at, CHINA).date().isoformat()
