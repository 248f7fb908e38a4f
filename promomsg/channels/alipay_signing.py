"""The signatures of a wallet's requests, made in threads beside the event loop.

An RSA-2048 signature is twice the work of everything else that a message takes, and cryptography
lets go of the interpreter while it makes one: on two cores two threads sign twice as many a second,
and the loop goes on meanwhile. (To verify one is a twelfth of that, 20 µs. Answers that were verified
in these threads, a batch at a time, cost 10 µs more each: the loop does that itself.)

A signature leaves no code and no data of Python's in the CPU's caches, so whatever is done between
two of them takes twice as long. What is signed is put together in the loop therefore, among other
work of the kind, the threads do nothing but sign, and headers are made for a batch in one go.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from promomsg.errors import UsageError
from promomsg.traceback_locals import clear_traceback_locals

__all__ = ["Signer", "SigningThreads"]

_BATCH: Final = 64
"""Signatures that a thread makes before it hands them to the loop: 16 ms of its work. The loop that
wakes and the thread then fight for the interpreter at each step that lets go of it, and on one CPU
for that too: in turn, and not among each other's work, a message costs a tenth less (measured: 16
at a time 448 µs, 64 at a time 418)."""

Headers = Mapping[str, str]


class Signer(Protocol):
    """How a request is signed, in three steps."""

    def content(self, path: str, body: bytes) -> tuple[str, bytes]:
        """The time of a request that goes out about now, and what is signed. Called in the loop."""
        ...

    def sign(self, content: bytes) -> bytes:
        """The signature. Called by any of the threads, several at a time.

        Raises:
            UsageError: it cannot be signed.
        """
        ...

    def headers(self, time: str, signature: bytes) -> Headers:
        """The headers that the request goes out with. Called by any of the threads."""
        ...


_ToSign = tuple[asyncio.Future[Headers], str, bytes]
"""Whoever waits, the request's time, and what is to be signed."""
_Signature = tuple[asyncio.Future[Headers], str, bytes | BaseException]
"""Whoever waits, the request's time, and its signature, or why there is none."""
_Signed = tuple[asyncio.Future[Headers], Headers | BaseException]
"""Whoever waits, and the request's headers, or why there are none."""


class SigningThreads:
    """Signs the requests of one client: those of one turn of the loop together, in its threads.

    A request that comes alone is signed by the loop itself, since to hand it over and back takes
    longer than the loop is kept, which is never more than one signature at a time. The threads
    start when requests first come together, and end with `close`, with the client, or with the
    process, which they do not keep alive. It belongs to the event loop that it is first used in.

    Args:
        signer: signs. The body that it is given holds a user's token, so its errors are raised
            without the frames that they came through.
        threads: how many at the most; None: one for each CPU that this process may use.
    """

    def __init__(self, signer: Signer, threads: int | None = None) -> None:
        self._signer = signer
        self._most = threads or _usable_cpus()
        self._waiting: deque[_ToSign] = deque()
        self._finished: deque[_Signed] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None
        self._busy = 0
        """Threads that were set on what waits, and that the loop has not yet heard to be done. Only
        the loop counts them, so that none is done unheard while something waits."""
        self._starting = False
        self._gathered = 0
        """Where there is one thread: how many waited at the end of the turn before."""
        self._closed = False

    def sign(self, path: str, body: bytes) -> asyncio.Future[Headers]:
        """The headers of a request, once it is signed. Its time is now.

        Raises, when it is awaited:
            UsageError: the client was closed meanwhile. Whatever `sign` raises.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        signed: asyncio.Future[Headers] = loop.create_future()
        request = signed, *self._signer.content(path, body)
        if self._closed or loop is not self._loop:
            # Nothing can be sent by it any more, as its connections will say.
            self._sign_here(request)
        else:
            self._waiting.append(request)
            if self._busy < self._most:
                self._start_soon()
        return signed

    def close(self) -> None:
        """Ends the threads, waiting for the signatures that they are at and for no more.

        In another event loop than its own it does nothing.
        """
        loop = self._loop
        if loop is not None and not loop.is_closed() and loop is not asyncio.get_running_loop():
            return
        self._closed = True
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(cancel_futures=True)
        if loop is None or loop.is_closed():
            self._waiting.clear()
            return
        self._hand_back()
        while (request := self._take()) is not None:
            error = UsageError("this client was closed before the request was signed")
            _settle((request[0], error))

    def _start_soon(self) -> None:
        """Starts on what waits, behind everything that is ready to run in this turn of the loop."""
        if not self._starting:
            assert self._loop is not None
            self._starting = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._starting = False
        waiting = len(self._waiting)
        if self._most == 1 and not self._busy and self._gathered < waiting < _BATCH:
            # On one CPU the thread would be in the way of the answers that bring the others.
            self._gathered = waiting
            self._start_soon()
            return
        self._gathered = 0
        if waiting > 1 or self._busy:
            for _ in range(min(waiting, self._most - self._busy)):
                if not self._start_thread():
                    break
            if self._busy:
                return
        # It is alone, or no thread can be had.
        request = self._take()
        if request is not None:
            self._sign_here(request)
        if self._waiting:
            self._start_soon()

    def _start_thread(self) -> bool:
        """Sets one more thread on what waits; False: there is none to be had."""
        try:
            if self._executor is None:
                # It is named here, since it is loaded when it is named.
                self._executor = concurrent.futures.ThreadPoolExecutor(
                    self._most, thread_name_prefix="promomsg-signing"
                )
            self._executor.submit(self._work)
        except RuntimeError:  # the system has no more threads for us, or the process is ending
            return False
        self._busy += 1
        return True

    def _take(self) -> _ToSign | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _work(self) -> None:
        """Signs until nothing waits. In a thread."""
        sign = self._signer.sign
        made: list[_Signature] = []
        while not self._closed and (request := self._take()) is not None:
            waiter, time, content = request
            if waiter.done():
                continue  # whoever waited for it was cancelled
            signature: bytes | BaseException
            try:
                signature = sign(content)
            except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it, or hangs
                clear_traceback_locals(error)
                signature = error.with_traceback(None)
            made.append((waiter, time, signature))
            if len(made) == _BATCH:
                self._finish(made)
                made = []
                self._call_in_loop(self._hand_back)
        self._finish(made)
        self._call_in_loop(self._thread_done)

    def _finish(self, made: list[_Signature]) -> None:
        """Makes the headers of some requests."""
        for waiter, time, signature in made:
            if isinstance(signature, bytes):
                self._finished.append((waiter, self._signer.headers(time, signature)))
            else:
                self._finished.append((waiter, signature))

    def _sign_here(self, request: _ToSign) -> None:
        """Signs one in the loop."""
        waiter, time, content = request
        try:
            signed: Headers | BaseException
            signed = self._signer.headers(time, self._signer.sign(content))
        except BaseException as error:  # noqa: BLE001  # it is raised to whoever waits
            clear_traceback_locals(error)
            signed = error.with_traceback(None)
        _settle((waiter, signed))

    def _call_in_loop(self, function: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(function)

    def _hand_back(self) -> None:
        finished = self._finished
        while finished:
            _settle(finished.popleft())

    def _thread_done(self) -> None:
        self._busy = max(self._busy - 1, 0)
        self._hand_back()
        if self._waiting:
            self._start_soon()  # they came when it had looked for the last time


def _settle(result: _Signed) -> None:
    signed, outcome = result
    if signed.done():
        return  # cancelled meanwhile
    if isinstance(outcome, BaseException):
        signed.set_exception(outcome)
    else:
        signed.set_result(outcome)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
