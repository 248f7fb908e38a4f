"""A server that misbehaves byte by byte, for the transport's tests."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = [
    "RawServer",
    "Reader",
    "Writer",
    "certificate",
    "read_request",
    "reply",
    "reset",
    "serve",
    "silent",
    "well",
]

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, "RawServer"], Awaitable[None]]


class RawServer:
    """What the server saw: its port, its connections, and each request's head and body."""

    def __init__(self) -> None:
        self.port = 0
        self.scheme = "http"
        self.connections = 0
        self.requests: list[tuple[bytes, bytes]] = []
        self.seen = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def reply(body: bytes = b"{}", status: str = "200 OK", *headers: str, length: int = -1) -> bytes:
    """An answer; `length` to lie about the body's."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length < 0 else length}"]
    return "\r\n".join([*head, *headers]).encode() + b"\r\n\r\n" + body


async def read_request(reader: asyncio.StreamReader, server: RawServer) -> bytes:
    """Reads one request; b"" at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    body = await reader.readexactly(length)
    server.requests.append((head, body))
    server.seen.set()
    return body or head


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST instead of FIN."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def serve(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Runs `script` for each connection on a loopback port."""
    state = RawServer()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        task = asyncio.current_task()
        assert task is not None
        state.tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await script(reader, writer, state)
        finally:
            state.tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, backlog=300)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await asyncio.sleep(0)


def certificate(folder: Path, *, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, self-signed; and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, secret)
    return context, path


async def well(reader: Reader, writer: Writer, server: RawServer) -> None:
    while await read_request(reader, server):
        writer.write(reply(b'{"errcode":0}', "200 OK", "X-Rid: 1", "Set-Cookie: a=b"))


async def silent(reader: Reader, writer: Writer, server: RawServer) -> None:
    await read_request(reader, server)
    await asyncio.Event().wait()
