"""Time-outs: when a call is given up, and what a process that stood still changes about that."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Final

import aiohttp

from promomsg.errors import UsageError

__all__ = ["DeadlineTimer", "HttpCall", "check_seconds"]

_UNUSED_SHARE: Final = 0.01
"""The share of its time-out that a call may have spent before its first byte without a new one."""


_LATE: Final = 0.05
"""Seconds after its moment from which a timer says that the loop, or the process, stood still."""
_GRACE: Final = 1.0
"""Seconds for what had arrived by then, and for the rest of an answer that had begun to."""
_LOOP_TURNS: Final = 3
"""Turns of the loop from bytes in a socket to the call that waits for them."""
_MOST_GRACES: Final = 10


class HttpCall:
    """One call that is being made, as its timer sees it."""

    deadline = 0.0
    timer: DeadlineTimer | None = None
    task: asyncio.Task[Any] | None = None
    cancelling = 0
    expired = False
    refused: tuple[int, Mapping[str, str]] | None = None
    """Status and headers of a 429: nothing was let through, whatever becomes of its body."""
    status: int | None = None
    """Of the answer, once its head is here."""


class DeadlineTimer:
    """One timer for the time-outs of all calls.

    They are equally long, so the oldest call is the next to expire. A timer and a time-out context
    for each call, which is aiohttp's way, cost 8 µs a call on asyncio (measured; `total=None`
    turns them off). A call that is late is cancelled as `asyncio.timeout` does it, once what waits
    in the sockets has been read: after a process stood still (Ctrl-Z, `docker pause`, a callback
    that blocked the loop) the timers ring first, and the answers that came meanwhile are there.

    Attributes:
        connect_timeout: seconds that a call of these has for a new connection.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeout: float, connect_timeout: float
    ) -> None:
        self._loop = loop
        self._now = loop.time
        self._timeout = timeout
        self.connect_timeout = connect_timeout
        # aiohttp rounds the moment of a longer one up to a whole second.
        self._latest_connect = connect_timeout + (connect_timeout > 5)
        self._calls: dict[HttpCall, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, call: HttpCall) -> None:
        """Times a call of the current task from now on."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        call.task = task
        call.timer = self
        call.cancelling = task.cancelling()
        call.deadline = deadline = self._now() + self._timeout
        self._calls[call] = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def restart(self, call: HttpCall) -> None:
        """Gives a call its whole time from now on: a connection that was long in coming must not
        shorten the time for the answer, or a message would be `unknown` for no reason."""
        deadline = self._now() + self._timeout
        if deadline - call.deadline > self._timeout * _UNUSED_SHARE and not call.expired:
            self._calls.pop(call, None)  # the calls stand in the order of their deadlines
            call.deadline = deadline
            self._calls[call] = None
            if self._timer is None:
                self._timer = self._loop.call_at(deadline, self._on_timer)

    def suspend(self, call: HttpCall) -> None:
        """Does not time a call until `resume`: it waits for what its time-out is not for."""
        self._calls.pop(call, None)
        call.task = None

    def resume(self, call: HttpCall) -> None:
        """Gives a call of the current task its whole time from now on."""
        call.task = asyncio.current_task()
        call.deadline = self._now() + self._timeout
        self._calls[call] = None
        if self._timer is None:
            self._timer = self._loop.call_at(call.deadline, self._on_timer)

    def finish(self, call: HttpCall) -> bool:
        """Ends the timing; whether the call was cancelled by its time-out, and by nothing else."""
        self._calls.pop(call, None)
        task, call.task = call.task, None
        return call.expired and task is not None and task.uncancel() <= call.cancelling

    def process_stood_still(self, call: HttpCall, failure: BaseException) -> bool:
        """Whether a connection was given up only because the process stood still: it may be there,
        and nothing was sent, so that the call may be made again at once."""
        if not isinstance(failure, aiohttp.ConnectionTimeoutError):
            return False
        began = call.deadline - self._timeout
        return self._now() - began - self._latest_connect > _LATE

    def close(self) -> None:
        """No call expires any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        now = self._now()
        late = list(takewhile(lambda call: call.deadline <= now, self._calls))
        if late:
            due = late[0].deadline
            for call in late:
                del self._calls[call]
            self._expire(late, due, _MOST_GRACES)
        for call in self._calls:
            self._timer = self._loop.call_at(call.deadline, self._on_timer)
            break

    def _expire(self, late: list[HttpCall], due: float, graces: int, turns: int = 0) -> None:
        """Ends the calls that are late, after some turns of the loop for what waits unread.

        Args:
            due: the loop's time at which this was to happen: much later, the loop stood still.
        """
        # The others have left meanwhile, or have a new deadline.
        late = [call for call in late if call.task is not None and call not in self._calls]
        if not late:
            return
        now = self._now()
        if now - due > _LATE and graces:
            until = now + _GRACE
            self._loop.call_at(until, self._expire, late, until, graces - 1)
        elif turns < _LOOP_TURNS:
            self._loop.call_soon(self._expire, late, now, graces, turns + 1)
        else:
            for call in late:
                call.expired = True
                if call.task is not None:
                    call.task.cancel()


def check_seconds(name: str, value: float) -> float:
    """The value, as seconds. Raises UsageError for what is not a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise UsageError(f"{name}={value!r}: give seconds above 0")
    return float(value)
