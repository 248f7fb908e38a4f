"""The sandbox is for programs on this machine: no page in a browser, no body without end."""

from __future__ import annotations

import asyncio
import json

import pytest
from yarl import URL

from promomsg.sandbox import Sandbox, SandboxSettings
from promomsg.sandbox.calls_and_replies import Call, Calls

BODY = b'{"grant_type":"client_credential","appid":"wx1","secret":"s"}'


def request(path: str, body: bytes = BODY, *lines: str, host: str = "127.0.0.1:1") -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


async def answered(box: Sandbox, data: bytes) -> tuple[int, bytes]:
    url = URL(box.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(data)
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "[::1]:1", "LOCALHOST"]
)
async def test_programs_of_this_machine_are_served(host: str) -> None:
    async with Sandbox() as box:
        status, body = await answered(box, request("/cgi-bin/stable_token", host=host))
    assert status == 200
    assert json.loads(body)["access_token"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("host", "lines"),
    [
        ("rebound.example", ()),
        ("rebound.example:8765", ()),
        ("127.0.0.1.rebound.example", ()),
        ("[2001:db8::1]", ()),
        ("", ()),
        ("127.0.0.1:1", ("Origin: https://evil.example",)),
        ("127.0.0.1:1", ("Origin: null",)),
    ],
)
async def test_a_page_in_a_browser_is_not(host: str, lines: tuple[str, ...]) -> None:
    async with Sandbox() as box:
        before = box.clock.china_day()
        for path in ("/cgi-bin/stable_token", "/sandbox/clock"):
            body = b'{"day":"+1d"}' if path.endswith("clock") else BODY
            status, said = await answered(box, request(path, body, *lines, host=host))
            assert status == 403
            assert b"sandbox" in said
        assert box.clock.china_day() == before
        assert box.ledger.total == 0
        assert not box.calls


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path", ["/promoter/sendmsg", "/cgi-bin/stable_token", "/v2/miniprogram/message/send"]
)
async def test_deep_nesting_is_answered_with_400(path: str) -> None:
    async with Sandbox(settings=SandboxSettings(check_tokens=False)) as box:
        for deep in (b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000):
            kind = "Content-Type: application/json"
            status, said = await answered(box, request(path, deep, kind))
            assert status in (200, 400)
            assert status == 400 or json.loads(said)
        status, _ = await answered(box, request("/cgi-bin/stable_token"))
        assert status == 200


@pytest.mark.asyncio
async def test_a_body_that_does_not_come_ends_the_wait() -> None:
    async with Sandbox(settings=SandboxSettings(body_seconds=0.02)) as box:
        data = request("/cgi-bin/stable_token").replace(
            b"Content-Length: 6", b"Content-Length: 999"
        )
        status, said = await answered(box, data)
    assert status == 408
    assert b"did not come in time" in said


def test_large_requests_are_not_all_kept() -> None:
    calls = Calls(keep=5)
    for _ in range(20):
        calls.keep(Call("sendmsg", "POST", "/", {}, {}, bytes(40 * 1024 * 1024), 0.0))
        assert sum(len(call.body) for call in calls.requests) <= 128 * 1024 * 1024
    assert len(calls.requests) == 3
    for number in range(20):
        calls.keep(Call("sendmsg", "POST", "/", {}, {}, str(number).encode(), 0.0))
    assert [call.body for call in calls.requests] == [b"15", b"16", b"17", b"18", b"19"]
