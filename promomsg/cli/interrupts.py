"""Runs a command's coroutine, on uvloop where it is installed, and stops it cleanly on a signal."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio

from promomsg.cli.command_errors import Interrupted
from promomsg.cli.exit_status import INTERRUPTED
from promomsg.cli.language.terminal_language import translated
from promomsg.cli.output.terminal_page import Page

__all__ = ["Interrupts", "run_async"]

T = TypeVar("T")

_TOGETHER: Final = 1.0
"""Seconds after the first signal in which more of them are the same one: GNU `timeout` sends two,
a supervisor SIGINT and then SIGTERM."""


def _signals() -> tuple[signal.Signals, ...]:
    """The signals that ask this process to stop; SIGHUP unless it is ignored (`nohup`)."""
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return (signal.SIGINT, signal.SIGTERM)
    return (signal.SIGINT, signal.SIGTERM, hangup)


class Interrupts:
    """The first Ctrl-C (SIGTERM, SIGHUP) asks to stop; a second one, later, ends the process at once.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._asked = anyio.Event()
        self._loop = asyncio.get_running_loop()
        self._now = now
        self._first = 0.0
        self._numbers = _signals()

    @property
    def asked(self) -> bool:
        """Whether one has come."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Waits for the first one."""
        await self._asked.wait()

    def _received(self, *_: object) -> None:
        if not self._asked.is_set():
            self._first = self._now()
            self._asked.set()
        elif self._now() - self._first > _TOGETHER:
            sys.stderr.flush()
            # Intents are on disk before the wire: a process may end at any moment.
            os._exit(INTERRUPTED)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """For as long as the block runs, in the main thread."""
        for number in self._numbers:
            self._loop.add_signal_handler(number, self._received)
        try:
            yield
        finally:
            for number in self._numbers:
                self._loop.remove_signal_handler(number)
                # What ends now ends with its own status, not by a signal that comes too late to
                # change anything; a second one still ends a process that hangs.
                signal.signal(number, self._received)

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
            Interrupted: Ctrl-C, SIGTERM or SIGHUP came instead of an answer.
        """
        with _own_signals(self._numbers) as came:
            # What came before goes to the loop's own handlers, which run here.
            await anyio.sleep(0.01)
            if not self.asked:
                lines = Page(sys.stderr).lines(f"{translated(question)} [y/N]:")
                print("\n".join(lines), end=" ", file=sys.stderr, flush=True)
                # Waiting for both at once, a signal right before the read is not lost.
                if came not in select.select([sys.stdin, came], [], [])[0]:
                    return _answer()
                self._received()
        raise Interrupted


def _answer() -> bool:
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes", "是")
    except (OSError, ValueError):
        return False  # the terminal is gone, or that was no text


@contextmanager
def _own_signals(numbers: Iterable[signal.Signals]) -> Iterator[int]:
    """Signals wake the descriptor it gives instead of the event loop."""
    here, there = os.pipe()
    os.set_blocking(there, False)
    wakes = signal.set_wakeup_fd(there, warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield here
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakes)
        os.close(here)
        os.close(there)


def run_async(
    work: Callable[[Interrupts], Coroutine[Any, Any, int]],
    *,
    now: Callable[[], float] = time.monotonic,
) -> int:
    """Runs a command's coroutine in an event loop of its own; returns its exit status.

    It leaves its signal handlers in place: after it the process only has to end.
    """

    async def main() -> int:
        interrupts = Interrupts(now)
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
