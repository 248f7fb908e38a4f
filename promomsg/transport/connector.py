"""New connections to one provider: names looked up, proxies, TLS.

What fails is raised as the class that aiohttp would raise, since their texts are known to users
(`http_errors`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final

import aiohappyeyeballs
import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from promomsg.transport.http_connection import HttpConnection

__all__ = ["Connector"]

_Address = tuple[int, int, int, str, Any]
_LOOKUP_KEPT: Final = 10.0
"""Seconds for which the addresses of a name are used again."""
_NEXT_ADDRESS: Final = 0.25
"""Seconds after which the next address is tried beside the one before (RFC 8305)."""
_TUNNEL_ANSWER: Final = 65_536
_NEVER: Final = 1e6
"""Seconds that no connection takes."""


class _Place(msgspec.Struct, frozen=True):
    """Where a connection was to go, in the words of aiohttp's errors."""

    host: str
    port: int
    is_ssl: bool
    ssl: bool = True


class Connector:
    """Makes connections to one provider.

    Args:
        base: the provider's URL.
        proxy: to go through; a name and a password may be in it.
        new: makes the connection's protocol.
    """

    def __init__(self, base: URL, proxy: URL | None, new: Callable[[], HttpConnection]) -> None:
        self._base = base
        self._proxy = proxy
        self._new = new
        self._found: list[_Address] = []
        self._found_at = -_LOOKUP_KEPT
        self._lookup: asyncio.Task[list[_Address]] | None = None

    async def connect(self, timeout: float) -> HttpConnection:  # noqa: ASYNC109  # in aiohttp's words
        """A new connection, ready for a request.

        Args:
            timeout: seconds for all of it.

        Raises:
            aiohttp's errors.
        """
        connection = self._new()
        try:
            async with asyncio.timeout(timeout):
                await self._connect_to(self._proxy or self._base, connection)
                if self._proxy is not None and self._base.scheme == "https":
                    connection = await self._through_tunnel(connection)
            return connection
        except BaseException as error:
            connection.abort()
            if isinstance(error, TimeoutError):
                raise aiohttp.ConnectionTimeoutError from None
            raise

    async def _connect_to(self, url: URL, connection: HttpConnection) -> None:
        loop = asyncio.get_running_loop()
        place = _place(url)
        error_class = (
            aiohttp.ClientConnectorError
            if self._proxy is None
            else aiohttp.ClientProxyConnectionError
        )
        with _told(place, aiohttp.ClientConnectorDNSError):
            addresses = await self._addresses(place.host, place.port)
        tls: dict[str, Any] = self._tls(place.host) if place.is_ssl else {}
        failure: aiohttp.ClientConnectorError | None = None
        while True:
            try:
                with _told(place, error_class):
                    sock = await aiohappyeyeballs.start_connection(
                        addresses, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1
                    )
            except aiohttp.ClientConnectorError as error:
                # What came of a handshake says more than that the other addresses are dead.
                raise failure or error from None
            there = None
            try:
                with _told(place, error_class):
                    there = sock.getpeername()  # fails where it was reset meanwhile
                    await loop.create_connection(lambda: connection, sock=sock, **tls)
                return
            except aiohttp.ClientConnectorError as error:
                sock.close()
                failure = failure or error
            addresses = [each for each in addresses if each[4] != there]
            if there is None or not addresses:
                raise failure

    async def _through_tunnel(self, outer: HttpConnection) -> HttpConnection:
        """The provider's connection through the proxy that `outer` leads to, and that it takes over."""
        loop = asyncio.get_running_loop()
        place = _place(self._base)
        host = f"[{place.host}]" if ":" in place.host else place.host
        to = f"{host}:{place.port}"
        lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}", "User-Agent: promomsg"]
        request = "\r\n".join([*lines, *self.proxy_headers()]) + "\r\n\r\n"
        status, _, _ = await outer.ask(request.encode(), _TUNNEL_ANSWER)
        if not 200 <= status < 300:
            nothing = CIMultiDictProxy(CIMultiDict[str]())
            about = aiohttp.RequestInfo(self._base, "CONNECT", nothing, self._base)
            raise aiohttp.ClientHttpProxyError(about, (), status=status)
        transport = outer.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        # asyncio tells only the new protocol of the connection's end from here on.
        outer.transport = None
        outer.abort()
        inner = self._new()
        try:
            with _told(place, aiohttp.ClientConnectorError):
                tls = self._tls(place.host)
                secured = await loop.start_tls(transport, inner, tls.pop("ssl"), **tls)
            if secured is None:
                raise aiohttp.ServerDisconnectedError
        except BaseException:
            transport.abort()
            inner.abort()
            raise
        inner.connection_made(secured)
        return inner

    def _tls(self, host: str) -> dict[str, Any]:
        """What asyncio is to be told of a TLS connection."""
        return {
            "ssl": _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
            "server_hostname": host.rstrip("."),
            # Ours rings first, with its own text.
            "ssl_handshake_timeout": _NEVER,
        }

    def proxy_headers(self) -> list[str]:
        """The header lines that a proxy with a password wants."""
        proxy = self._proxy
        if proxy is None or not (proxy.user or proxy.password):
            return []
        words = f"{proxy.user or ''}:{proxy.password or ''}".encode("latin1")
        return [f"Proxy-Authorization: Basic {b64encode(words).decode()}"]

    async def _addresses(self, host: str, port: int) -> list[_Address]:
        """Where a name is; each time from another one on, so that all are used."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._found_at >= _LOOKUP_KEPT:
            if self._lookup is None:
                self._lookup = loop.create_task(_look_up(host, port))
                self._lookup.add_done_callback(self._looked_up)
            # Another call waits for it too, whatever becomes of this one.
            return list(await asyncio.shield(self._lookup))
        self._found.append(self._found.pop(0))
        return list(self._found)

    def _looked_up(self, task: asyncio.Task[list[_Address]]) -> None:
        self._lookup = None
        if not task.cancelled() and task.exception() is None:
            self._found = task.result()
            self._found_at = asyncio.get_running_loop().time()


async def _look_up(host: str, port: int) -> list[_Address]:
    try:
        # No lookup, and no thread, for an address.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    return [(int(family), int(kind), proto, "", at) for family, kind, proto, _, at in found]


def _place(url: URL) -> _Place:
    assert url.raw_host is not None
    assert url.port is not None
    return _Place(url.raw_host, url.port, url.scheme == "https")


@functools.lru_cache(maxsize=4)
def _trusting(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The TLS settings, with what the machine trusts, or these two instead."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextlib.contextmanager
def _told(place: _Place, error_class: type[aiohttp.ClientConnectorError]) -> Any:
    """Raises the system's errors as aiohttp's."""
    key: Any = place
    try:
        yield
    except ssl.CertificateError as error:
        raise aiohttp.ClientConnectorCertificateError(key, error) from error
    except ssl.SSLError as error:
        raise aiohttp.ClientConnectorSSLError(key, error) from error
    except OSError as error:
        raise error_class(key, error) from error
