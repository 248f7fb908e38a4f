"""Answers nobody asked for, and aiohttp's own way when the short one cannot be taken."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import threading
from typing import Any

import aiohttp
import pytest
from raw_server import RawServer, read_request, reply, serve

from promomsg import Pace, Recipient, WeChatMessage, WeChatPromoter
from promomsg.transport.aiohttp_internals import Body, is_unusable
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
SENT = reply(b'{"errcode":0,"errmsg":"ok"}')
REFUSED = reply(b'{"errcode":43101,"errmsg":"user refuses to accept the msg"}')


async def token(stale: str | None) -> str:
    return "t1"


async def the_loop_to_read() -> None:
    """What loopback has delivered is read once the loop has turned."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_answer_nobody_asked_for_is_not_the_next_calls() -> None:
    """Something answers the first call twice. The second recipient refused, and is not `sent`."""
    go, said = asyncio.Event(), asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            if len(server.requests) > 1:
                writer.write(REFUSED)
                continue
            writer.write(SENT)
            await go.wait()
            writer.write(SENT)
            await writer.drain()
            said.set()

    async with (
        serve(script) as server,
        WeChatPromoter(
            "wx1", token=token, base_url=server.url, pace=Pace(unlimited=True)
        ) as wechat,
    ):
        first = await wechat.send_one(MESSAGE, Recipient(openid="o1"))
        go.set()
        await said.wait()
        await the_loop_to_read()
        second = await wechat.send_one(MESSAGE, Recipient(openid="o2"))
    assert (first.state, second.state, second.code) == ("sent", "failed", "43101")
    assert [b"o1" in body for _, body in server.requests] == [True, False]
    assert len(server.requests) == 2
    assert server.connections == 2


def answers_twice(listener: socket.socket, go: threading.Event, said: threading.Event) -> None:
    """A server that answers the first call again when it is told to, and the next one properly."""
    first, _ = listener.accept()
    first.recv(65_536)
    first.sendall(SENT)
    go.wait(10)
    first.sendall(SENT)
    said.set()
    second, _ = listener.accept()
    with first, second:
        second.recv(65_536)
        second.sendall(REFUSED)


@pytest.mark.parametrize("own_way", [False, True])
async def test_nor_when_the_loop_was_too_busy_to_read_it(
    request: pytest.FixtureRequest, own_way: bool
) -> None:
    if own_way:
        request.getfixturevalue("traced")
    go, said = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answers_twice, args=(listener, go, said), daemon=True)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with WeChatPromoter(
            "wx1", token=token, base_url=url, pace=Pace(unlimited=True)
        ) as wechat:
            await wechat.send_one(MESSAGE, Recipient(openid="o1"))
            go.set()
            assert said.wait(10)  # the loop is busy here
            outcome = await wechat.send_one(MESSAGE, Recipient(openid="o2"))
        server.join(10)
    assert (outcome.state, outcome.code) == ("failed", "43101")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A tracing tool has wrapped aiohttp's own way, so calls take it: the requests it saw."""
    seen: list[str] = []
    real = aiohttp.ClientSession._request

    async def request(self: aiohttp.ClientSession, method: str, *args: Any, **words: Any) -> Any:
        seen.append(method)
        return await real(self, method, *args, **words)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", request)
    return seen


async def test_a_traced_call_is_the_same_call(traced: list[str]) -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(SENT)

    async with (
        serve(script) as server,
        WeChatPromoter(
            "wx1", token=token, base_url=server.url, pace=Pace(unlimited=True)
        ) as wechat,
    ):
        for number in range(3):
            outcome = await wechat.send_one(MESSAGE, Recipient(openid=f"o{number}"))
            assert outcome.state == "sent"
    assert traced == ["POST"] * 3
    assert server.connections == 1
    for number, (head, body) in enumerate(server.requests):
        assert b'"o%d"' % number in body
        assert b"Content-Length: %d\r\n" % len(body) in head
        assert head.count(b"Content-Type: application/json\r\n") == 1


class OneAnswerEach:
    """A server in a thread: one answer a connection, then it closes when it is told to."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.close_first, self.closed = threading.Event(), threading.Event()
        self.requests = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for turn in range(2):
            sock, _ = self.listener.accept()
            with sock:
                while b"{}" not in sock.recv(65_536):
                    pass
                self.requests += 1
                sock.sendall(reply(b"%d" % turn, "200 OK"))
                if turn == 0:
                    self.close_first.wait(10)
            self.closed.set()

    def join(self) -> None:
        self.listener.close()
        self._thread.join(1)


async def test_a_traced_call_into_a_close_that_the_loop_has_not_seen_costs_no_unknown(
    traced: list[str],
) -> None:
    server = OneAnswerEach()
    try:
        async with HttpSession(server.url) as session:
            first = await session.post(session.url("/"), b"{}")
            server.close_first.set()
            assert server.closed.wait(10)  # the loop is busy here
            second = await session.post(session.url("/"), b"{}")
    finally:
        server.join()
    assert (first.body, second.body) == (b"0", b"1")
    assert server.requests == 2
    assert traced == ["POST"] * 3


@pytest.mark.parametrize("own_way", [False, True])
async def test_without_poll_a_machine_still_sends(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, own_way: bool
) -> None:
    """Windows has none: a close that was read is seen, and calls go out."""
    monkeypatch.delattr(select, "poll")
    if own_way:
        request.getfixturevalue("traced")

    async def once(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply())

    async with serve(once) as server, HttpSession(server.url) as session:
        for _ in range(3):
            assert (await session.post(session.url("/"), b"{}")).status == 200
            await the_loop_to_read()
    assert server.connections == len(server.requests) == 3


async def test_a_connection_that_is_gone_has_hung_up() -> None:
    assert is_unusable(None, None)


async def test_a_body_tells_debuggers_nothing() -> None:
    body = Body(b'{"access_token":"secret"}')
    assert "secret" not in body.decode()
    assert "secret" not in repr(body)


WRAPPED = """
import functools
import aiohttp

real = aiohttp.ClientSession._request

@functools.wraps(real)
async def request(*args, **words):
    return await real(*args, **words)

aiohttp.ClientSession._request = request
"""
MOCKED = """
import aiohttp
from unittest.mock import patch

patch("aiohttp.ClientSession._request", autospec=True).start()
"""


@pytest.mark.parametrize(("before", "allowed"), [(WRAPPED, False), (MOCKED, False), ("", True)])
async def test_who_watches_before_the_import_sees_the_calls_too(before: str, allowed: bool) -> None:
    """As `ddtrace-run` does, or a test that imports within its mocks: it must not send in earnest."""
    program = before + (
        "from promomsg.transport.http_client import HttpClient\n"
        f"assert HttpClient.is_allowed() is {allowed}\n"
    )
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await run.wait() == 0
