"""The console's connections: how many there may be, and which are ended since nothing comes or goes."""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

import anyio
from aiohttp import web

__all__ = ["ASKS_IN", "BrowserConnections"]

ASKS_IN: Final = 20.0
"""Seconds within which a new connection has to send its first request."""
_TAKES_IN: Final = 10.0
"""Seconds after which a reader that takes nothing is let go."""
_MOST_CONNECTIONS: Final = 500


class BrowserConnections:
    """Makes a protocol for each connection, up to a number, and ends those that ask for nothing or take
    nothing. With TLS a connection is counted once that is done.

    Attributes:
        server: what answers; None: not yet.
    """

    def __init__(self) -> None:
        self.server: web.Server | None = None
        self._new: dict[web.RequestHandler, float] = {}
        self._unread: dict[web.RequestHandler, tuple[int, float]] = {}

    def make(self) -> asyncio.BaseProtocol:
        """A protocol for a connection that was accepted."""
        server = self.server
        if server is None or len(server.connections) >= _MOST_CONNECTIONS:
            return _Closing()
        made = server()
        if len(self._new) > _MOST_CONNECTIONS:
            self._new = {one: at for one, at in self._new.items() if one.transport is not None}
        self._new[made] = time.monotonic()
        return made

    def heard(self, made: object) -> None:
        """A request has come on a connection."""
        self._new.pop(made, None)  # type: ignore[call-overload]

    async def end_silent(self) -> None:
        """Ends connections on which no request came in time, or whose answer nobody takes, as long as it is
        not cancelled."""
        while True:
            await anyio.sleep(min(ASKS_IN, _TAKES_IN) / 4)
            now = time.monotonic()
            self.end_older_than(now - ASKS_IN)
            self._end_unread(now)

    def end_older_than(self, at: float) -> None:
        """Ends those that were made before a moment, monotonic seconds, and have asked for nothing."""
        for made in [made for made, since in self._new.items() if since < at]:
            del self._new[made]
            if made.transport is not None:
                made.transport.abort()

    def _end_unread(self, now: float) -> None:
        """Ends those with as much to be taken as some seconds ago."""
        before, self._unread = self._unread, {}
        for made in [] if self.server is None else self.server.connections:
            transport = made.transport
            size = 0 if transport is None else transport.get_write_buffer_size()
            if transport is None or not size:
                continue
            known = before.get(made)
            since = known[1] if known is not None and known[0] == size else now
            if now - since > _TAKES_IN:
                transport.abort()
            else:
                self._unread[made] = size, since


class _Closing(asyncio.Protocol):
    """A connection that is closed as soon as it is accepted: there are too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by their class.
        cast("asyncio.Transport", transport).abort()
