"""64 coroutines with a socket each: `loop.sock_sendall`, `loop.sock_recv`, and HTTP written by hand.

It is no floor: a message takes six `epoll_ctl` on uvloop, and about two on asyncio, since each of
these calls has the kernel watch the socket anew. A transport does so once a connection.
"""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from benchmarks.child import Laps
from benchmarks.contenders.sent_message import PATH, TOKEN, check, openids, parts
from benchmarks.job import Job

_OPENID = 28


async def run(job: Job) -> Laps:
    """Sends."""
    loop = asyncio.get_running_loop()
    url = urlsplit(job.base_url)
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
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (url.hostname, url.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for openid in queue:
                await loop.sock_sendall(sock, before + openid.encode() + after)
                answer = await loop.sock_recv(sock, 65_536)
                while not _whole(answer):
                    answer += await loop.sock_recv(sock, 65_536)
                if answer.startswith(b"HTTP/1.1 200 ") and b'"errcode":0,' in answer:
                    done += 1

    await asyncio.gather(*(work() for _ in range(job.concurrency)))
    check(done, job.messages)
    return {}


def _whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer.find(b"Content-Length: ", 0, end) + 16
    return len(answer) >= end + 4 + int(answer[at : answer.find(b"\r\n", at)])
