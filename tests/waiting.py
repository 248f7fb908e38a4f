"""Waiting for what other tasks, threads and processes do: for the thing itself, not for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["real_time", "until", "wait_for"]


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits for something that other tasks are about to bring about.

    Raises:
        AssertionError: it did not happen in so many seconds.
    """
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, "it did not happen in time"
        await asyncio.sleep(0.001)


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Waits, without an event loop, until something is true of another process or thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


async def real_time(seconds: float) -> None:
    """Lets real time pass: where nothing is to happen, so that there is nothing to wait for, or
    where real time itself is what is tested (a time-out, a wait of the provider's)."""
    await asyncio.sleep(seconds)
