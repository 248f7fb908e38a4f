"""Clients derived by `with_options`, over every way that calls can take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from network_routes import ROUTES, route
from raw_server import RawServer, Reader, Writer, read_request, reply, serve

import promomsg
from promomsg import (
    NotSent,
    Pace,
    Recipient,
    State,
    UsageError,
    WeChatMessage,
    WeChatPromoter,
)
from promomsg.sandbox import Sandbox
from promomsg.transport.connector import Connector
from promomsg.transport.http_connection import HttpConnection

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
TO = Recipient(id="1001")
TOKEN = reply(b'{"access_token":"TOKEN-1","expires_in":7200}')
SENT = reply(b'{"errcode":0,"errmsg":"ok"}')
PLAIN = [name for name in ROUTES if "TLS" not in name and "proxy" not in name]


async def wechat(reader: Reader, writer: Writer, server: RawServer) -> None:
    """A provider, or a proxy that is one."""
    while await read_request(reader, server):
        writer.write(TOKEN if b"stable_token" in server.requests[-1][0] else SENT)


def client(url: str, **given: Any) -> WeChatPromoter:
    return WeChatPromoter(
        "wx0001", "s3cret-of-nobody", base_url=url, pace=Pace(unlimited=True), **given
    )


def paths(server: RawServer) -> list[str]:
    """The endpoints that were called, in order."""
    lines = (head.split(b"\r\n")[0].split(b" ")[1] for head, _ in server.requests)
    return [line.split(b"?")[0].rpartition(b"/")[2].decode() for line in lines]


@contextlib.asynccontextmanager
async def holding() -> AsyncIterator[tuple[RawServer, asyncio.Event]]:
    """A provider that answers sends once the event is set."""
    go = asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            if b"stable_token" in server.requests[-1][0]:
                writer.write(TOKEN)
            else:
                await go.wait()
                writer.write(SENT)

    async with serve(script) as server:
        yield server, go


@pytest.mark.parametrize("name", ROUTES)
async def test_another_time_out_uses_the_same_connection_and_token(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        route(name, wechat, tmp_path, monkeypatch) as (server, url, options, traced),
        client(url, **options) as first,
    ):
        before = first.with_options(timeout=4)  # nothing was called yet
        for sender in (before, first, first.with_options(timeout=5), before):
            assert (await sender.send_one(MESSAGE, TO)).state is State.SENT
    assert paths(server) == ["stable_token", *["singlesendmsg"] * 4]
    assert server.connections == 1
    assert len(traced) == (5 if name.startswith("traced") else 0)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("first", ["straight", "through the proxy"])
async def test_another_proxy_has_connections_of_its_own_and_the_same_token(
    name: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve(wechat) as proxy,
        route(name, wechat, tmp_path, monkeypatch) as (server, url, options, _),
        client(url, **options) as straight,
    ):
        proxied = straight.with_options(proxy=f"http://user:pass-word@127.0.0.1:{proxy.port}")
        order = [straight, proxied, straight, proxied]
        for sender in order if first == "straight" else reversed(order):
            assert (await sender.send_one(MESSAGE, TO)).state is State.SENT
    sends = ["singlesendmsg"] * 2
    with_token = ["stable_token", *sends]  # fetched once, by whoever needed it first
    assert paths(server) == (with_token if first == "straight" else sends)
    assert paths(proxy) == (sends if first == "straight" else with_token)
    assert (server.connections, proxy.connections) == (1, 1)
    assert all(head.startswith(f"POST {url}/".encode()) for head, _ in proxy.requests)
    assert all(b"Proxy-Authorization: Basic" in head for head, _ in proxy.requests)
    assert not any(b"Proxy-Authorization" in head for head, _ in server.requests)


@pytest.mark.parametrize("kind", ["its own", "lent"])
async def test_all_derived_clients_share_the_permits(kind: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server, go = await stack.enter_async_context(holding())
        proxy = await stack.enter_async_context(serve(wechat))
        options: dict[str, Any] = {"max_connections": 1}
        if kind == "lent":
            options["session"] = await stack.enter_async_context(aiohttp.ClientSession())
        first = await stack.enter_async_context(client(server.url, **options))
        other = first.with_options(proxy=proxy.url, timeout=0.05)
        await first.prepare()
        server.seen.clear()
        call = asyncio.create_task(first.send_one(MESSAGE, TO))
        await server.seen.wait()
        with pytest.raises(NotSent, match=r"no free connection within 0\.05 s"):
            await other.send_one(MESSAGE, TO)
        go.set()
        assert (await call).state is State.SENT
        assert (await other.send_one(MESSAGE, TO)).state is State.SENT


async def test_idle_connections_make_room_for_those_of_another_proxy() -> None:
    """Open at once are never more than `max_connections`, whatever way they go."""
    async with (
        holding() as (server, go),
        serve(wechat) as proxy,
        client(server.url, max_connections=2) as first,
    ):
        go.set()
        other = first.with_options(proxy=proxy.url)
        await first.prepare()
        await first.connect_ahead(2)
        while (first._http.idle_connections() or 0) < 2:
            await asyncio.sleep(0)
        assert (await other.send_one(MESSAGE, TO)).state is State.SENT
        assert (first._http.idle_connections(), other._http.idle_connections()) == (1, 1)
        assert (await first.send_one(MESSAGE, TO)).state is State.SENT


async def test_each_client_has_its_own_time_out() -> None:
    async with holding() as (server, go), client(server.url) as first:
        waits = asyncio.create_task(first.send_one(MESSAGE, TO))
        hasty = await first.with_options(timeout=0.02).send_one(MESSAGE, TO)
        assert (hasty.state, hasty.code) == (State.UNKNOWN, "NO_ANSWER")
        assert "within 0.02 s" in hasty.detail
        go.set()
        assert (await waits).state is State.SENT


async def test_each_has_its_own_time_to_connect_though_they_share_the_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = Connector.connect
    given: list[float] = []

    async def connecting(self: Connector, timeout: float) -> HttpConnection:
        given.append(timeout)
        return await connect(self, timeout)

    monkeypatch.setattr(Connector, "connect", connecting)

    async def closing(reader: Reader, writer: Writer, server: RawServer) -> None:
        if await read_request(reader, server):
            writer.write(TOKEN if b"stable_token" in server.requests[-1][0] else SENT)

    async with serve(closing) as server, client(server.url, timeout=2) as first:
        await first.prepare()
        await first.send_one(MESSAGE, TO)
        await first.with_options(timeout=60).send_one(MESSAGE, TO)
    assert given == [2, 2, 10]


async def test_a_close_is_the_pools_when_its_own_client_closes() -> None:
    async with serve(wechat) as server, serve(wechat) as proxy:
        async with client(server.url) as first:
            derived = first.with_options(timeout=5)
            proxied = derived.with_options(proxy=proxy.url)
            for each in (derived, proxied):
                async with each:
                    await each.send_one(MESSAGE, TO)
                assert (await each.send_one(MESSAGE, TO)).state is State.SENT
            other = derived.with_account("wx0002", "s3cret-of-another")
            assert other._http is derived._http
        for each in (first, derived, proxied, other):
            with pytest.raises(UsageError, match="was closed"):
                await each.send_one(MESSAGE, TO)
            with pytest.raises(UsageError, match="was closed"):
                await each.get_roles()


async def test_a_derived_client_is_of_the_event_loop_of_its_pool() -> None:
    async with serve(wechat) as server, client(server.url) as first:
        derived = first.with_options(timeout=5)
        await first.send_one(MESSAGE, TO)
        with pytest.raises(UsageError, match="event loop"):
            await asyncio.to_thread(lambda: asyncio.run(derived.send_one(MESSAGE, TO)))
        assert (await derived.send_one(MESSAGE, TO)).state is State.SENT


async def test_campaigns_of_two_derived_clients_run_beside_each_other(box: Sandbox) -> None:
    async with client(box.url) as first:
        box.settings.accounts = {"wx0001": "s3cret-of-nobody"}
        reports = await asyncio.gather(
            promomsg.send(first, MESSAGE, [str(n) for n in range(1000, 1020)]),
            promomsg.send(
                first.with_options(timeout=9), MESSAGE, [str(n) for n in range(2000, 2020)]
            ),
        )
    assert [report.sent for report in reports] == [20, 20]
    assert box.calls["stable_token"] == 1
