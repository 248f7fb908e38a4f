"""The console's HTTP server: it listens, answers, and ends at once when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from promomsg.listening_socket import listen, url_of

__all__ = ["serve_console"]

_GRACE = 0.25
"""Seconds that an answer under way has at the end."""


async def serve_console(
    app: web.Application, *, host: str, port: int, announce: Callable[[str], None]
) -> None:
    """Runs the console until it is cancelled.

    Args:
        host, port: to listen on; port 0 picks a free one.
        announce: gets the URL, once it listens.

    Raises:
        UsageError: the port is taken, or the address cannot be listened on.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_GRACE)
    await runner.setup()
    try:
        assert runner.server is not None
        server = await listen(runner.server, host, port)
        try:
            announce(url_of(server, host))
            await asyncio.Event().wait()
        finally:
            server.close()
    finally:
        await runner.cleanup()
