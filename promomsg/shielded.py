"""Work that a cancellation waits for, of whichever kind it is.

A shielded scope holds off anyio's own cancellations, but not `asyncio.Task.cancel`, which a time-out,
a web framework or an impatient caller may call more than once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["run_shielded"]

T = TypeVar("T")


async def run_shielded(work: Callable[[], Awaitable[T]]) -> T:
    """Runs `work` to its end, however often the caller is cancelled meanwhile.

    Raises:
        CancelledError: the caller was cancelled; `work` has ended all the same.
        Exception: whatever `work` raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    async def shielded() -> None:
        with anyio.CancelScope(shield=True):
            try:
                results.append(await work())
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's task
                errors.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shielded)
    if errors:
        raise errors[0]
    return results[0]
