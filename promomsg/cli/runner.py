"""One coroutine a command, on uvloop where it is installed, with Ctrl-C and SIGTERM under control."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio

__all__ = ["Interrupted", "Interrupts", "run_async"]

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - the user's wish, not an error
    """Ctrl-C or SIGTERM came; the text, when there is one, is for the user."""


class Interrupts:
    """The first Ctrl-C (or SIGTERM) is a wish, the second one ends the process at once."""

    def __init__(self) -> None:
        self._asked = anyio.Event()
        self._said: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def asked(self) -> bool:
        """Whether one has come."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Waits for the first one."""
        await self._asked.wait()

    def _got(self) -> None:
        if self._asked.is_set():
            sys.stderr.flush()
            # Intents are on disk before the wire: a process may end at any moment.
            os._exit(130)
        self._asked.set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """For as long as the block runs; elsewhere than in the main thread it changes nothing."""
        try:
            for number in _SIGNALS:
                self._loop.add_signal_handler(number, self._got)
        except (ValueError, RuntimeError, NotImplementedError):
            yield
            return
        try:
            yield
        finally:
            for number in _SIGNALS:
                self._loop.remove_signal_handler(number)

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work`, which an interrupt cancels.

        Raises:
            Interrupted: it was.
        """
        outcome: list[T] = []
        error: Exception | None = None

        async def watch(scope: anyio.CancelScope) -> None:
            await self.wait()
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            try:
                outcome.append(await work)
            except Exception as caught:  # noqa: BLE001 - raised below, out of the task group
                error = caught
            tasks.cancel_scope.cancel()
        if error is not None:
            raise error
        if not outcome:
            raise Interrupted
        return outcome[0]

    def ask(self, question: Callable[[], bool]) -> bool:
        """Asks the user, blocking; Ctrl-C and SIGTERM meanwhile raise Interrupted."""
        import click

        def stop(number: int, frame: object) -> None:
            raise KeyboardInterrupt

        before = {}
        try:
            for number in _SIGNALS:
                before[number] = signal.signal(number, stop)
        except ValueError:  # not the main thread
            return question()
        try:
            return question()
        except (KeyboardInterrupt, click.Abort):
            self._asked.set()
            raise Interrupted from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_async(work: Callable[[Interrupts], Coroutine[Any, Any, int]]) -> int:
    """Runs a command's coroutine in an event loop of its own; returns its exit status."""

    async def main() -> int:
        interrupts = Interrupts()
        with interrupts.listening():
            return await work(interrupts)

    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        pass
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())
