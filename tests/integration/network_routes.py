"""The ways a call can take, each over the same misbehaving server: what holds must hold on all."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from raw_server import RawServer, Reader, Writer, certificate, serve

__all__ = ["ROUTES", "Route", "route"]

ROUTES = [
    f"{way}{proxy}{tls}"
    for way in ("short", "lent", "traced")
    for proxy in ("", ", proxy")
    for tls in ("", ", TLS")
]
"""Straight or through a proxy, in the clear or with TLS; each over connections of the client's own,
over those of a session that was passed in, and as when a tracing tool has wrapped
`ClientSession._request`. The last two are aiohttp's own way."""

Script = Callable[[Reader, Writer, RawServer], Awaitable[None]]


class Route(NamedTuple):
    """A server, and how a client reaches it.

    Attributes:
        server: what it saw; of a tunnel, what came out at its far end.
        base_url: the provider's.
        options: more of the client's arguments (`proxy`, `session`).
        traced: the calls that the tracer saw.
    """

    server: RawServer
    base_url: str
    options: dict[str, Any]
    traced: list[str]


@contextlib.asynccontextmanager
async def route(
    name: str, script: Script, folder: Path, patch: pytest.MonkeyPatch
) -> AsyncIterator[Route]:
    """Runs `script` for each connection at the far end of one of `ROUTES`."""
    traced: list[str] = []
    if name.startswith("traced"):
        _wrap(patch, traced)
    tls, proxied = name.endswith("TLS"), "proxy" in name
    context = path = None
    if tls:
        context, path = certificate(folder)

    async def tunnel(reader: Reader, writer: Writer, server: RawServer) -> None:
        await reader.readuntil(b"\r\n\r\n")  # CONNECT
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        assert context is not None
        await writer.start_tls(context)
        await script(reader, writer, server)

    async with contextlib.AsyncExitStack() as stack:
        run = tunnel if tls and proxied else script
        server = await stack.enter_async_context(serve(run, None if proxied else context))
        options: dict[str, Any] = {}
        if name.startswith("short"):
            if path is not None:
                patch.setenv("SSL_CERT_FILE", str(path))
        elif name.startswith("lent") or path is not None:
            trust = True if path is None else ssl.create_default_context(cafile=str(path))
            options["session"] = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
            )
        if proxied:
            options["proxy"] = f"http://user:pass-word@127.0.0.1:{server.port}"
        scheme = "https" if tls else "http"
        yield Route(server, f"{scheme}://127.0.0.1:{server.port}", options, traced)


def _wrap(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    real = aiohttp.ClientSession._request

    async def request(self: aiohttp.ClientSession, method: str, *args: Any, **words: Any) -> Any:
        seen.append(method)
        return await real(self, method, *args, **words)

    patch.setattr(aiohttp.ClientSession, "_request", request)
