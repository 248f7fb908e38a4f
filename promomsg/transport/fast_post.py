"""A POST on aiohttp's connections and parser, without the work of its that no call here uses.

`ClientSession` prepares cookies, redirects, authentication, traces, middlewares and, before Python
3.12, a task of its own for each body: two thirds of a small call's cost (docs/performance.md). Here
a pooled connection is taken, one prebuilt head and the body are written at once, and the answer is
read. Only for plain calls, on the versions of aiohttp it was tested with; everything else goes
through the session.

What it relies on inside aiohttp, to be looked at before a newer version is let in (`_TESTED`):

- `connector.connect(request, traces, timeout)` gives a pooled or new connection for a request that
  is only asked for its connection key, its proxy and its TLS settings, so that one serves all calls;
- `connection.protocol` is a `ResponseHandler`: `set_response_params` makes its parser for one
  answer, `read()` gives that answer's head and its `StreamReader`, and bytes may be written to its
  `transport` between the two;
- `protocol._parser` is None until the connection's first answer;
- `connection.release()` gives the connection back to the pool, `close()` closes it;
- whoever traces or mocks aiohttp replaces `ClientSession._request`.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.helpers import TimerNoop
from aiohttp.http import HttpProcessingError
from yarl import URL

from promomsg.transport.aiohttp_internals import (
    HEADER_LIMITS,
    Body,
    Request,
    is_unusable,
    mark_answered,
    set_idle,
)
from promomsg.transport.body import ENCODED, read_rest
from promomsg.transport.http_errors import NotHttpError

__all__ = ["FastPost"]

_TESTED: Final = ((3, 13), (3, 14))
_MOST_ENDPOINTS: Final = 64
"""URLs whose head is kept: a token's few endpoints, for some accounts on one pool."""
_READ_SIZE: Final = 2**16
_TYPE: Final = "Content-Type: application/json; charset=utf-8\r\n"
_NO_TIMER: Final = TimerNoop()
_AIOHTTP_REQUEST: Final = aiohttp.ClientSession._request


class _Endpoint(NamedTuple):
    """What all calls to one URL share."""

    request: Any
    head: str
    plain: bool
    """Over http://, without TLS."""


class FastPost:
    """Plain POSTs over one session's connector.

    Args:
        session: whose connector and headers to use.
        timeout: for a connection, pooled or new.
        proxy: to go through; a name and a password may be in it.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        timeout: aiohttp.ClientTimeout,
        proxy: URL | None = None,
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._connector = session.connector
        self._timeout = timeout
        self._endpoints: dict[URL, _Endpoint] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def idle_connections(self, url: URL) -> int:
        """Open connections to its host that no call uses now."""
        endpoint = self._endpoints.get(url) or self._new_endpoint(url)
        pool = getattr(self._connector, "_conns", {})
        return len(pool.get(endpoint.request.connection_key, ()))

    async def connect_ahead(self, url: URL, count: int, most: int) -> None:
        """Begins to open connections to its host, until one of them is idle or has failed.

        Args:
            count: how many more are wanted.
            most: how many may be idle or begun.
        """
        endpoint = self._endpoints.get(url) or self._new_endpoint(url)
        room = most - len(self._connecting) - self.idle_connections(url)
        begun = [asyncio.create_task(self._connect(endpoint)) for _ in range(min(count, room))]
        for task in begun:
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        if self._connecting:
            await asyncio.wait(self._connecting, return_when=asyncio.FIRST_COMPLETED)

    async def _connect(self, endpoint: _Endpoint) -> None:
        connector = self._connector
        assert connector is not None
        # A call finds out for itself what is wrong, and says it.
        with contextlib.suppress(aiohttp.ClientError, OSError, ValueError, RuntimeError):
            connection = await connector.connect(endpoint.request, [], self._timeout)
            connection.release()

    def close(self) -> None:
        """Gives up the connections that are being opened."""
        for task in self._connecting:
            task.cancel()

    @staticmethod
    def is_supported() -> bool:
        """Whether it was tested with the aiohttp that is installed."""
        low, high = _TESTED
        version = tuple(int(part) for part in aiohttp.__version__.split(".")[:2])
        return low <= version <= high

    @staticmethod
    def is_allowed() -> bool:
        """Whether nobody watches or replaces aiohttp's requests, as tracing tools and mocks do."""
        return aiohttp.ClientSession._request is _AIOHTTP_REQUEST

    def _new_endpoint(self, url: URL) -> _Endpoint:
        """What all calls to one address share."""
        session = self._session
        request = Request(
            "POST",
            url,
            headers=session.headers,
            loop=asyncio.get_running_loop(),
            response_class=aiohttp.ClientResponse,
            session=session,
            proxy=self._proxy,
        )
        # Through a tunnel a request looks as if there was no proxy.
        proxied = self._proxy is not None and url.scheme == "http"
        lines = [
            f"POST {url if proxied else url.raw_path_qs} HTTP/1.1",
            f"Host: {request.headers['Host']}",
        ]
        lines += [f"{name}: {value}" for name, value in session.headers.items()]
        if proxied and self._proxy is not None and (self._proxy.user or self._proxy.password):
            words = f"{self._proxy.user or ''}:{self._proxy.password or ''}".encode("latin1")
            lines.append(f"Proxy-Authorization: Basic {b64encode(words).decode()}")
        if len(self._endpoints) >= _MOST_ENDPOINTS:
            self._endpoints.clear()
        endpoint = self._endpoints[url] = _Endpoint(
            request, "\r\n".join(lines) + "\r\n", url.scheme == "http"
        )
        return endpoint

    async def post(
        self, url: URL, call: Body, headers: Mapping[str, str] | None, limit: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Sends, and reads the answer: its status, headers and body, as it came.

        Raises:
            aiohttp's errors; `call.started` says whether anything may have left.
            Withheld: the last check said no.
            ValueError: a header that cannot be sent.
        """
        endpoint = self._endpoints.get(url) or self._new_endpoint(url)
        connector = self._connector
        assert connector is not None
        head = endpoint.head + (_TYPE if headers is None else _lines(headers))
        try:
            connection = await connector.connect(endpoint.request, [], self._timeout)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        try:
            protocol = connection.protocol
            assert protocol is not None
            transport = protocol.transport
            # A connection that has answered before has a parser still.
            used = getattr(protocol, "_parser", None) is not None
            if is_unusable(transport, protocol, quiet=endpoint.plain or used):
                raise aiohttp.ServerDisconnectedError("the server had closed the connection")
            assert transport is not None
            if call.last_check is not None and not call.last_check.passes():
                await call.wait_to_leave()
                if is_unusable(transport, protocol, quiet=endpoint.plain or used):
                    raise aiohttp.ServerDisconnectedError("the server had closed the connection")
            protocol.set_response_params(
                timer=_NO_TIMER,
                read_until_eof=True,
                auto_decompress=False,
                read_bufsize=_READ_SIZE,
                **HEADER_LIMITS,
            )
            call.begin()
            transport.write(call.request_bytes(head))
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    break
            if message.code == 429:
                call.refused = message.code, message.headers
            part = await content.readany()
            if not content.at_eof() or len(part) > limit or ENCODED in message.headers:
                part = await read_rest(message.headers, content, part, limit)
        except HttpProcessingError as error:
            connection.close()
            raise NotHttpError(error) from None
        except BaseException:
            connection.close()
            raise
        set_idle(protocol)
        if not used:
            mark_answered(protocol)
        connection.release()
        return message.code, message.headers, part


def _lines(headers: Mapping[str, str]) -> str:
    """More header lines.

    Raises:
        ValueError: a name or a value that would end its line.
    """
    text = "" if "Content-Type" in headers else _TYPE
    for name, value in headers.items():
        line = f"{name}: {value}"
        if not line.isprintable():
            raise ValueError(f"the header {name!r} holds a control character")
        text += line + "\r\n"
    return text
