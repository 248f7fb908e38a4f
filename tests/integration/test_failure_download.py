"""The failure file's URL is an answer's word: refused unless it leads to the open internet."""

from __future__ import annotations

import asyncio
import gzip
import socket
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiohttp.resolver import ThreadedResolver
from raw_server import RawServer, certificate, read_request, reply, serve
from waiting import real_time

from promomsg.errors import TransportError, UsageError
from promomsg.transport.failure_download import fetch_failure_file
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio

AWAY = HttpSession("https://api.weixin.qq.com")
HERE = HttpSession("http://127.0.0.1:9")
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fail.csv",
        "/fail.csv",
        "file:///etc/passwd",
        "ftp://example.com/f",
        "https://",
        "https://[::1",
        "https://host:port/",
        "http://example.com/f?sig=S1G",
        "https://user:S1G@example.com/f",
        "https://127.0.0.1/f?sig=S1G",
        "https://localhost/f?sig=S1G",
        "https://localhost./f?sig=S1G",
        "https://10.0.0.1/f?sig=S1G",
        "https://169.254.169.254/latest/meta-data?sig=S1G",
        "https://224.0.0.1/f",
        "https://[::1]/f",
        "https://[fe80::1]/f",
        "https://[::ffff:10.0.0.1]/f",
        "https://2130706433/f",
        "https://0x7f000001/f",
        "https://0x7f.1/f",
        "https://127.1/f",
        "https://0177.0.0.1/f",
        "https://0/f",
        "https://LOCALHOST/f",
        "https://127.0.0.1./f",
        "https://１２７.0.0.1/f",
        "https://example.com:8443/f?sig=S1G",
        "https://example.com:22/f",
        "https://192.0.0.8/f",
        "https://168.63.129.16/f",
        "https://[fec0::1]/f",
        "https://[3fff::1]/f",
        "https://[2001:470::5efe:a00:1]/f",
        "https://[::8.8.8.8]/f",
    ],
)
async def test_a_url_that_leads_inside_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="failure file") as caught:
        await fetch_failure_file(AWAY, url)
    assert "S1G" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_url_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="no usable URL"):
        await fetch_failure_file(AWAY, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("found", [["10.0.0.7"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]])
@pytest.mark.parametrize("session", [AWAY, HERE])
async def test_a_name_that_leads_inside_is_refused_where_it_is_connected(
    monkeypatch: pytest.MonkeyPatch, found: list[str], session: HttpSession
) -> None:
    async def resolve(self: Any, host: str, port: int = 0, family: int = 0) -> list[Any]:
        return [
            {"hostname": host, "host": ip, "port": port, "family": 2, "proto": 0, "flags": 0}
            for ip in found
        ]

    async def connect(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
    if session is HERE and found != ["10.0.0.7"]:
        return  # loopback is allowed there
    with pytest.raises(UsageError, match="open internet"):
        await fetch_failure_file(session, "https://cos.example.com/f?sig=S1G")


async def test_beside_a_local_provider_the_file_may_be_local() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply(b"id,code\n1,2\n", "200 OK", "Set-Cookie: a=b"))

    async with serve(script) as server:
        url = f"{server.url}/f?sig=S1G%2F"
        assert await fetch_failure_file(HERE, url) == b"id,code\n1,2\n"
        named = url.replace("127.0.0.1", "localhost")
        assert await fetch_failure_file(HERE, named) == b"id,code\n1,2\n"
        with pytest.raises(UsageError):
            await fetch_failure_file(AWAY, url)
    head = server.requests[0][0].lower()
    assert b"get /f?sig=s1g%2f http/1.1" in head
    for name in (b"cookie", b"authorization", b"referer"):
        assert name not in head


async def test_compressed_in_storage_is_read() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply(gzip.compress(b"1,2"), "200 OK", "Content-Encoding: gzip"))

    async with serve(script) as server:
        assert await fetch_failure_file(HERE, server.url + "/f") == b"1,2"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (reply(b"", "302 Found", "Location: http://10.0.0.1/"), "answered 302"),
        (reply(b"", "403 Forbidden"), "answered 403"),
        (reply(b"x" * 5000), "over 1000 bytes"),
        (reply(gzip.compress(b"x" * 5_000_000)[:900], length=900), "answer|cannot be read|over"),
        (
            reply(gzip.compress(b"x" * 50_000), "200 OK", "Content-Encoding: gzip"),
            "over 1000 bytes",
        ),
        (reply(b"x", "200 OK", "Content-Encoding: gzip"), "compressed, and damaged"),
        (reply(b"x", length=10), "ClientPayloadError"),
        (b"nonsense\r\n\r\n", "cannot be read"),
    ],
)
async def test_what_cannot_be_read_says_why(answer: bytes, text: str) -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(answer)

    async with serve(script) as server:
        if answer.startswith(b"HTTP") and b"Length: 900" in answer:
            assert len(await fetch_failure_file(HERE, f"{server.url}/f", limit=1000)) == 900
            return
        with pytest.raises(TransportError, match=text) as caught:
            await fetch_failure_file(HERE, f"{server.url}/f?sig=S1G", limit=1000)
    assert "S1G" not in str(caught.value)
    assert caught.value.__context__ is None
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if "transport/failure_download.py" in frame.f_code.co_filename:
            assert "S1G" not in repr(frame.f_locals)


async def test_a_file_that_never_ends_is_given_up() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await real_time(0.005)

    async with serve(script) as server:
        with pytest.raises(TransportError, match="not finished within"):
            await fetch_failure_file(HERE, f"{server.url}/f", timeout=0.05)


async def test_nobody_there_and_no_trust_are_transport_errors(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(TransportError, match="ClientConnectorError"):
            await fetch_failure_file(HERE, f"http://127.0.0.1:{free.getsockname()[1]}/f")

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)

    context, _ = certificate(tmp_path)
    async with serve(script, context) as server:
        with pytest.raises(TransportError, match="Certificate"):
            await fetch_failure_file(HERE, f"https://127.0.0.1:{server.port}/f")
    assert server.requests == []


async def test_a_proxy_is_used_for_the_file_too() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply(b"", "403 Forbidden"))

    async with serve(script) as proxy:
        away = HttpSession("https://api.weixin.qq.com", proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(TransportError):
            await fetch_failure_file(away, "https://cos.example.com/f")
    assert proxy.requests[0][0].startswith(b"CONNECT cos.example.com:443")


def looked_up(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """The system's names, as `getaddrinfo` would give them."""

    async def resolve(self: Any, host: str, port: int = 0, family: int = 0) -> list[Any]:
        if host not in names:
            raise OSError(-2, "Name or service not known")
        return [
            {"hostname": host, "host": ip, "port": port, "family": 2, "proto": 0, "flags": 0}
            for ip in names[host]
        ]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)


async def refusing(reader: Reader, writer: Writer, server: RawServer) -> None:
    await read_request(reader, server)
    writer.write(reply(b"", "403 Forbidden"))


async def test_a_proxy_of_the_own_network_is_used_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up(monkeypatch, {"proxy.corp": ["127.0.0.1"], "cos.example.com": ["8.8.8.8"]})
    async with serve(refusing) as proxy:
        away = HttpSession("https://api.weixin.qq.com", proxy=f"http://proxy.corp:{proxy.port}")
        with pytest.raises(TransportError, match="failure file"):
            await fetch_failure_file(away, "https://cos.example.com/f")
        assert proxy.requests[0][0].startswith(b"CONNECT cos.example.com:443")
        with pytest.raises(TransportError):  # a name that only the proxy can look up
            await fetch_failure_file(away, "https://elsewhere.example.com/f")
        assert proxy.requests[1][0].startswith(b"CONNECT elsewhere.example.com:443")


@pytest.mark.parametrize(
    "host",
    [
        "inside.example.com", "both.example.com", "intranet", "wiki.corp", "db.internal",
        "printer.local", "proxy.corp", "10.0.0.7", "169.254.169.254",
    ],
)  # fmt: skip
async def test_nothing_inside_is_asked_for_through_a_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"proxy.corp": ["127.0.0.1"], "inside.example.com": ["10.0.0.7"]}
    looked_up(monkeypatch, names | {"both.example.com": ["8.8.8.8", "10.0.0.7"]})
    async with serve(refusing) as proxy:
        away = HttpSession("https://api.weixin.qq.com", proxy=f"http://proxy.corp:{proxy.port}")
        with pytest.raises(UsageError, match="open internet"):
            await fetch_failure_file(away, f"https://{host}/f?sig=S1G")
    assert proxy.requests == []
