"""Everything that relies on how aiohttp 3.13 and 3.14 work inside: bodies, requests, connections.

What it makes sure of: a POST knows the moment before its first byte leaves, and it never goes into
a connection that is closed or that has data waiting which nobody asked for.
"""

from __future__ import annotations

import asyncio
import inspect
import select
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict

from promomsg.transport.last_check import LastCheck, Withheld
from promomsg.transport.timeouts import HttpCall

__all__ = [
    "HEADER_LIMITS",
    "Body",
    "Request",
    "Response",
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

_HAS_DATA: Final = getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLIN", 0)


class Body(HttpCall, aiohttp.Payload):
    """The bytes of one POST, and whether they may have begun to leave.

    aiohttp keeps the head back and writes it together with the first bytes of the body (since
    3.12), so the moment at which it asks for the body is the moment before the first byte leaves.
    """

    _autoclose = True

    def __init__(self, value: bytes, last_check: LastCheck | None = None) -> None:
        # Not the base's: it would make a new header dictionary for each message.
        self._value: bytes = value
        self._size = len(value)
        self._headers = _JSON
        self.started = False
        self.protocol: Any = None
        """Of the connection that aiohttp chose for it; None when a mock stands in for aiohttp."""
        self.last_check = last_check
        """Not asked yet; None: there is none, or it has said yes."""
        self.reused = False
        """Its connection had served another call before."""

    async def wait_to_leave(self) -> None:
        """Waits until the last check lets the first byte leave. Its time-out stands still meanwhile.

        Raises:
            Withheld: it is not to be sent now.
        """
        check, timer = self.last_check, self.timer
        if check is None:
            return
        if timer is not None:
            timer.suspend(self)
        if not await check.wait():
            raise Withheld("it was held back: nothing was sent")
        self.last_check = None
        if timer is not None:
            timer.resume(self)

    def begin(self) -> None:
        """The first byte leaves now, and the time for the answer begins."""
        self.started = True
        if self.timer is not None:
            self.timer.restart(self)

    def request_bytes(self, head: str) -> bytes:
        """The whole request: `head`, the line that gives the body's length, and the body."""
        return f"{head}Content-Length: {self._size}\r\n\r\n".encode() + self._value

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return "…"

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        # Again: aiohttp may have let the loop turn since `Request.send` checked.
        protocol = getattr(writer, "protocol", None)
        if not await _is_usable(protocol):
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
        if not await _is_usable(protocol):
            raise aiohttp.ServerDisconnectedError("the server had closed the connection")
        if isinstance(body, Body) and body.last_check is not None and not body.last_check.passes():
            await body.wait_to_leave()
            if not await _is_usable(protocol):
                raise aiohttp.ServerDisconnectedError("the server had closed the connection")
        return await super().send(conn)


class Response(aiohttp.ClientResponse):
    """An answer read by aiohttp; nothing may come after it until the next request."""

    def _response_eof(self) -> None:
        connection = self._connection
        protocol = None if connection is None else connection.protocol
        if protocol is not None and not self._closed and not protocol.upgraded:
            set_idle(protocol)  # right before aiohttp gives the connection back
        super()._response_eof()


_TURNS: Final = 3
"""Turns of the loop in which what waits in a socket is read and deciphered."""


async def _is_usable(protocol: Any) -> bool:
    """Whether a request may go into a connection, once the loop has read what waits in its socket.

    The session tickets of a TLS server do no harm. An answer closes the connection, or the part of
    one: in the parser of the answer to come nobody would see it.
    """
    if protocol is None:
        return False
    if not is_unusable(protocol.transport, protocol):
        return True
    parser, protocol._parser = protocol._parser, _REFUSING_PARSER
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    if protocol._parser is _REFUSING_PARSER:
        protocol._parser = parser
    return not is_unusable(protocol.transport, protocol)


def is_unusable(transport: asyncio.Transport | None, protocol: Any) -> bool:
    """Whether a connection will not do for a request: closed by the server, or not silent.

    After a loop that was busy, or an answer followed at once by a close, the end of the connection
    waits unread in the socket, and a request written into it would be an `unknown`. An answer that
    nobody asked for would be taken for the next call's, whether it is read yet or not. (Measured:
    the question costs 2.5 µs a call.)
    """
    if transport is None or transport.is_closing():
        return True
    if getattr(protocol, "_buffer", None) or getattr(protocol, "_tail", None):
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), _HAS_DATA)
    return bool(poll.poll(0))


class _RefusingParser:
    """Stands in for the parser of a connection that no call is using, and refuses whatever comes.

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


_REFUSING_PARSER: Final = _RefusingParser()


def set_idle(protocol: Any) -> None:
    """Nothing may come on this connection until its next request; called before the pool has it."""
    protocol._parser = _REFUSING_PARSER
