"""The phase in which a call failed, told apart on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import traceback
import zlib
from pathlib import Path

import aiohttp
import pytest
from raw_server import (
    RawServer,
    Reader,
    Writer,
    certificate,
    read_request,
    reply,
    reset,
    serve,
    silent,
    well,
)
from waiting import real_time

from promomsg.errors import NotSent, OutcomeUnknown, TransportError, UsageError
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio

TOKEN = "77_secret-TOKEN/with+odd=signs"


async def send(
    server: RawServer, *, limit: int = 1_048_576, timeout: float = 5.0, connect: float = 5.0
) -> object:
    async with HttpSession(
        server.url, timeout=timeout, connect_timeout=connect, secrets=lambda: [TOKEN]
    ) as session:
        url = session.url("/send", {"access_token": TOKEN})
        return await session.post(url, b'{"to":"x"}', limit=limit)


def clean(exc: BaseException) -> None:
    """No part of the token in an exception, in the locals of our frames, or in what led to it."""
    assert exc.__context__ is None
    assert exc.__cause__ is None
    shown = str(exc) + repr(exc)
    for frame, _ in traceback.walk_tb(exc.__traceback__):
        if "promomsg" in frame.f_code.co_filename and "test_" not in frame.f_code.co_filename:
            shown += repr({k: v for k, v in frame.f_locals.items() if k != "self"})
    assert "secret-TOKEN" not in shown


async def test_a_call_and_its_answer() -> None:
    async with serve(well) as server, HttpSession(server.url + "/api") as session:
        url = session.url("/a b/发", {"access_token": TOKEN, "q": "一 二"})
        answer = await session.post(url, b"{}")
        again = await session.post(url, b"{}", {"Content-Type": "text/plain", "X-Own": "1"})
        got = await session.get(url)
    assert answer.status == again.status == got.status == 200
    assert answer.body == b'{"errcode":0}'
    assert answer.headers["x-rid"] == answer.headers["X-RID"] == "1"
    assert "errcode" not in repr(answer)
    assert server.connections == 1
    head = server.requests[0][0].decode()
    assert head.startswith(
        "POST /api/a%20b/%E5%8F%91?access_token=77_secret-TOKEN%2Fwith%2Bodd%3Dsigns"
        "&q=%E4%B8%80%20%E4%BA%8C HTTP/1.1\r\n"
    )
    assert "Content-Type: application/json; charset=utf-8\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head
    assert "Accept:" not in head
    second = server.requests[1][0].decode()
    assert "Content-Type: text/plain\r\n" in second
    assert "application/json" not in second
    assert "X-Own: 1\r\n" in second
    assert "Cookie" not in second
    assert "Content-Type" not in server.requests[2][0].decode()


async def test_nobody_listens_is_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = RawServer()
        server.port = free.getsockname()[1]
    with pytest.raises(NotSent, match="Connection refused") as caught:
        await send(server)
    clean(caught.value)
    async with HttpSession(server.url) as session:
        with pytest.raises(NotSent):
            await session.get(session.url("/token"))


async def test_a_name_that_is_not_known_is_not_sent() -> None:
    async with HttpSession("https://nobody.invalid") as session:
        with pytest.raises(NotSent) as caught:
            await session.post(session.url("/send", {"access_token": TOKEN}), b"{}")
    clean(caught.value)


async def test_a_certificate_that_is_not_trusted_is_not_sent(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    async with (
        serve(well, context) as server,
        HttpSession(f"https://127.0.0.1:{server.port}") as session,
    ):
        with pytest.raises(NotSent, match=r"self.signed certificate") as caught:
            await session.post(session.url("/send", {"access_token": TOKEN}), b"{}")
        clean(caught.value)
    assert server.requests == []


async def test_tls_connections_are_used_again(tmp_path: Path) -> None:
    context, path = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(path))
    async with (
        serve(well, context) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as own,
        HttpSession(f"https://127.0.0.1:{server.port}", session=own) as session,
    ):
        for _ in range(3):
            assert (await session.post(session.url("/send"), b"{}")).status == 200
    assert server.connections == 1


async def test_a_handshake_that_never_ends_is_not_sent() -> None:
    async def mute(reader: Reader, writer: Writer, server: RawServer) -> None:
        await asyncio.Event().wait()

    async with serve(mute) as server:
        base = f"https://127.0.0.1:{server.port}"
        async with HttpSession(base, timeout=5, connect_timeout=0.05) as session:
            with pytest.raises(NotSent, match=r"within 0\.05 s") as caught:
                await session.post(session.url("/send", {"access_token": TOKEN}), b"{}")
            clean(caught.value)
        async with HttpSession(base, timeout=0.05, connect_timeout=0.05) as session:
            with pytest.raises(NotSent):
                await session.post(session.url("/send"), b"{}")


async def test_no_place_in_the_pool_is_not_sent() -> None:
    async with (
        serve(silent) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as own,
        HttpSession(server.url, session=own) as session,
        HttpSession(server.url, session=own, timeout=0.05) as other,
    ):
        first = asyncio.create_task(session.post(session.url("/send"), b"{}"))
        await server.seen.wait()
        with pytest.raises(
            NotSent, match=r"within 0\.05 s: 1 calls of this client .*max_connections"
        ):
            await other.post(other.url("/send"), b"{}")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert len(server.requests) == 1


async def test_reset_before_reading_may_have_arrived() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await real_time(0.01)
        reset(writer)

    async with serve(script) as server:
        with pytest.raises(OutcomeUnknown) as caught:
            await send(server)
    clean(caught.value)
    assert server.connections == 1, "a POST is never sent a second time"


async def test_reset_or_closed_after_reading_may_have_arrived() -> None:
    async def resets(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        reset(writer)

    async def closes(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)

    for script in (resets, closes):
        async with serve(script) as server:
            with pytest.raises(OutcomeUnknown) as caught:
                await send(server)
        clean(caught.value)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(b'{"errcode"', length=100),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        reply(zlib.compress(b"{}")[:-3], "200 OK", "Content-Encoding: deflate"),
        reply(gzip.compress(b"{}", mtime=0)[:-3], "200 OK", "Content-Encoding: gzip"),
        reply(b"\xff\xfe\xfd", "200 OK", "Content-Encoding: gzip"),
    ],
)
async def test_an_answer_that_cannot_be_read_may_have_arrived(answer: bytes) -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(answer)
        await writer.drain()

    async with serve(script) as server:
        with pytest.raises(OutcomeUnknown) as caught:
            await send(server)
    clean(caught.value)


async def test_no_answer_in_time_may_have_arrived() -> None:
    async def drips(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await real_time(0.01)

    for script in (silent, drips):
        async with serve(script) as server:
            with pytest.raises(OutcomeUnknown, match=r"within 0\.05 s") as caught:
                await send(server, timeout=0.05)
        clean(caught.value)


async def test_a_get_is_told_apart_too() -> None:
    async with serve(silent) as server, HttpSession(server.url, timeout=0.05) as session:
        with pytest.raises(OutcomeUnknown):
            await session.get(session.url("/token", {"secret": TOKEN}))


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"x" * 60_000),
        reply(b"", length=50_000_000),
        b"HTTP/1.1 200 OK\r\n\r\n",
        reply(gzip.compress(b"x" * 50_000_000), "200 OK", "Content-Encoding: gzip"),
        reply(gzip.compress(b"x" * 20_000), "200 OK", "Content-Encoding: gzip"),
    ],
    ids=["over", "announced", "endless", "bomb", "small bomb"],
)
async def test_an_answer_over_the_limit_is_dropped(answer: bytes) -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(answer)
        while answer[:4] == b"HTTP" and b"Encoding" not in answer and len(answer) < 1000:
            writer.write(b"x" * 65_536)
            await writer.drain()
        await asyncio.Event().wait()

    async with serve(script) as server:
        with pytest.raises(OutcomeUnknown, match="over 10000 bytes") as caught:
            await send(server, limit=10_000)
    clean(caught.value)


async def test_slow_and_compressed_answers_are_read_whole() -> None:
    bodies = [
        reply(gzip.compress(b'{"a":1}'), "200 OK", "Content-Encoding: gzip"),
        reply(zlib.compress(b'{"a":1}'), "200 OK", "Content-Encoding: deflate"),
        reply(zlib.compress(b'{"a":1}')[2:-4], "200 OK", "Content-Encoding: deflate"),
        reply(b'{"a":1}', "200 OK", "Content-Encoding: identity"),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n',
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}',
    ]

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            answer = bodies[len(server.requests) - 1]
            for i in range(0, len(answer), 40):
                writer.write(answer[i : i + 40])
                await real_time(0.001)

    async with serve(script) as server, HttpSession(server.url) as session:
        for _ in bodies:
            assert (await session.post(session.url("/"), b"{}")).body == b'{"a":1}'
    assert server.connections == 1


async def test_a_redirect_is_an_answer_and_a_5xx_and_an_empty_one_too() -> None:
    answers = [
        reply(b"", "302 Found", "Location: /elsewhere"),
        reply(b"<html>", "307 Temporary Redirect", "Location: http://127.0.0.1:1/"),
        reply(b"bad gateway", "502 Bad Gateway"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ]

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(answers[len(server.requests) - 1])

    async with serve(script) as server, HttpSession(server.url) as session:
        got = [(await session.post(session.url("/"), b"{}")).status for _ in answers]
    assert got == [302, 307, 502, 204]
    assert len(server.requests) == 4


async def test_a_proxy_that_refuses_is_not_sent() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply(b"", "407 Proxy Authentication Required"))

    async with serve(script) as proxy:
        address = f"http://user:pass-of-proxy@127.0.0.1:{proxy.port}"
        async with HttpSession("https://api.example.com", proxy=address) as session:
            with pytest.raises(NotSent, match="the proxy answered 407") as caught:
                await session.post(session.url("/send", {"access_token": TOKEN}), b"{}")
            assert "pass-of-proxy" not in str(caught.value) + repr(session)
    assert proxy.requests[0][0].startswith(b"CONNECT api.example.com:443")


async def test_a_header_that_cannot_be_sent_is_the_callers_fault() -> None:
    async with serve(well) as server, HttpSession(server.url) as session:
        with pytest.raises(UsageError, match="cannot be made"):
            await session.post(session.url("/"), b"{}", {"X": "a\r\nb"})
    assert server.requests == []


async def test_no_failure_puts_the_token_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        turn = len(server.requests) % 4
        if turn == 0:
            reset(writer)
        elif turn == 1:
            writer.write(reply(b"half", length=10))
        elif turn == 2:
            writer.write(b"nonsense\r\n\r\n")
        else:
            await asyncio.Event().wait()

    async with (
        serve(script) as server,
        HttpSession(server.url, timeout=0.05, secrets=lambda: [TOKEN, ""]) as session,
    ):
        url = session.url("/send", {"access_token": TOKEN})
        for _ in range(8):
            with pytest.raises(TransportError) as caught:
                await session.post(url, b"{}")
            clean(caught.value)
        assert session.mask(f"a {TOKEN} b") == "a … b"
        assert "secret-TOKEN" not in session.mask(str(url))
    asyncio.get_running_loop().set_debug(False)
    assert "secret-TOKEN" not in caplog.text
