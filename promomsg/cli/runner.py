"""One coroutine a command, on uvloop where it is installed, with Ctrl-C and SIGTERM under control."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio

__all__ = ["BrokeOffError", "Interrupted", "Interrupts", "run_async"]

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came; the text, when there is one, is for the user."""


class BrokeOffError(Exception):
    """Something unexpected (its cause) in the middle of sending; the text is the resume command."""


class Interrupts:
    """The first Ctrl-C (or SIGTERM) is a wish, the second one ends the process at once."""

    def __init__(self) -> None:
        self._asked = anyio.Event()
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
        """For as long as the block runs, in the main thread."""
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._got)
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
        errors: list[Exception] = []
        working, watching = anyio.CancelScope(), anyio.CancelScope()

        async def do() -> None:
            with working:
                try:
                    outcome.append(await work)
                except Exception as error:  # noqa: BLE001 - raised below, out of the task group
                    errors.append(error)
            watching.cancel()

        async def watch() -> None:
            with watching:
                await self.wait()
                working.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(do)
            tasks.start_soon(watch)
        if errors:
            raise errors[0]
        if not outcome:
            raise Interrupted
        return outcome[0]

    async def ask(self, question: str) -> bool:
        """Asks the user on the terminal, blocking; anything but yes is no.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came instead of an answer.
        """
        with _own_signals() as came:
            # What came before goes to the loop's own handlers, which have their turn here.
            await anyio.sleep(0.01)
            if not self.asked:
                print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
                # Waiting for both at once, a signal right before the read is not lost.
                if came not in select.select([sys.stdin, came], [], [])[0]:
                    return sys.stdin.readline().strip().lower() in ("y", "yes")
                self._asked.set()
        raise Interrupted


@contextmanager
def _own_signals() -> Iterator[int]:
    """Signals wake the descriptor it gives instead of the event loop."""
    here, there = os.pipe()
    os.set_blocking(there, False)
    wakes = signal.set_wakeup_fd(there, warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    try:
        yield here
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakes)
        os.close(here)
        os.close(there)


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
