"""Work that a cancellation waits for."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from promomsg.shielded import run_shielded

pytestmark = pytest.mark.asyncio


async def test_it_gives_what_the_work_gave() -> None:
    async def work() -> int:
        await anyio.sleep(0)
        return 7

    assert await run_shielded(work) == 7


async def test_it_raises_what_the_work_raised_as_it_is() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_shielded(work)


async def test_every_cancellation_waits_for_the_end() -> None:
    done = []
    ended = asyncio.Event()

    async def work() -> None:
        await ended.wait()
        done.append(True)

    task = asyncio.create_task(run_shielded(work))
    for _ in range(4):
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
    assert not task.done()
    ended.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_a_scope_that_is_cancelled_already_waits_too() -> None:
    done = []

    async def work() -> None:
        await anyio.sleep(0.005)  # real time, in which a cancellation would end it
        done.append(True)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await run_shielded(work)
    assert done == [True]
