"""Pages that are up to date by themselves: server-sent events. All open pages of one campaign share one look
a second, and while no page is open nothing is looked at."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import msgspec
from aiohttp import web
from anyio.abc import TaskGroup

from promomsg.console.guard import Refused
from promomsg.console.one_look import log_failure

__all__ = ["GONE", "LiveStreams", "Watched"]

_EVERY: Final = 1.0
"""Seconds between two looks."""
_SHARE: Final = 10
"""So many times as long as a look took is the pause behind it, at least."""
_HEARTBEAT: Final = 15.0
"""Seconds without an event after which a line says that the stream is still there: proxies end silent ones."""
_WRITES_IN: Final = 10.0
"""Seconds after which a reader that takes nothing is let go."""
_MOST: Final = 100
"""Streams at once."""

GONE: Final = object()
"""A look at what is not there any more: its pages are not live, and find out when they ask again."""

_encode: Final = msgspec.json.Encoder().encode

Parts = Mapping[str, str]
"""The content of elements, by their ids."""


class Watched:
    """What is seen of one campaign, or of one page of the list, while pages of it are open.

    Attributes:
        seen: the last look; None before the first one.
        version: grows with each look that says something else.
    """

    def __init__(self) -> None:
        self.seen: Any = None
        self.version = 0
        self.readers = 0
        self.scope = anyio.CancelScope()
        self._changed = anyio.Event()
        self._parts: dict[Hashable, tuple[int, Parts]] = {}

    def publish(self, seen: Any) -> None:
        """Takes a look in; who reads sees only the last one, however slow it is."""
        if seen is self.seen:
            return
        self.seen = seen
        self.version += 1
        self._changed.set()
        self._changed = anyio.Event()

    async def newer(self, version: int, within: float) -> bool:
        """Whether there is a newer look, waiting for one for so many seconds."""
        if self.version == version:
            with anyio.move_on_after(within):
                await self._changed.wait()
        return self.version != version

    async def parts(self, kind: Hashable, render: Callable[[Any], Awaitable[Parts]]) -> Parts:
        """The last look as a page shows it, rendered once for all visitors of a kind."""
        version, rendered = self._parts.get(kind, (-1, {}))
        if version != self.version:
            version = self.version
            rendered = await render(self.seen)
            self._parts[kind] = (version, rendered)
        return rendered


class LiveStreams:
    """The open streams of all pages.

    Args:
        tasks: in which it is looked.
        every: seconds between two looks.
        most: streams at once.
    """

    def __init__(self, tasks: TaskGroup, *, every: float = _EVERY, most: int = _MOST) -> None:
        self._tasks = tasks
        self._every = every
        self._most = most
        self._watches: dict[Hashable, Watched] = {}
        self._streams = 0
        self._ends = False

    def __len__(self) -> int:
        return self._streams

    @property
    def watched(self) -> int:
        """Campaigns and pages of the list that are looked at."""
        return len(self._watches)

    def close(self) -> None:
        """Ends all streams within a moment; new ones are refused."""
        self._ends = True
        for watched in self._watches.values():
            watched.publish(object())

    async def answer(
        self,
        request: web.Request,
        key: Hashable,
        look: Callable[[Any], Awaitable[Any]],
        kind: Hashable,
        render: Callable[[Any], Awaitable[Parts]],
        is_over: Callable[[], bool],
    ) -> web.StreamResponse:
        """Answers with events until the reader leaves: each part that is another one than before.

        Args:
            key: of what is looked at; it is shared by who gives the same.
            look: looks, given the last look or None; `GONE` ends the streams.
            kind: of the visitor: what is rendered is shared by those of one kind.
            render: makes the parts of a look.
            is_over: whether the visitor may not look any more.

        Raises:
            Refused: too many are open.
        """
        if self._ends or self._streams >= self._most:
            raise Refused(
                503, "too many pages are open: close some", "streams", {"Retry-After": "10"}
            )
        self._streams += 1
        try:
            async with self._watching(key, look) as watched:
                stream = _Stream(request)
                await stream.begin()
                await self._send(stream, watched, kind, render, is_over)
        finally:
            self._streams -= 1
        return stream.response

    async def _send(
        self,
        stream: _Stream,
        watched: Watched,
        kind: Hashable,
        render: Callable[[Any], Awaitable[Parts]],
        is_over: Callable[[], bool],
    ) -> None:
        version = 0
        while stream.is_open and not is_over():
            newer = await watched.newer(version, _EVERY)
            if self._ends or watched.seen is GONE:
                return
            if newer:
                version = watched.version
                try:
                    parts = await watched.parts(kind, render)
                except Exception as error:  # noqa: BLE001 - a page that has begun gets no other answer
                    log_failure("page", error)
                    continue
                await stream.send(parts)
            else:
                await stream.beat()

    @asynccontextmanager
    async def _watching(
        self, key: Hashable, look: Callable[[Any], Awaitable[Any]]
    ) -> AsyncIterator[Watched]:
        watched = self._watches.get(key)
        if watched is None:
            watched = self._watches[key] = Watched()
            self._tasks.start_soon(self._look_again, watched, look)
        watched.readers += 1
        try:
            yield watched
        finally:
            watched.readers -= 1
            if not watched.readers:
                watched.scope.cancel()
                del self._watches[key]

    async def _look_again(self, watched: Watched, look: Callable[[Any], Awaitable[Any]]) -> None:
        with watched.scope:
            while True:
                began = time.monotonic()
                try:
                    watched.publish(await look(watched.seen))
                except Exception as error:  # noqa: BLE001 - it is looked at again a second later
                    log_failure("look", error)
                took = time.monotonic() - began
                await anyio.sleep(max(self._every, _SHARE * took))


class _Stream:
    """One answer with events."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._sent: dict[str, str] = {}
        self._last = 0.0
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "X-Accel-Buffering": "no",  # nginx hands each event on at once
            }
        )
        self.is_open = True

    async def begin(self) -> None:
        await self.response.prepare(self._request)
        # A reader knows at once that the stream is there.
        await self._write(b": live\n\n")

    async def send(self, parts: Parts) -> None:
        """Sends those that are not as they were sent last."""
        events = []
        for name, html in parts.items():
            if self._sent.get(name) != html:
                self._sent[name] = html
                data = _encode({"id": name, "html": html}).decode()
                events.append(f"event: part\ndata: {data}\n\n")
        if events:
            await self._write("".join(events).encode())

    async def beat(self) -> None:
        """Says that the stream is there, when nothing was sent for a while."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self.is_open = False
        elif time.monotonic() - self._last > _HEARTBEAT:
            await self._write(b": live\n\n")

    async def _write(self, data: bytes) -> None:
        self._last = time.monotonic()
        try:
            with anyio.fail_after(_WRITES_IN):
                await self.response.write(data)
        except TimeoutError:
            self.is_open = False
            if self._request.transport is not None:
                self._request.transport.abort()
        except ConnectionError:
            self.is_open = False
