"""Waiting for an event or a time."""

from __future__ import annotations

import anyio
import pytest
from clocks import FakeClock

from promomsg.wakeup import Wakeup, wait_at_most


@pytest.mark.asyncio
async def test_a_wakeup_that_came_early_is_not_lost() -> None:
    wakeup = Wakeup()
    wakeup.set()
    await wakeup.wait()
    clock = FakeClock(auto=True)
    await wakeup.wait_for(5.0, clock)
    assert clock.monotonic() == 1005.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wakeup.wait_for, None, clock)
        wakeup.set()
    wakeup.set()
    await wakeup.wait_for(100.0, clock)
    assert clock.monotonic() < 1010.0


@pytest.mark.asyncio
async def test_an_event_or_the_time_ends_the_wait() -> None:
    clock, event = FakeClock(auto=True), anyio.Event()
    await wait_at_most(event, 5.0, clock)
    assert clock.monotonic() == 1005.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_at_most, event, 100.0, clock)
        event.set()
    await wait_at_most(event, 100.0, clock)
    assert clock.monotonic() < 1010.0
