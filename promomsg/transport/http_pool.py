"""The connections of one client, and of every client derived from it: opened once, closed once."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

import aiohttp
import anyio
from yarl import URL

from promomsg.errors import UsageError
from promomsg.transport.aiohttp_client import open_client_session
from promomsg.transport.connections import Connections
from promomsg.transport.http_client import HttpClient
from promomsg.transport.timeouts import DeadlineTimer

__all__ = ["HttpPool"]

_CLOSING: Final = 2.0
"""Seconds that a close waits for its connections to say that they are closed."""


class HttpPool:
    """What the sessions of one client and of those derived from it have in common.

    Args:
        base: the provider's URL.
        given: an aiohttp session whose connector makes the connections; None: they are our own.
        max_connections: calls out at once, over all sessions.

    Attributes:
        connections: the limit of calls that are out at once, and who shares it.
        session: aiohttp's own client, for the calls that it makes; None before the first call and
            after the close.
        loop: the event loop of the first call.

    Raises:
        UsageError: `max_connections` is not a whole number of 1 or more.
    """

    def __init__(
        self, base: URL, given: aiohttp.ClientSession | None, max_connections: int
    ) -> None:
        self._base = base
        self._given = given
        connector = None if given is None else given.connector
        self.connections = (
            Connections(max_connections)
            if connector is None
            else Connections.of_pool(connector, max_connections)
        )
        self.session: aiohttp.ClientSession | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        # Each lives as long as a session uses it, or a connection of it is open.
        self._clients: WeakValueDictionary[URL | None, HttpClient] = WeakValueDictionary()
        self._timers: WeakValueDictionary[tuple[float, float], DeadlineTimer] = (
            WeakValueDictionary()
        )

    def check(self, loop: asyncio.AbstractEventLoop) -> aiohttp.BaseConnector | None:
        """The connector that was passed in; raises when no call can be made in this event loop.

        Raises:
            UsageError: the pool was closed, or is another event loop's, or the session that was passed
                in is.
        """
        where = str(self._base).rstrip("/")
        if self._closed:
            raise UsageError(f"{where}: this client was closed; make a new one")
        if self.loop is not None and self.loop is not loop:
            raise UsageError(
                f"{where}: this client belongs to the event loop of its first call; make "
                "one for each event loop"
            )
        if self._given is None:
            return None
        shared = self._given.connector
        if self._given.closed or shared is None:
            raise UsageError("session=…: the aiohttp session is closed")
        if getattr(shared, "_loop", loop) is not loop:
            raise UsageError("session=…: the aiohttp session belongs to another event loop")
        return shared

    def open(self) -> aiohttp.ClientSession:
        """The session of aiohttp's own calls; the pool is this event loop's from now on.

        Raises:
            UsageError: see `check`.
        """
        loop = asyncio.get_running_loop()
        connector = self.check(loop)
        self.loop = loop
        if self.session is None:
            self.session = open_client_session(connector)
        return self.session

    def client(self, proxy: URL | None) -> HttpClient | None:
        """The connections through this proxy; None: aiohttp makes them, in a session that was passed
        in."""
        if self._given is not None:
            return None
        client = self._clients.get(proxy)
        if client is None:
            client = HttpClient(self._base, proxy, self._make_room)
            self._clients[proxy] = client
        return client

    def timer(self, timeout: float, connect_timeout: float) -> DeadlineTimer:
        """The timer of all calls with these time-outs."""
        assert self.loop is not None
        timer = self._timers.get((timeout, connect_timeout))
        if timer is None:
            timer = DeadlineTimer(self.loop, timeout, connect_timeout)
            self._timers[timeout, connect_timeout] = timer
        return timer

    async def close(self) -> None:
        """Closes every connection; a session that was passed in stays open.

        Raises:
            UsageError: called in another event loop than its own, which still runs.
        """
        self._closed = True
        if self.loop is None:
            return
        if asyncio.get_running_loop() is not self.loop and not self.loop.is_closed():
            where = str(self._base).rstrip("/")
            raise UsageError(f"{where}: close it in the event loop that it was used in")
        session, self.session = self.session, None
        for timer in list(self._timers.values()):
            timer.close()
        # One waits to hear of the end of each connection: one that the loop never tells of must not
        # keep a process that is done.
        with anyio.move_on_after(_CLOSING):
            try:
                await asyncio.gather(*(client.close() for client in list(self._clients.values())))
            finally:  # also when the wait is cancelled
                if session is not None:
                    await session.close()

    def _make_room(self, asking: HttpClient) -> None:
        """Closes idle connections of the other proxies where one more would be too many."""
        if len(self._clients) < 2:
            return
        clients = list(self._clients.values())
        excess = sum(client.open_connections() for client in clients) + 1 - self.connections.most
        for client in clients:
            if client is not asking and excess > 0:
                excess -= client.drop_idle(excess)
