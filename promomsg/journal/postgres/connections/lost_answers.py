"""Connections on which nothing comes any more, although nobody has closed them: what stands between us
and the server (a load balancer, a firewall) has lost a question or an answer.

A statement may take long, so that it is silent is no sign. After a while the server itself is asked, on
another connection, whether it is at work for this one; if it is not, or cannot be asked, the connection
is hung up, and whoever waits on it is told that it is lost.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import anyio
import psycopg

__all__ = [
    "IS_AT_WORK",
    "AnsweringConnection",
    "hung_up_after",
    "hung_up_behind",
    "watched",
]

T = TypeVar("T")
AtWork = Callable[[], Coroutine[Any, Any, bool]]

_looking: set[asyncio.Task[Any]] = set()
"""The event loop alone would forget them."""

IS_AT_WORK: Final = (
    "SELECT doing NOT LIKE 'idle%%' FROM (SELECT pid, state AS doing FROM pg_stat_activity)"
    " AS process WHERE pid = %s AND doing <> 'disabled'"
)
"""Whether a process of the server has a statement under way; no row: there is none."""


def _hang_up(db: psycopg.AsyncConnection[Any]) -> None:
    """Whoever waits on the connection finds it closed by the other side."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(db.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


@contextmanager
def hung_up_after(db: psycopg.AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """A block in which the connection is hung up after so many seconds."""
    timer = asyncio.get_running_loop().call_later(seconds, _hang_up, db)
    try:
        yield
    finally:
        timer.cancel()


class AnsweringConnection(psycopg.AsyncConnection[T]):
    """A connection that can be hung up when an answer is not there in time, however many of them there
    are: a slow server answers each in time, and all together late.

    Attributes:
        answers_within: seconds for one; 0: any time.
    """

    answers_within: float = 0.0

    async def wait(self, *args: Any, **options: Any) -> Any:
        """See `psycopg.AsyncConnection.wait`."""
        if not self.answers_within:
            return await super().wait(*args, **options)
        with hung_up_after(self, self.answers_within):
            return await super().wait(*args, **options)


@contextmanager
def hung_up_behind(
    db: psycopg.AsyncConnection[Any], event: anyio.Event, seconds: float
) -> Iterator[None]:
    """A block in which the connection is hung up so many seconds after an event."""

    async def wait() -> None:
        await event.wait()
        await asyncio.sleep(seconds)
        _hang_up(db)

    task = asyncio.get_running_loop().create_task(wait())
    _looking.add(task)
    task.add_done_callback(_looking.discard)
    try:
        yield
    finally:
        task.cancel()


class _Watch:
    """Looks after one connection for as long as somebody waits on it.

    A look that is under way is never cancelled: psycopg would wait for the server once more.
    """

    def __init__(
        self,
        db: psycopg.AsyncConnection[Any],
        is_at_work: AtWork,
        every: float,
        answers_in: float | None,
    ) -> None:
        self._db = db
        self._is_at_work = is_at_work
        self._every = every
        self._answers_in = every if answers_in is None else answers_in
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(every, self._begin)

    def _begin(self) -> None:
        self._start(self._until_lost())

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        _looking.add(task)
        task.add_done_callback(_looking.discard)
        return task

    async def _until_lost(self) -> None:
        while True:
            look = self._start(self._is_at_work())
            await asyncio.wait({look}, timeout=self._answers_in)
            if self._over.is_set():
                return
            if not look.done() or not look.result():
                _hang_up(self._db)
                return
            await asyncio.sleep(self._every)
            if self._over.is_set():
                return

    def end(self) -> None:
        """Nobody waits any more."""
        self._over.set()
        self._timer.cancel()


@contextmanager
def watched(
    db: psycopg.AsyncConnection[Any],
    is_at_work: AtWork,
    *,
    every: float,
    answers_in: float | None = None,
) -> Iterator[None]:
    """A block in which the connection is hung up once the server is not at work for it, which is asked
    each `every` seconds, and has to be answered within `answers_in` seconds (None: as many)."""
    watch = _Watch(db, is_at_work, every, answers_in)
    try:
        yield
    finally:
        watch.end()
