"""64 coroutines over an `asyncio.Protocol` each, with one future a message; HTTP written by hand.

The cheapest way that has the shape of a client: `await` an answer, look at it, send the next.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import PATH, TOKEN, check, openids, parts
from benchmarks.job import Job

_OPENID = 28


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._new_future = asyncio.get_running_loop().create_future
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def post(self, call: bytes) -> asyncio.Future[bytes]:
        """Sends a call; the future has its answer."""
        self._answer: asyncio.Future[bytes] = self._new_future()
        self._transport.write(call)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        end = data.find(b"\r\n\r\n")
        at = data.find(b"Content-Length: ", 0, end) + 16
        if end < 0 or len(data) < end + 4 + int(data[at : data.find(b"\r\n", at)]):
            self._rest = data
            return
        self._rest = b""
        self._answer.set_result(data)

    def close(self) -> None:
        """Ends it."""
        self._transport.close()


async def run(job: Job) -> Laps:
    """Sends."""
    loop = asyncio.get_running_loop()
    url = urlsplit(job.base_url)
    assert url.hostname
    assert url.port
    host, port = url.hostname, url.port
    before, after = parts()
    before = (
        f"POST {PATH}?access_token={TOKEN} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(before) + _OPENID + len(after)}\r\n\r\n"
    ).encode() + before
    queue = openids(job.messages)
    done = 0

    async def work() -> None:
        nonlocal done
        _, connection = await loop.create_connection(_Connection, host, port)
        for openid in queue:
            answer = await connection.post(before + openid.encode() + after)
            if answer.startswith(b"HTTP/1.1 200 ") and b'"errcode":0,' in answer:
                done += 1
        connection.close()

    await asyncio.gather(*(work() for _ in range(job.concurrency)))
    check(done, job.messages)
    return {}
