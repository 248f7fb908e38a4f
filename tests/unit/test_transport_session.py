"""What a client refuses before it opens anything, and its answers without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promomsg.errors import UsageError
from promomsg.transport.session import HttpSession
from promomsg.transport.urls import is_loopback, is_public


@pytest.mark.parametrize(
    ("text", "prefix", "loopback"),
    [
        ("https://api.weixin.qq.com", "", False),
        ("https://api.weixin.qq.com/", "", False),
        ("https://wallet.example.com:8443/api/v2/", "/api/v2", False),
        ("http://127.0.0.1:8000", "", True),
        ("http://127.8.9.10:8000/x", "/x", True),
        ("http://localhost:8000", "", True),
        ("http://[::1]:8000", "", True),
        ("http://[::ffff:127.0.0.1]:80", "", True),
        ("https://localhost", "", True),
    ],
)
def test_base_urls(text: str, prefix: str, loopback: bool) -> None:
    session = HttpSession(text)
    assert session.loopback is loopback
    assert session.base_url == text.rstrip("/").removesuffix(":80") or "ffff" in text
    assert str(session.url("/cgi-bin/token")).endswith(prefix + "/cgi-bin/token")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.weixin.qq.com",
        "ftp://api.weixin.qq.com",
        "https://",
        "https://host:port",
        "https://host:99999",
        "http://api.weixin.qq.com",
        "http://10.0.0.1",
        "http://127.0.0.1.example.com",
        "https://user:pa55@host",
        "https://host/?pa55",
        "https://host/?",
        "https://host/#pa55",
    ],
)
def test_a_base_url_that_cannot_be_right_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="base_url") as caught:
        HttpSession(text)
    assert "pa55" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_arguments_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(UsageError, match="not bytes"):
        HttpSession(b"https://host")  # type: ignore[arg-type]
    for seconds in (0, -1, float("nan"), float("inf"), "30", True):
        with pytest.raises(UsageError, match="timeout"):
            HttpSession("https://host", timeout=seconds)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="connect_timeout"):
            HttpSession("https://host", connect_timeout=seconds)  # type: ignore[arg-type]
    for proxy in ("socks5://u:pa55@host:1", "host:80", "http://", "http://h:x", 7):
        with pytest.raises(UsageError, match="proxy") as caught:
            HttpSession("https://host", proxy=proxy)  # type: ignore[arg-type]
        assert "pa55" not in str(caught.value)


def test_a_client_belongs_to_one_event_loop(mocked: Any) -> None:
    session = HttpSession("https://api.weixin.qq.com")
    mocked.post("https://api.weixin.qq.com/x", payload={"errcode": 0}, repeat=True)

    async def call() -> None:
        answer = await session.post(session.url("/x"), b"{}")
        assert answer.body == b'{"errcode": 0}'

    async def close() -> None:
        await session.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(call())
    with pytest.raises(UsageError, match="event loop"):
        asyncio.run(call())
    with pytest.raises(UsageError, match="event loop"):
        asyncio.run(close())
    loop.run_until_complete(close())
    loop.close()


def test_a_session_of_another_event_loop_is_refused() -> None:
    import aiohttp

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    loop = asyncio.new_event_loop()
    own = loop.run_until_complete(make())

    async def use() -> None:
        session = HttpSession("https://api.weixin.qq.com", session=own)
        await session.post(session.url("/x"), b"{}")

    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(use())
    loop.run_until_complete(own.close())
    loop.close()


@pytest.mark.asyncio
async def test_answers_without_a_socket(mocked: Any) -> None:
    async with HttpSession("https://api.weixin.qq.com") as session:
        url = session.url("/cgi-bin/token", {"access_token": "T+1"})
        mocked.post(url, payload={"errcode": 40001}, headers={"X-Rid": "9"})
        mocked.get(url, body=b"<html>", status=502)
        answer = await session.post(url, b"{}")
        assert (answer.status, answer.body) == (200, b'{"errcode": 40001}')
        assert answer.headers["x-rid"] == "9"
        assert (await session.get(url)).status == 502


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:0a00:0001::1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("name.example.com", False),
    ],
)
def test_which_addresses_are_of_the_open_internet(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_which_hosts_are_this_machine() -> None:
    assert is_loopback("app.localhost")
    assert not is_loopback("localhost.example.com")
