"""Connections that fail while they are made, or that speak before they are asked."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import aiohttp
import pytest
from raw_server import Reader, Writer, certificate, read_request, reply, serve, well

from promomsg.errors import NotSent
from promomsg.transport.aiohttp_internals import Request
from promomsg.transport.connector import Connector
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio

CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def opened(session: HttpSession) -> int:
    """Connections that the client still knows of."""
    assert session._http is not None
    return len(session._http._opened)


def end_with_reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextlib.contextmanager
def thread_server(run: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that runs beside the loop, for as many connections as come."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                run(listener.accept()[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def wait_for(sock: Any, event: int) -> None:
    """Blocks the loop until the machine has something of this connection to tell."""
    poll = select.poll()
    poll.register(sock.fileno(), event)
    assert poll.poll(10_000)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_that_is_reset_once_it_is_made_is_not_sent(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time it is looked at, nobody can say any more who was at its other end."""
    real = aiohappyeyeballs.start_connection

    async def reset_meanwhile(*args: Any, **words: Any) -> socket.socket:
        sock = await real(*args, **words)
        wait_for(sock, select.POLLHUP)
        return sock

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", reset_meanwhile)
    with thread_server(end_with_reset) as port:
        async with HttpSession(f"{scheme}://127.0.0.1:{port}") as session:
            with pytest.raises(NotSent, match="ClientConnectorError: "):
                await session.post(session.url("/"), b"{}")
            await asyncio.sleep(0)
            assert opened(session) == 0


async def test_a_wrong_certificate_is_said_also_where_the_other_addresses_are_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It halts the campaign; a connection that is refused would be tried for ever."""
    context, path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **words: Any) -> Any:
        if host != b"localhost" and host != "localhost":
            return real(host, port, *args, **words)
        if words.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror
        return [
            found
            for address in ("127.0.0.9", "127.0.0.1", "127.0.0.8")
            for found in real(address, port, type=socket.SOCK_STREAM)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with (
        serve(well, context) as server,
        HttpSession(f"https://localhost:{server.port}") as session,
    ):
        with pytest.raises(NotSent, match="Hostname mismatch") as no:
            await session.post(session.url("/"), b"{}")
        assert no.value.permanent


async def no_tls(reader: Reader, writer: Writer) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n" * 100)
    await reader.read()


async def closed_at_once(reader: Reader, writer: Writer) -> None:
    writer.close()


async def never_answered(reader: Reader, writer: Writer) -> None:
    await reader.read()


async def another_name(reader: Reader, writer: Writer) -> None:
    await writer.start_tls(ANOTHER_NAME[0])
    await reader.read()


ANOTHER_NAME: list[ssl.SSLContext] = []


@pytest.mark.parametrize("far_end", [no_tls, closed_at_once, never_answered, another_name])
async def test_a_tunnel_whose_far_end_fails_leaves_no_connection_behind(
    far_end: Callable[[Reader, Writer], Any], tmp_path: Path
) -> None:
    """Each was counted as open for ever, and the client's close waited for it."""
    ANOTHER_NAME[:] = [certificate(tmp_path)[0]]
    ended = asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: Any) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(CONNECTED)
            await far_end(reader, writer)
        finally:
            ended.set()

    async with serve(script) as proxy:
        session = HttpSession(
            "https://api.example.com",
            proxy=f"http://127.0.0.1:{proxy.port}",
            connect_timeout=0.2,
        )
        with pytest.raises(NotSent):
            await session.post(session.url("/"), b"{}")
        await asyncio.wait_for(ended.wait(), 5)
        assert opened(session) == 0
        await session.close()


async def test_a_tunnel_that_is_being_made_when_its_call_is_cancelled_is_closed() -> None:
    ended = asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: Any) -> None:
        await read_request(reader, server)
        writer.write(CONNECTED)
        await reader.read()
        ended.set()

    async with serve(script) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with HttpSession("https://api.example.com", proxy=address) as session:
            call = asyncio.create_task(session.post(session.url("/"), b"{}"))
            await proxy.seen.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.wait_for(ended.wait(), 5)
            assert opened(session) == 0


class SpeaksFirst:
    """A TLS server that says something right after the handshake, and then answers properly.

    Args:
        first: what it says to the first connection.
        tickets: TLS session tickets that it sends before the first answer.
    """

    def __init__(self, context: ssl.SSLContext, first: bytes, tickets: int) -> None:
        context.num_tickets = tickets
        self.context = context
        self.first = first
        self.connections = 0
        self.open: queue.Queue[ssl.SSLSocket] = queue.Queue()

    def __call__(self, sock: socket.socket) -> None:
        self.connections += 1
        tls = self.context.wrap_socket(sock, server_side=True)
        self.open.put(tls)
        if self.connections == 1 and self.first:
            tls.sendall(self.first)
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" in tls.recv(65_536):
                tls.sendall(reply(b"its own"))
        tls.close()


@pytest.mark.parametrize("way", ["short", "lent"])
@pytest.mark.parametrize(
    ("first", "tickets", "connections"),
    [(reply(b"stray"), 0, 2), (reply(b"stray")[:20], 0, 2), (b"", 2, 1)],
)
async def test_what_a_new_tls_connection_brings_is_nobodys_answer(
    way: str,
    first: bytes,
    tickets: int,
    connections: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer that nobody asked for closes it; session tickets do not."""
    context, path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    server = SpeaksFirst(context, first, tickets)
    waited: list[Any] = []

    def until_it_spoke(transport: Any) -> None:
        if not waited:
            waited.append(transport)
            wait_for(transport.get_extra_info("socket"), select.POLLIN)

    connect, send = Connector.connect, Request.send

    async def connected(self: Connector, timeout: float) -> Any:
        connection = await connect(self, timeout)
        until_it_spoke(connection.transport)
        return connection

    async def sending(self: Request, conn: Any) -> Any:
        until_it_spoke(conn.protocol.transport)
        return await send(self, conn)

    monkeypatch.setattr(Connector, "connect", connected)
    monkeypatch.setattr(Request, "send", sending)
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(thread_server(server))
        lent = None
        if way == "lent":
            trust = ssl.create_default_context(cafile=str(path))
            connector = aiohttp.TCPConnector(ssl=trust)
            lent = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        session = await stack.enter_async_context(
            HttpSession(f"https://127.0.0.1:{port}", session=lent)
        )
        url = session.url("/")
        assert [(await session.post(url, b"{}")).body for _ in range(2)] == [b"its own"] * 2
    assert server.connections == connections
    assert waited


async def test_nor_what_came_on_one_that_was_opened_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    server = SpeaksFirst(context, b"", 0)
    with thread_server(server) as port:
        async with HttpSession(f"https://127.0.0.1:{port}") as session:
            await session.connect_ahead(1)
            assert session._http is not None
            (connection,) = session._http._idle
            server.open.get(timeout=10).sendall(reply(b"stray"))
            wait_for(connection.transport.get_extra_info("socket"), select.POLLIN)
            assert (await session.post(session.url("/"), b"{}")).body == b"its own"
    assert server.connections == 2
