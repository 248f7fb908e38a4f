"""Odd answers, over every way a call can take: the same verdict on all, also byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from pathlib import Path

import pytest
from network_routes import ROUTES, route
from raw_server import RawServer, Reader, Writer, read_request, reply, reset

from promomsg.errors import OutcomeUnknown
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio

OK = reply(b"ok")
COMPRESSED = gzip.compress(b"ok", mtime=0)
EOF, RESET, HALF_CLOSE = b"<EOF>", b"<RESET>", b"<HALF_CLOSE>"


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


def chunked(body: bytes, *lines: str) -> bytes:
    return head("Transfer-Encoding: chunked", *lines) + body


CLEAR: dict[bytes, tuple[int, bytes]] = {
    OK: (200, b"ok"),
    b"\r\n\r\n" + OK: (200, b"ok"),
    OK + b"\r\n": (200, b"ok"),
    OK + HALF_CLOSE: (200, b"ok"),
    OK + RESET: (200, b"ok"),
    OK + reply(b"stray"): (200, b"ok"),
    chunked(b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"): (200, b"ok"),
    chunked(b'2;a="b;c"\r\nok\r\n0;d\r\nX-Trailer: y\r\n\r\n'): (200, b"ok"),
    chunked(b"2  \r\nok\r\n0\r\n\r\n"): (200, b"ok"),
    chunked(b"2\r\nok\r\n0\r\n\r\n", "Connection: close"): (200, b"ok"),
    head("Transfer-Encoding: chunked, gzip") + b"ok" + EOF: (200, b"ok"),
    head("Transfer-Encoding: chunked", "Transfer-Encoding: gzip") + b"ok" + EOF: (200, b"ok"),
    head("Transfer-Encoding: identity") + b"ok" + EOF: (200, b"ok"),
    head() + b"ok" + EOF: (200, b"ok"),
    head() + b"ok" + RESET: (200, b"ok"),
    head(status="HTTP/1.0 200 OK") + b"ok" + EOF: (200, b"ok"),
    reply(b"ok", "200 OK", "Connection: Keep-Alive", "Keep-Alive: timeout=1"): (200, b"ok"),
    reply(b"ok", "200 OK", "Connection: x, close"): (200, b"ok"),
    reply(b"ok", "200 OK", "Upgrade: h2c", "Connection: Upgrade"): (200, b"ok"),
    reply(b"ok", "200 OK", "X: a\x01b", "Y: \xe9"): (200, b"ok"),
    reply(b"ok", "200 OK", "X: a", "  folded"): (200, b"ok"),
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok": (200, b"ok"),
    head(status="HTTP/1.1 100 Continue") + OK: (200, b"ok"),
    head(status="HTTP/1.1 102 Processing") * 20 + OK: (200, b"ok"),
    head("Link: </x>", status="HTTP/1.1 103 Early Hints") + OK: (200, b"ok"),
    reply(COMPRESSED, "200 OK", "Content-Encoding: gzip"): (200, b"ok"),
    reply(zlib.compress(b"ok"), "200 OK", "Content-Encoding: deflate"): (200, b"ok"),
    reply(b"", "200 OK", "Content-Encoding: gzip"): (200, b""),
    reply(b"", "204 No Content"): (204, b""),
    head("Content-Length: 9", status="HTTP/1.1 304 Not Modified"): (304, b""),
    reply(b"", "301 Moved", "Location: http://127.0.0.1:1/"): (301, b""),
    reply(b"", "308 Permanent", "Location: http://127.0.0.1:1/"): (308, b""),
    head("Upgrade: x", "Connection: Upgrade", status="HTTP/1.1 101 Switching"): (101, b""),
    reply(b"page", "503 Busy"): (503, b"page"),
    reply(b"odd", "999 Odd"): (999, b"odd"),
    head("Retry-After: 3", "Content-Length: 9", status="HTTP/1.1 429 X") + b"cut" + EOF: (429, b""),
}
"""Answers, and what is read from them."""

BROKEN_CHUNKS: list[bytes] = [
    chunked(b"1\r\nok\r\n0\r\n\r\n" + EOF),
    chunked(b"F" * 17 + b"\r\nok" + EOF),
]
"""Where they come after the head's packet, aiohttp 3.14 tells nobody until the time is up."""

UNCLEAR: list[bytes] = [
    *BROKEN_CHUNKS,
    EOF,
    RESET,
    HALF_CLOSE,
    b"HTTP/1.1 20" + EOF,
    head()[:-2] + EOF,
    head()[:-2] + RESET,
    head(status="HTTP/1.1 100 Continue") + EOF,
    head("Content-Length: 9") + b"ok" + EOF,
    head("Content-Length: 9") + b"ok" + RESET,
    head("Content-Length: 2", "Content-Length: 1") + b"ok" + EOF,
    head("Content-Length: -2") + b"ok" + EOF,
    head("Content-Length: 0x2") + b"ok" + EOF,
    head("Content-Length: " + "9" * 30) + b"ok" + EOF,
    head("Content-Length: 2", "Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n" + EOF,
    head("Transfer-Encoding: gzip", "Transfer-Encoding: chunked") + b"2\r\nok\r\n" + EOF,
    chunked(b"5\r\nok" + EOF),
    chunked(b"2\r\nok\r\n" + EOF),
    chunked(b"2\r\nok\r\n0\r\n" + EOF),
    chunked(b"-1\r\nok\r\n0\r\n\r\n" + EOF),
    chunked(b"5\r\nok" + RESET),
    reply(b"ok", "200 OK", "X: a\rb") + EOF,
    reply(b"ok", "200 OK", "no colon") + EOF,
    reply(b"ok", "200 OK", ": no name") + EOF,
    reply(b"ok", "2000 OK") + EOF,
    reply(b"ok", "abc OK") + EOF,
    b"HTTP/2 200 OK\r\n\r\n" + EOF,
    b"ICY 200 OK\r\n\r\n" + EOF,
    b"<html>a page</html>" + EOF,
    b"\x15\x03\x01\x00\x02\x02\x28" + EOF,
    reply(gzip.compress(b"0" * 2_000_000), "200 OK", "Content-Encoding: gzip"),
    head("Content-Encoding: gzip") + COMPRESSED[:-6] + EOF,
]
"""Answers that say nothing for certain: the message may have arrived."""


@pytest.mark.parametrize(
    ("name", "pieces"),
    [(name, 1) for name in ROUTES]
    + [(name, 200) for name in ("short", "short, TLS", "lent", "lent, TLS")],
)
async def test_an_odd_answer_has_one_verdict(
    name: str, pieces: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    done = asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            answer, ended = asked[-1], b""
            for end in (EOF, RESET, HALF_CLOSE):
                if answer.endswith(end):
                    answer, ended = answer.removesuffix(end), end
            step = len(answer) // pieces + 1
            try:
                for at in range(0, len(answer), step):
                    writer.write(answer[at : at + step])
                    await writer.drain()
                    await asyncio.sleep(0)
                if ended == RESET:
                    reset(writer)
                elif ended == HALF_CLOSE and writer.can_write_eof():
                    writer.write_eof()
            finally:
                done.set()
            if ended:
                return

    wrong: list[tuple[bytes, object]] = []
    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        HttpSession(way.base_url, timeout=10.0, **way.options) as session,
    ):
        url = session.url("/")
        for answer in [*CLEAR, *UNCLEAR]:
            if answer in BROKEN_CHUNKS and pieces > 1 and name.startswith("lent"):
                continue
            asked.append(answer)
            done.clear()
            before = len(way.server.requests)
            got: object
            try:
                read = await session.post(url, b"{}")
                got = read.status, read.body
            except OutcomeUnknown:
                got = None
            await done.wait()
            for _ in range(20):  # what the server has done is seen
                await asyncio.sleep(0)
            if got != CLEAR.get(answer) or len(way.server.requests) != before + 1:
                wrong.append((answer, got))
    assert wrong == []
