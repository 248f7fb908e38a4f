"""What one call is to aiohttp: its body, its request, its time-out, its connection.

Here is everything that leans on how aiohttp 3.13 and 3.14 work inside.
"""

from __future__ import annotations

import asyncio
import inspect
import select
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Final
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict

__all__ = [
    "HEADER_LIMITS",
    "Body",
    "Call",
    "DeadlineTimer",
    "Request",
    "Response",
    "answered",
    "is_unusable",
    "set_idle",
]

_LINE: Final = 65_536
"""Bytes of one header line of an answer: policies and cookies of gateways are longer than the 8 KiB
that aiohttp takes by itself."""
HEADER_LIMITS: Final[dict[str, Any]] = {
    name: limit
    for name, limit in (("max_line_size", _LINE), ("max_field_size", _LINE), ("max_headers", 1024))
    if name in inspect.signature(ResponseHandler.set_response_params).parameters
}
"""How long and how many an answer's header lines may be, in aiohttp's words (3.13 has no limit of
their number)."""

_JSON: Final = CIMultiDict({"Content-Type": "application/json; charset=utf-8"})

_HUNG_UP: Final = getattr(select, "POLLRDHUP", 0)
_SPOKE: Final = _HUNG_UP | getattr(select, "POLLIN", 0)
_SHORTER: Final = 0.01
"""The share of its time-out that a call may have spent before its first byte without a new one."""


_LATE: Final = 0.05
"""Seconds after its moment from which a timer says that the loop, or the process, stood still."""
_GRACE: Final = 1.0
"""Seconds for what had arrived by then, and for the rest of an answer that had begun to."""
_ROUNDS: Final = 3
"""Rounds of the loop from bytes in a socket to the call that waits for them."""
_MOST_GRACES: Final = 10


class Call:
    """One call under way, as the watch sees it."""

    deadline = 0.0
    watch: DeadlineTimer | None = None
    task: asyncio.Task[Any] | None = None
    cancelling = 0
    expired = False
    refused: tuple[int, Mapping[str, str]] | None = None
    """Status and headers of a 429: nothing was let through, whatever becomes of its body."""


class Body(Call, aiohttp.Payload):
    """The bytes of one POST, and whether they may have begun to leave.

    aiohttp keeps the head back and writes it together with the first bytes of the body (since
    3.12), so the moment at which it asks for the body is the moment before the first byte leaves.
    """

    _autoclose = True

    def __init__(self, value: bytes) -> None:
        # Not the base's: it would make a new header dictionary for each message.
        self._value: bytes = value
        self._size = len(value)
        self._headers = _JSON
        self.started = False
        self.protocol: Any = None
        """Of the connection that aiohttp's own way has for it (a mock of it has none)."""

    def begin(self) -> None:
        """The first byte leaves now, and the time for the answer begins."""
        self.started = True
        if self.watch is not None:
            self.watch.restart(self)

    def after(self, head: str) -> bytes:
        """Everything of the request: its head, its length, and the bytes."""
        return f"{head}Content-Length: {self._size}\r\n\r\n".encode() + self._value

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return "…"

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        # Again: aiohttp may have let the loop turn since `Request.send` looked.
        protocol = getattr(writer, "protocol", None)
        if protocol is None or _unfit(protocol):
            raise aiohttp.ClientConnectionResetError("the server had closed the connection")
        self.begin()
        await writer.write(self._value)


class Request(aiohttp.ClientRequest):
    """A request without aiohttp's own headers: the session's replace them."""

    DEFAULT_HEADERS = {}  # noqa: RUF012  # the base class's name and kind

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Begins only on a connection that is open and silent.

        The last moment to see that: once the head of an answer is awaited, one that came before
        the request is taken for its own.
        """
        protocol = conn.protocol
        body = getattr(self, "_body", None)
        if isinstance(body, Body):
            body.protocol = protocol
        if protocol is None or _unfit(protocol):
            raise aiohttp.ServerDisconnectedError("the server had closed the connection")
        return await super().send(conn)


class Response(aiohttp.ClientResponse):
    """An answer on aiohttp's own way; nothing may come after it until the next call."""

    def _response_eof(self) -> None:
        connection = self._connection
        protocol = None if connection is None else connection.protocol
        if protocol is not None and not self._closed and not protocol.upgraded:
            set_idle(protocol)  # right before aiohttp gives the connection back
        super()._response_eof()


class DeadlineTimer:
    """One timer for the time-outs of all calls.

    They are equally long, so the oldest call is the next to expire. A timer and a time-out context
    for each call, which is aiohttp's way, cost 8 µs a call on asyncio (measured; `total=None`
    turns them off). A call that is late is cancelled as `asyncio.timeout` does it, once what waits
    in the sockets has been read: after a process stood still (Ctrl-Z, `docker pause`, a callback
    that blocked the loop) the timers ring first, and the answers that came meanwhile are there.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeout: float, connect_timeout: float
    ) -> None:
        self._loop = loop
        self._now = loop.time
        self._timeout = timeout
        # aiohttp rounds the moment of a longer one up to a whole second.
        self._connect_timeout = connect_timeout + (connect_timeout > 5)
        self._calls: dict[Call, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, call: Call) -> None:
        task = asyncio.current_task()
        assert task is not None
        call.task = task
        call.watch = self
        call.cancelling = task.cancelling()
        call.deadline = deadline = self._now() + self._timeout
        self._calls[call] = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._ring)

    def restart(self, call: Call) -> None:
        """Gives a call its whole time from now on: a connection that was long in coming must not
        shorten the time for the answer, or a message would be `unknown` for no reason."""
        deadline = self._now() + self._timeout
        if deadline - call.deadline > self._timeout * _SHORTER and not call.expired:
            self._calls.pop(call, None)  # the calls stand in the order of their deadlines
            call.deadline = deadline
            self._calls[call] = None
            if self._timer is None:
                self._timer = self._loop.call_at(deadline, self._ring)

    def leave(self, call: Call) -> bool:
        """Whether the call is over because of its time-out, and of nothing else."""
        self._calls.pop(call, None)
        task, call.task = call.task, None
        return call.expired and task is not None and task.uncancel() <= call.cancelling

    def stood_still(self, call: Call, failure: BaseException) -> bool:
        """Whether a connection was given up only because the process stood still: it may be there,
        and nothing was sent, so that the call may be made again at once."""
        if not isinstance(failure, aiohttp.ConnectionTimeoutError):
            return False
        began = call.deadline - self._timeout
        return self._now() - began - self._connect_timeout > _LATE

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        now = self._now()
        late = list(takewhile(lambda call: call.deadline <= now, self._calls))
        if late:
            due = late[0].deadline
            for call in late:
                del self._calls[call]
            self._look_again(late, due, _MOST_GRACES)
        for call in self._calls:
            self._timer = self._loop.call_at(call.deadline, self._ring)
            break

    def _look_again(self, late: list[Call], due: float, graces: int, rounds: int = 0) -> None:
        """Ends the calls that are late, after some rounds of the loop for what waits unread.

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
            self._loop.call_at(until, self._look_again, late, until, graces - 1)
        elif rounds < _ROUNDS:
            self._loop.call_soon(self._look_again, late, now, graces, rounds + 1)
        else:
            for call in late:
                call.expired = True
                if call.task is not None:
                    call.task.cancel()


def is_unusable(transport: asyncio.Transport | None, protocol: Any, *, quiet: bool) -> bool:
    """Whether a connection will not do for a request: closed by the server, or not silent.

    After a loop that was busy, or an answer followed at once by a close, the end of the connection
    waits unread in the socket, and a request written into it would be an `unknown`. An answer that
    nobody asked for would be taken for the next call's, whether it is read yet or not. (Measured:
    the question costs 2.5 µs a call.)

    Args:
        quiet: nothing unread may wait in the socket. Not for a new TLS connection, where the
            server's session tickets come unasked.
    """
    if transport is None or transport.is_closing():
        return True
    if getattr(protocol, "_buffer", None) or getattr(protocol, "_tail", None):
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), _SPOKE if quiet else _HUNG_UP)
    return bool(poll.poll(0))


_ANSWERED: Final[WeakSet[Any]] = WeakSet()


def answered(protocol: Any) -> None:
    """A connection has given an answer: it owes nothing more, and has to be silent until asked."""
    _ANSWERED.add(protocol)


def _unfit(protocol: Any) -> bool:
    transport = protocol.transport
    plain = transport is not None and transport.get_extra_info("ssl_object") is None
    return is_unusable(transport, protocol, quiet=plain or protocol in _ANSWERED)


class _Idle:
    """Reads, in a parser's place, from a connection that no call is using: nothing may come.

    Without it aiohttp keeps the beginning of a stray answer inside the parser of the call before,
    where nobody can see it, and a whole one in the queue that the next call reads from.
    """

    def feed_data(self, data: bytes) -> tuple[tuple[()], bool, bytes]:
        if data:
            # The protocol closes its connection for that.
            raise HttpProcessingError(message="an answer that nobody asked for")
        return (), False, b""

    def feed_eof(self) -> None:
        return None

    def pause_reading(self) -> None:
        return None


_IDLE: Final = _Idle()


def set_idle(protocol: Any) -> None:
    """Nothing may come on this connection until its next call; call it before it is given back."""
    protocol._parser = _IDLE
