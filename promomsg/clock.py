"""The clock, passed in: nothing else in the package reads the time or sleeps."""

from __future__ import annotations

import time
from typing import Protocol

import anyio

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock", "china_day", "next_china_midnight"]

_CHINA_OFFSET = 8 * 3600
_DAY = 86_400


class Clock(Protocol):
    """Where a part gets the time from."""

    def time(self) -> float:
        """Unix seconds, for what is written down and for days."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for pacing and waiting."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class SystemClock:
    """The machine's own."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


def china_day(at: float) -> str:
    """The China-time calendar day of a Unix time, `2026-11-24`.

    China Standard Time is UTC+8 without daylight saving (docs/facts/wechat.md, "Windows"), so the
    day is arithmetic and needs no time zone database.
    """
    return time.strftime("%Y-%m-%d", time.gmtime(at + _CHINA_OFFSET))


def next_china_midnight(at: float) -> float:
    """The Unix time at which the China-time day of `at` ends."""
    return ((at + _CHINA_OFFSET) // _DAY + 1) * _DAY - _CHINA_OFFSET
