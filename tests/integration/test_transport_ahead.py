"""Connections that are opened before the calls which need them."""

from __future__ import annotations

import asyncio
import socket

import pytest
from raw_server import RawServer, Reader, Writer, read_request, reply, serve, well
from waiting import until

from promomsg.errors import NotSent, UsageError
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio


async def test_connections_opened_ahead_serve_the_calls() -> None:
    async with serve(well) as server, HttpSession(server.url) as session:
        assert session.idle_connections() == 0
        await session.connect_ahead(3)
        await until(lambda: session.idle_connections() == 3)
        url = session.url("/")
        answers = await asyncio.gather(*(session.post(url, b"{}") for _ in range(3)))
        assert [answer.status for answer in answers] == [200] * 3
        assert session.idle_connections() == 3
    assert server.connections == 3


async def test_a_connection_is_idle_when_no_call_uses_it() -> None:
    go = asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            await go.wait()
            writer.write(reply())

    async with serve(script) as server, HttpSession(server.url) as session:
        await session.connect_ahead(1)
        assert session.idle_connections() == 1
        call = asyncio.create_task(session.post(session.url("/"), b"{}"))
        await server.seen.wait()
        assert session.idle_connections() == 0
        go.set()
        await call
        assert session.idle_connections() == 1


async def test_calls_follow_those_under_way_where_all_connections_are_open() -> None:
    """Else a campaign beside others would send to as few as happen to be idle."""
    go = asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            await go.wait()
            writer.write(reply())

    async with serve(script) as server, HttpSession(server.url, max_connections=3) as session:
        await session.connect_ahead(3)
        await until(lambda: session.idle_connections() == 3)
        calls = [asyncio.create_task(session.post(session.url("/"), b"{}")) for _ in range(2)]
        await until(lambda: session.idle_connections() == 1)
        assert await session.connect_ahead(20) == 20
        go.set()
        await asyncio.gather(*calls)
    assert server.connections == 3


async def test_no_more_are_opened_ahead_than_there_may_be_calls() -> None:
    async with serve(well) as server, HttpSession(server.url, max_connections=2) as session:
        await session.connect_ahead(50)
        await until(lambda: session.idle_connections() == 2)
        await session.connect_ahead(50)
        assert session.idle_connections() == 2
        assert (await session.post(session.url("/"), b"{}")).status == 200
    assert server.connections == 2


async def test_a_provider_who_is_not_there_is_for_the_call_to_say() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with HttpSession(url) as session:
        await session.connect_ahead(3)
        assert session.idle_connections() == 0
        with pytest.raises(NotSent, match="Connection refused"):
            await session.post(session.url("/"), b"{}")


async def test_a_close_gives_up_what_is_being_opened() -> None:
    async def mute(reader: Reader, writer: Writer, server: RawServer) -> None:
        server.seen.set()
        await asyncio.Event().wait()

    async with serve(mute) as server:
        session = HttpSession(f"https://127.0.0.1:{server.port}")
        ahead = asyncio.create_task(session.connect_ahead(2))
        await server.seen.wait()
        await session.close()
        await ahead
        assert await session.connect_ahead(2) == 2, "the calls say what is wrong"
        with pytest.raises(UsageError, match="closed"):
            session.idle_connections()


async def test_where_aiohttp_makes_the_calls_nothing_is_known_and_nothing_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import aiohttp

    real = aiohttp.ClientSession._request

    async def request(self: aiohttp.ClientSession, *args: object, **words: object) -> object:
        return await real(self, *args, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(aiohttp.ClientSession, "_request", request)
    async with serve(well) as server, HttpSession(server.url) as session:
        assert session.idle_connections() is None
        await session.connect_ahead(2)
        assert session.idle_connections() is None
    assert server.connections == 0
