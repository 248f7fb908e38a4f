"""The cheapest way: HTTP written by hand in an `asyncio.Protocol` whose callbacks send the next message.

No coroutine or future a message, so it is no shape that code around it could have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import PATH, TOKEN, check, openids, parts
from benchmarks.job import Job


class _Connection(asyncio.Protocol):
    def __init__(self, queue: Iterator[str], host: str) -> None:
        self._queue = queue
        before, self._after = parts()
        head = (
            f"POST {PATH}?access_token={TOKEN} HTTP/1.1\r\nHost: {host}\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        length = len(before) + len(self._after) + 28
        self._before = (head % length).encode() + before
        self._rest = b""
        self.confirmed = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        openid = next(self._queue, None)
        if openid is None:
            self._transport.close()
            return
        self._transport.write(self._before + openid.encode() + self._after)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        end = data.find(b"\r\n\r\n")
        at = data.find(b"Content-Length: ", 0, end) + 16
        if end < 0 or len(data) < end + 4 + int(data[at : data.find(b"\r\n", at)]):
            self._rest = data
            return
        self._rest = b""
        if data.startswith(b"HTTP/1.1 200 ") and b'"errcode":0,' in data[end:]:
            self.confirmed += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


async def run(job: Job) -> Laps:
    """Sends."""
    loop = asyncio.get_running_loop()
    url = urlsplit(job.base_url)
    assert url.hostname
    assert url.port
    queue = openids(job.messages)
    connections = []
    for _ in range(job.concurrency):
        _, connection = await loop.create_connection(
            lambda: _Connection(queue, url.netloc), url.hostname, url.port
        )
        connections.append(connection)
    for connection in connections:
        await connection.ended
    check(sum(connection.confirmed for connection in connections), job.messages)
    return {}
