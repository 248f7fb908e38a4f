"""Plain calls over connections of our own, without what aiohttp does that no call here uses.

`ClientSession` prepares cookies, redirects, authentication, traces, middlewares and, before Python
3.12, a task of its own for each body. Here an idle connection is taken, a prebuilt head and the
body are written at once, and the answer is read. Not for a session that was passed in (its TLS
settings, resolver and limits are its connector's, which tells nobody), nor where tracing tools or
mocks have replaced `ClientSession._request`: those calls are aiohttp's.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from yarl import URL

from promomsg.transport.aiohttp_client import HEADERS, KEEPALIVE
from promomsg.transport.aiohttp_internals import Body
from promomsg.transport.body import ENCODED, encoding_of, inflate
from promomsg.transport.connector import Connector
from promomsg.transport.header_lines import HeaderLines
from promomsg.transport.http_connection import HttpConnection, RawAnswer

__all__ = ["HttpClient"]

_MOST_ENDPOINTS: Final = 64
"""URLs whose head is kept: a token's few endpoints."""
_TYPE: Final = "Content-Type: application/json; charset=utf-8\r\n"


def _aiohttps_request() -> object:
    """`ClientSession._request` as aiohttp made it; None: a mock stands there, and hides it.

    Tracing tools that start a program wrap it before this module is imported.
    """
    found = inspect.unwrap(aiohttp.ClientSession._request)
    code = getattr(found, "__code__", None)
    here = aiohttp.ClientSession.close.__code__
    return found if code is not None and code.co_filename == here.co_filename else None


_AIOHTTP_REQUEST: Final = _aiohttps_request()


class HttpClient:
    """Calls to one provider, and the connections that they share.

    Args:
        base: the provider's URL.
        proxy: to go through; a name and a password may be in it.
        make_room: called with this client before one more connection is made.
    """

    def __init__(
        self,
        base: URL,
        proxy: URL | None,
        make_room: Callable[[HttpClient], None],
    ) -> None:
        self._base = base
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._make_room = make_room
        self._connector = Connector(base, proxy, self._new_connection)
        self._opened: set[HttpConnection] = set()
        """Every connection that is open, or being opened."""
        self._idle: dict[HttpConnection, None] = {}
        """In the order of their last use."""
        self._ahead: set[asyncio.Task[None]] = set()
        self._heads: dict[tuple[str, URL], str] = {}
        self._dropper: asyncio.TimerHandle | None = None
        self._closed = False
        self._closing: set[HttpConnection] = set()
        self._all_closed = asyncio.Event()

    @staticmethod
    def is_allowed() -> bool:
        """Whether nobody watches or replaces aiohttp's requests, as tracing tools and mocks do."""
        return aiohttp.ClientSession._request is _AIOHTTP_REQUEST

    async def request(
        self, method: str, url: URL, call: Body, headers: Mapping[str, str] | None, limit: int
    ) -> RawAnswer:
        """Sends, and reads the answer: its status, headers and body.

        Raises:
            aiohttp's errors; `call.started` says whether anything may have left.
            OutcomeUnknown: the answer is over `limit` bytes, or compressed and damaged.
            Withheld: the last check said no.
            ValueError: a header that cannot be sent, or a URL of another place.
        """
        head = self._heads.get((method, url)) or self._new_head(method, url)
        if method == "POST":
            head += _TYPE if headers is None else _lines(headers)
        request = call.request_bytes(head) if method == "POST" else f"{head}\r\n".encode()
        connection = self._take_idle()
        if connection is None:
            assert call.timer is not None
            connection = await self._connect(call.timer.connect_timeout)
        try:
            usable = connection.has_answered or await connection.settle()
            check = call.last_check
            if usable and check is not None and not check.passes():
                await call.wait_to_leave()
                usable = await connection.settle()
            if not usable:
                raise aiohttp.ServerDisconnectedError
            call.reused = connection.has_answered
            call.begin()
            answer = await connection.ask(request, limit, call)
        except BaseException:
            if call.started:
                connection.abort()
            else:
                self._give_back(connection)
            raise
        self._give_back(connection)
        if ENCODED in answer[1]:
            return answer[0], answer[1], inflate(answer[2], encoding_of(answer[1]), limit)
        return answer

    def idle_connections(self) -> int:
        """Open connections that no call uses now."""
        return len(self._idle)

    def open_connections(self) -> int:
        """Connections that are open, or being opened."""
        return len(self._opened)

    def drop_idle(self, most: int) -> int:
        """Closes up to `most` connections that no call uses, those that were idle for longest first;
        how many it were."""
        oldest = list(self._idle)[:most]
        for connection in oldest:
            del self._idle[connection]
            connection.abort()
        return len(oldest)

    async def connect_ahead(self, count: int, most: int, connect_timeout: float) -> bool:
        """Begins to open connections, until one of them is idle or has failed; False: all that may
        be are open already.

        Args:
            count: how many more are wanted.
            most: how many may be open or begun.
            connect_timeout: seconds for each.
        """
        room = most - len(self._opened)
        begun = [
            self._loop.create_task(self._connect_one(connect_timeout))
            for _ in range(min(count, room))
        ]
        for task in begun:
            self._ahead.add(task)
            task.add_done_callback(self._ahead.discard)
        if not self._ahead:
            return False
        await asyncio.wait(self._ahead, return_when=asyncio.FIRST_COMPLETED)
        return True

    async def close(self) -> None:
        """Closes every connection, also under a call."""
        self._closed = True
        if self._loop.is_closed():
            return
        if self._dropper is not None:
            self._dropper.cancel()
        for task in self._ahead:
            task.cancel()
        self._closing = {each for each in self._opened if each.transport is not None}
        for connection in self._closing:
            assert connection.transport is not None
            connection.transport.abort()
        if self._closing:
            await self._all_closed.wait()
        if self._ahead:
            await asyncio.wait(self._ahead)

    def _new_connection(self) -> HttpConnection:
        connection = HttpConnection(self._loop, self._forget)
        self._opened.add(connection)
        return connection

    def _forget(self, connection: HttpConnection) -> None:
        self._opened.discard(connection)
        self._idle.pop(connection, None)
        self._closing.discard(connection)
        if self._closed and not self._closing:
            self._all_closed.set()

    def _take_idle(self) -> HttpConnection | None:
        """The connection that was used last: the server has had the least time to close it."""
        oldest = self._loop.time() - KEEPALIVE
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.idle_since > oldest and connection.is_usable():
                return connection
            connection.abort()
        return None

    def _give_back(self, connection: HttpConnection) -> None:
        transport = connection.transport
        if transport is None or transport.is_closing():
            return
        connection.idle_since = self._loop.time()
        self._idle[connection] = None
        if self._dropper is None:
            self._dropper = self._loop.call_later(KEEPALIVE, self._drop_old)

    def _drop_old(self) -> None:
        """Closes the connections that were idle for too long."""
        oldest = self._loop.time() - KEEPALIVE
        self._dropper = None
        for connection in list(self._idle):
            if connection.idle_since > oldest:
                self._dropper = self._loop.call_at(
                    connection.idle_since + KEEPALIVE, self._drop_old
                )
                return
            del self._idle[connection]
            connection.abort()

    async def _connect(self, connect_timeout: float) -> HttpConnection:
        self._make_room(self)
        connection = await self._connector.connect(connect_timeout)
        if self._closed:
            connection.abort()
            raise aiohttp.ClientConnectionError("closed")
        return connection

    async def _connect_one(self, connect_timeout: float) -> None:
        # A call finds out for itself what is wrong, and says it.
        with contextlib.suppress(aiohttp.ClientError, OSError, ValueError, RuntimeError):
            self._give_back(await self._connect(connect_timeout))

    def _new_head(self, method: str, url: URL) -> str:
        """The lines of a request that are the same for all calls to one URL.

        Raises:
            ValueError: it is not below the base URL.
        """
        if url.origin() != self._base.origin():
            raise ValueError("a URL of another place")
        # Through a tunnel a request looks as if there was no proxy.
        proxied = self._proxy is not None and url.scheme == "http"
        lines = [
            f"{method} {url if proxied else url.raw_path_qs} HTTP/1.1",
            f"Host: {url.host_port_subcomponent}",
            *(f"{name}: {value}" for name, value in HEADERS.items()),
            *(self._connector.proxy_headers() if proxied else ()),
        ]
        if len(self._heads) >= _MOST_ENDPOINTS:
            self._heads.clear()
        head = self._heads[method, url] = "\r\n".join(lines) + "\r\n"
        return head


def _lines(headers: Mapping[str, str]) -> str:
    """More header lines.

    Raises:
        ValueError: a name or a value that would end its line.
    """
    if type(headers) is HeaderLines:  # an instance check of an abstract class is slow
        return headers.text
    text = "" if "Content-Type" in headers else _TYPE
    for name, value in headers.items():
        line = f"{name}: {value}"
        if not line.isprintable():
            raise ValueError(f"the header {name!r} holds a control character")
        text += line + "\r\n"
    return text
