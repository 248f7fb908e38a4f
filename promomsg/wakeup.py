"""Waiting for an event, or for a time, whichever comes first."""

from __future__ import annotations

import anyio

from promomsg.clock import Clock

__all__ = ["Wakeup", "wait_at_most"]


class Wakeup:
    """Wakes its one waiter; an early `set` is not lost."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Something changed."""
        self._event.set()

    def clear(self) -> None:
        """Forgets a `set` that came before: whoever waits next has seen what it was for."""
        if self._event.is_set():
            self._event = anyio.Event()

    async def wait(self) -> None:
        """Waits for the next `set`, or takes the one that came before."""
        await self._event.wait()
        self._event = anyio.Event()

    async def wait_for(self, seconds: float | None, clock: Clock) -> None:
        """The same, for so many seconds of this clock at the most; None: for as long as it takes."""
        if seconds is None:
            await self.wait()
            return
        async with anyio.create_task_group() as race:
            race.start_soon(self._set_after, seconds, clock)
            await self.wait()
            race.cancel_scope.cancel()

    async def _set_after(self, seconds: float, clock: Clock) -> None:
        await clock.sleep(max(seconds, 0.0))
        self.set()


async def wait_at_most(event: anyio.Event, seconds: float, clock: Clock) -> None:
    """Returns once the event is set, or after so many seconds of this clock."""
    async with anyio.create_task_group() as race:
        race.start_soon(_cancel_after, event, race.cancel_scope)
        await clock.sleep(seconds)
        race.cancel_scope.cancel()


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
