"""A server's socket: why it cannot be listened on, in words, and the URL it is reached by."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable

from promomsg.errors import UsageError

__all__ = ["host_in_header", "listen", "url_of"]


async def listen(
    protocol: Callable[[], asyncio.BaseProtocol],
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    start: bool = True,
    greets_in: float | None = None,
) -> asyncio.Server:
    """A server on an address of this machine.

    Args:
        protocol: makes one for each connection.
        port: 0 picks a free one.
        start: whether it accepts at once; else its `start_serving` is called.
        greets_in: seconds within which a connection has to have done its TLS; None: a minute.

    Raises:
        UsageError: the port is taken, or the address cannot be listened on.
    """
    try:
        return await asyncio.get_running_loop().create_server(
            protocol,
            host,
            port,
            backlog=1024,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else greets_in,
            start_serving=start,
        )
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} on {host} is already taken; stop what uses it, "
                "or choose another one (0 picks a free one)"
            ) from None
        reason = exc.strerror or str(exc)
        raise UsageError(f"cannot listen on {host} port {port}: {reason}") from None
    except OverflowError:
        raise UsageError(f"port {port} is not one; it is 0 to 65535") from None


def url_of(server: asyncio.Server, host: str, *, tls: bool = False) -> str:
    """`http://127.0.0.1:8765`: where a server on `host` is reached."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{server.sockets[0].getsockname()[1]}"


def host_in_header(header: str) -> str:
    """The name or address in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
