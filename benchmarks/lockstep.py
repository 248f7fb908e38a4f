"""An event loop and a journal without threads or time, so that whatever is counted repeats.

How results gather into commits is otherwise a matter of threads: of how long a commit takes while
the loop goes on, and so of what else the machine does. Here a commit happens when nothing else
can move, and the clock jumps to the next timer when there is nothing left to do.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final
from unittest import mock

from promomsg.clock import SystemClock
from promomsg.journal.sqlite.writer import Operation, Writer

__all__ = ["run"]

_COMMIT: Final = 0.0005
"""What a commit takes on the loop's own clock, in seconds."""


_LONGEST_WAIT: Final = 60.0
"""Seconds of real time for a thread that is the only one at work, like a journal's that closes."""


class _SelectorWithoutWaiting(selectors.DefaultSelector):
    """Never waits for a timer."""

    slept = 0.0
    sleeps = 0
    """How often a loop with real time would have slept, and had to be woken."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.sleeps += timeout is None or timeout > 0
        if timeout is not None:
            found = super().select(0)
            self.slept += 0 if found else timeout
            return found
        found = super().select(_LONGEST_WAIT)
        if not found:
            raise RuntimeError("nothing is left to do, and nothing will wake whoever waits")
        return found


class _LoopWithOwnTime(asyncio.SelectorEventLoop):
    """Runs what is for threads in its own, and has its own time."""

    def __init__(self) -> None:
        self._waitless_selector = _SelectorWithoutWaiting()
        super().__init__(self._waitless_selector)

    def time(self) -> float:
        return self._waitless_selector.slept

    @property
    def sleeps(self) -> int:
        """How often it slept, for its timers, sockets or threads."""
        return self._waitless_selector.sleeps

    def run_in_executor(  # type: ignore[override]  # narrower than any executor
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to the caller
            future.set_exception(error)
        return future


class _WriterOnTheLoop(Writer):
    """Commits by a timer of the loop instead of in a thread."""

    _due = False

    def _start(self) -> None:
        pass

    def _put(self, op: Operation | None) -> None:
        self._queue.put(op)
        if not self._due:
            self._due = True
            self._loop.call_later(_COMMIT, self._now)

    def _now(self) -> None:
        self._due = False
        if not self._do_queued():
            self._end()
        elif not self._queue.empty():
            self._due = True
            self._loop.call_later(_COMMIT, self._now)


def run(main: Coroutine[Any, Any, None]) -> int:
    """Like `asyncio.run`, the same way every time; returns how often the loop slept, where each
    turn of the journal's thread counts as one."""

    def monotonic(clock: SystemClock) -> float:
        return runner.get_loop().time()

    with (
        mock.patch("promomsg.journal.sqlite.journal.Writer", _WriterOnTheLoop),
        mock.patch("promomsg.journal.sqlite.memory.Writer", _WriterOnTheLoop),
        asyncio.Runner(loop_factory=_LoopWithOwnTime) as runner,
        # What a look at the counts took decides when the next one is.
        mock.patch.object(SystemClock, "monotonic", monotonic),
    ):
        runner.run(main)
        loop = runner.get_loop()
        assert isinstance(loop, _LoopWithOwnTime)
        return loop.sleeps
