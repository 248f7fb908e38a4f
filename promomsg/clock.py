"""The clock, passed in: nothing else in the package reads the time or sleeps."""

from __future__ import annotations

import datetime
import time
from typing import Protocol

import anyio

__all__ = [
    "DAY",
    "SYSTEM_CLOCK",
    "Clock",
    "SystemClock",
    "china_date",
    "china_day",
    "china_day_begins",
    "china_minute",
    "let_others_run",
    "next_china_midnight",
]

_CHINA_OFFSET = 8 * 3600
DAY = 86_400
"""Seconds of a China-time day: none is longer or shorter."""
_EPOCH = datetime.date(1970, 1, 1).toordinal()


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

    # The functions themselves: every call asks a clock more than once.
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


async def let_others_run() -> None:
    """Gives the event loop's other tasks a turn; no time goes by on any clock."""
    # Not `anyio.lowlevel.checkpoint`, which is the same on asyncio: that module takes 3 ms to import.
    await anyio.sleep(0)  # noqa: ASYNC115


def china_day(at: float) -> str:
    """The China-time calendar day of a Unix time, `2026-11-24`.

    China Standard Time is UTC+8 without daylight saving (docs/facts/wechat.md, "Windows"), so the
    day is arithmetic and needs no time zone database.
    """
    return time.strftime("%Y-%m-%d", time.gmtime(at + _CHINA_OFFSET))


def china_minute(at: float) -> str:
    """The same with the time of day, `2026-11-24 09:30`."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at + _CHINA_OFFSET))


def china_date(at: float) -> datetime.date:
    """The same as a date."""
    return datetime.date.fromordinal(_EPOCH + int((at + _CHINA_OFFSET) // DAY))


def china_day_begins(day: datetime.date) -> int:
    """The Unix time at which a China-time day begins."""
    return (day.toordinal() - _EPOCH) * DAY - _CHINA_OFFSET


def next_china_midnight(at: float) -> float:
    """The Unix time at which the China-time day of `at` ends."""
    return ((at + _CHINA_OFFSET) // DAY + 1) * DAY - _CHINA_OFFSET
