"""What comes unasked on an idle connection is nobody's answer, whichever way the calls take."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from network_routes import ROUTES, route
from raw_server import RawServer, Reader, Writer, read_request, reply

from promomsg import Pace, Recipient, WeChatMessage, WeChatPromoter
from promomsg.errors import OutcomeUnknown
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
SENT = reply(b'{"errcode":0,"errmsg":"ok"}')
REFUSED = reply(b'{"errcode":43101,"errmsg":"user refuses to accept the msg"}')
TIMED_OUT = reply(b"<html>408</html>", "408 Request Time-out", "Connection: close")

STRAY = {
    "the answer again": [SENT],
    "a gateway's 408, which then closes": [TIMED_OUT, b""],
    "the beginning of an answer": [SENT[:9]],
    "an answer in two pieces": [SENT[:9], SENT[9:]],
    "a head alone": [SENT[: SENT.index(b"\r\n\r\n") + 4]],
    "two answers": [SENT + SENT],
    "an interim answer": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "line ends": [b"\r\n"],
    "no HTTP at all": [b"\0\1\2"],
}


async def token(stale: str | None) -> str:
    return "t1"


async def the_loop_to_read() -> None:
    """What loopback has delivered is read once the loop has turned."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("name", ROUTES)
async def test_what_comes_unasked_is_not_the_next_recipients(
    name: str, stray: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second recipient refused. Whatever came before the request, he is not `sent`."""
    go, said = asyncio.Event(), asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            if len(server.requests) > 1:
                writer.write(REFUSED)
                continue
            writer.write(SENT)
            await go.wait()
            for piece in STRAY[stray]:
                if not piece:
                    writer.close()
                    break
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            said.set()

    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        WeChatPromoter(
            "wx1", token=token, base_url=way.base_url, pace=Pace(unlimited=True), **way.options
        ) as wechat,
    ):
        first = await wechat.send_one(MESSAGE, Recipient(openid="o1"))
        go.set()
        await said.wait()
        await the_loop_to_read()
        second = await wechat.send_one(MESSAGE, Recipient(openid="o2"))
    assert (first.state, second.state, second.code) == ("sent", "failed", "43101")
    assert [b"o1" in body for _, body in way.server.requests] == [True, False]
    assert way.server.connections == 2
    assert bool(way.traced) is name.startswith("traced")


@pytest.mark.parametrize("name", ROUTES)
async def test_nor_the_answer_of_a_read_by_get(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `GET /cgi-bin/token`: a token that came twice would be taken for the next one."""
    go, said = asyncio.Event(), asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(reply(b"%d" % len(server.requests)))
            if len(server.requests) == 1:
                await go.wait()
                writer.write(reply(b"stray"))
                await writer.drain()
                said.set()

    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        HttpSession(way.base_url, **way.options) as session,
    ):
        first = await session.get(session.url("/token"))
        go.set()
        await said.wait()
        await the_loop_to_read()
        second = await session.get(session.url("/token"))
    assert (first.body, second.body) == (b"1", b"2")
    assert way.server.connections == 2


@pytest.mark.parametrize("name", ROUTES)
async def test_one_connection_serves_call_after_call(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(reply(b"%d" % len(server.requests)))

    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        HttpSession(way.base_url, **way.options) as session,
    ):
        url = session.url("/send", {"access_token": "t/1"})
        bodies = [(await session.post(url, b"{}", {"X-Own": "1"})).body for _ in range(5)]
    assert bodies == [b"1", b"2", b"3", b"4", b"5"]
    assert way.server.connections == 1
    for head, body in way.server.requests:
        # A proxy is told where to; through a tunnel nobody is told of the proxy.
        asked = way.base_url.encode() if name.endswith("proxy") else b""
        assert head.startswith(b"POST %s/send?access_token=t%%2F1 HTTP/1.1\r\n" % asked)
        assert (b"Proxy-Authorization: Basic dXNlcjpwYXNzLXdvcmQ=" in head) is bool(asked)
        assert body == b"{}"


@pytest.mark.parametrize("name", ROUTES)
async def test_a_long_header_line_is_taken_and_too_long_a_one_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Policies and cookies that gateways add; 8 KiB was the end of them."""

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            size = (65_000, 200_000)[len(server.requests) - 1]
            writer.write(reply(b"{}", "200 OK", "X-Policy: " + "p" * size))

    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        HttpSession(way.base_url, **way.options) as session,
    ):
        answer = await session.post(session.url("/"), b"{}")
        assert (answer.status, len(answer.headers["X-Policy"])) == (200, 65_000)
        with pytest.raises(OutcomeUnknown, match=r"not HTTP: .*65536") as caught:
            await session.post(session.url("/"), b"{}")
    assert "ppp" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"<html><body>name=Zhang phone=13800138000</body></html>\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 two hundred Zhang\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nZhang 13800138000\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: Zhang\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZhang\r\n", "chunk"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nZhang", "may have arrived"),
    ],
)
@pytest.mark.parametrize("name", ["short", "traced"])
async def test_what_the_parser_complains_of_is_said_and_the_answer_is_not(
    name: str, answer: bytes, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(answer)

    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        HttpSession(way.base_url, **way.options) as session,
    ):
        with pytest.raises(OutcomeUnknown, match=says) as caught:
            await session.post(session.url("/"), b"{}")
    text = str(caught.value)
    assert "Zhang" not in text
    assert "13800138000" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "encoding", ["UTF-8", "utf8", "none", "identity", "GBK", "br", "x", "", "gzip"]
)
@pytest.mark.parametrize("name", ["short", "traced"])
async def test_a_content_encoding_that_is_none_changes_nothing(
    name: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes in between write their character set there, or leave `gzip` on what they unpacked."""
    body = '{"errcode":43101,"errmsg":"用户拒绝"}'.encode()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply(body, "200 OK", f"Content-Encoding: {encoding}"))

    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        HttpSession(way.base_url, **way.options) as session,
    ):
        answer = await session.post(session.url("/"), b"{}")
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"slow down", "429 Too Many Requests", "Retry-After: 7"),
        reply(b"slow", "429 Too Many Requests", "Retry-After: 7", length=900),
        reply(b"zz", "429 Too Many Requests", "Retry-After: 7", "Content-Encoding: gzip"),
        reply(b"x" * 70_000, "429 Too Many Requests", "Retry-After: 7"),
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\nzz",
    ],
)
@pytest.mark.parametrize("name", ["short", "traced"])
async def test_a_429_is_one_whatever_becomes_of_its_body(
    name: str, answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        head, end, body = answer.partition(b"\r\n\r\n")
        writer.write(head + end)
        await the_loop_to_read()
        writer.write(body)

    async with (
        route(name, script, tmp_path, monkeypatch) as way,
        HttpSession(way.base_url, timeout=5.0, **way.options) as session,
    ):
        got = await session.post(session.url("/"), b"{}", limit=65_536)
    assert (got.status, got.headers["Retry-After"]) == (429, "7")
