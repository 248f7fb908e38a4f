"""One connection to a provider: a request goes out, its answer comes in, and nothing else may.

The parser is llhttp, by httptools, with the leniencies that aiohttp gives it for answers. What
llhttp does not do is done here: the end of the connection as the end of a body, the limits, and
that whatever comes while nothing was asked closes the connection.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import aiohttp
from aiohttp.http import HttpProcessingError
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict, CIMultiDictProxy, istr

from promomsg.errors import OutcomeUnknown
from promomsg.transport.http_errors import NotHttpError
from promomsg.transport.timeouts import HttpCall

__all__ = ["HttpConnection", "RawAnswer"]

RawAnswer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body, as they came."""

_LINE: Final = 65_536
"""Bytes of one header line of an answer: policies and cookies of gateways are long."""
_OVERHEAD: Final = 2**20
"""Bytes of an answer that are not its body: interim answers, headers, trailers."""
_CHUNK_OVERHEAD: Final = 8
"""More such bytes for each one of the body: a chunk of one byte has five around it."""
_TURNS: Final = 3
"""Turns of the loop in which what waits in a socket is read and deciphered."""
_LENGTH: Final = istr("Content-Length")
_CODING: Final = istr("Transfer-Encoding")
_CLOSED_BY_SERVER: Final = getattr(select, "POLLRDHUP", 0)
_HAS_DATA: Final = _CLOSED_BY_SERVER | getattr(select, "POLLIN", 0)


class HttpConnection(asyncio.Protocol):
    """One connection, and the parser of its answers.

    Args:
        lost: called when it is closed, or was given up before it was made.

    Attributes:
        idle_since: the loop's time at which its last call ended.
        has_answered: it has been used before.
    """

    __slots__ = (
        "_body_began",
        "_call",
        "_descriptor",
        "_headers",
        "_interim",
        "_limit",
        "_loop",
        "_lost",
        "_pairs",
        "_parser",
        "_parts",
        "_poll",
        "_received",
        "_size",
        "_status",
        "_waiter",
        "has_answered",
        "idle_since",
        "transport",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, lost: Callable[[HttpConnection], None]
    ) -> None:
        self._loop = loop
        self._lost = lost
        self._parser: HttpResponseParser | None = None
        self._waiter: asyncio.Future[RawAnswer] | None = None
        self._poll: Any = None
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.has_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are of no such class
        self._parser = parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):
            self._descriptor = sock.fileno()
            self._poll = select.poll()
            self._poll.register(self._descriptor, _CLOSED_BY_SERVER)

    async def settle(self) -> bool:
        """`is_usable`, once the loop has read what waits in the socket.

        A TLS server's session tickets come unasked, before the first answer, and do no harm. An
        answer among that closes the connection: read behind a request, it would be taken for its.
        """
        for _ in range(_TURNS):
            if self._poll is not None:
                self._poll.modify(self._descriptor, _HAS_DATA)
            if self.is_usable():
                return True
            await asyncio.sleep(0)
        return self.is_usable()

    def is_usable(self) -> bool:
        """Whether a request may go into it: the server has not closed it, and it is silent.

        After a loop that was busy, or an answer followed at once by a close, the end of the
        connection waits unread in the socket, and a request written into it would be an `unknown`.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def ask(
        self, request: bytes, limit: int, call: HttpCall | None = None
    ) -> asyncio.Future[RawAnswer]:
        """Writes a request; the future has its answer, or aiohttp's error that says what failed.

        Args:
            limit: the most bytes of the answer's body.
            call: is told of a 429 as soon as its head is here; None: this is a CONNECT, whose
                answer ends with its head.
        """
        self._call = call
        self._limit = limit
        self._waiter = waiter = self._loop.create_future()
        self._pairs: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._size = self._received = 0
        self._body_began = self._interim = False
        transport = self.transport
        assert transport is not None
        transport.write(request)
        return waiter

    def abort(self) -> None:
        """Closes it at once; nobody waits for an answer on it any more."""
        self._waiter = None
        if self.transport is None:
            self._lost(self)
        else:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self._waiter is None or parser is None:
            self.abort()  # nobody asked for it
            return
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._finish(reusable=False)
        except HttpParserError as error:
            self._fail(NotHttpError(str(error)))
        self._received += len(data)
        if self._waiter is not None and (
            self._received - self._size > _OVERHEAD + _CHUNK_OVERHEAD * self._size
        ):
            self._fail(NotHttpError(f"over {_OVERHEAD} bytes around the body"))

    def eof_received(self) -> None:
        self._end(None)  # and asyncio closes the transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._lost(self)
        self._parser = self._poll = None

    # The parser calls these. They raise nothing: it would hide the error in another.

    def on_message_begin(self) -> None:
        if self._waiter is None:
            self.abort()  # a second answer, behind the one that was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body_began:
            return  # behind a body in chunks
        if len(name) + len(value) > _LINE:
            self._fail(NotHttpError(f"a header line over {_LINE} bytes"))
        self._pairs.append(
            (name.decode("latin-1"), value.decode("utf-8", "surrogateescape").strip(" \t"))
        )

    def on_headers_complete(self) -> None:
        if self._waiter is None or self._parser is None:
            return
        status = self._status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim = True
            return
        self._body_began = True
        headers = self._headers = CIMultiDictProxy(CIMultiDict(self._pairs))
        if self._call is None:
            self._finish(reusable=True)
            return
        self._call.status = status
        if status == 429:
            self._call.refused = status, headers
        length = headers.get(_LENGTH, "")
        # A float: any number of digits may be in it.
        if length.isdecimal() and float(length) > self._limit:
            self._fail(_too_long(self._limit))

    def on_body(self, body: bytes) -> None:
        if self._waiter is None:
            self.abort()
            return
        self._parts.append(body)
        self._size += len(body)
        if self._size > self._limit:
            self._fail(_too_long(self._limit))

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self._pairs = []
        elif self._parser is not None:
            self._finish(reusable=self._status != 101 and self._parser.should_keep_alive())

    def _finish(self, *, reusable: bool) -> None:
        """The answer is whole."""
        waiter, self._waiter = self._waiter, None
        transport = self.transport
        if waiter is None or transport is None:
            return
        if not waiter.done():
            waiter.set_result((self._status, self._headers, b"".join(self._parts)))
        if not reusable or transport.get_write_buffer_size():
            transport.abort()
        else:
            self.has_answered = True

    def _fail(self, error: Exception) -> None:
        waiter = self._waiter
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _end(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        if self._waiter is None:
            return
        if self._body_began:
            coding = ",".join(self._headers.getall(_CODING, ())).rpartition(",")[2]
            if _LENGTH not in self._headers and coding.strip().lower() != "chunked":
                self._finish(reusable=False)  # its end is the connection's, however that ended
                return
            failure: Exception = aiohttp.ClientPayloadError()
            failure.__cause__ = HttpProcessingError(message="the connection ended within the body")
        elif isinstance(exc, OSError):
            failure = aiohttp.ClientOSError(*exc.args)
        else:
            failure = aiohttp.ServerDisconnectedError()
        self._fail(failure)


def _too_long(limit: int) -> OutcomeUnknown:
    return OutcomeUnknown(f"answer over {limit} bytes; it may have arrived")
