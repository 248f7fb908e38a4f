"""Connections over their life: idle, borrowed, cancelled, closed."""

from __future__ import annotations

import asyncio
import socket
import sys

import aiohttp
import pytest
from raw_server import (
    RawServer,
    Reader,
    Writer,
    read_request,
    reply,
    serve,
    silent,
    well,
)
from waiting import until

from promomsg.errors import NotSent, OutcomeUnknown, UsageError
from promomsg.transport.session import HttpSession

pytestmark = pytest.mark.asyncio


async def test_a_connection_closed_while_idle_is_not_used_again() -> None:
    async def once(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        writer.write(reply())

    async with serve(once) as server, HttpSession(server.url) as session:
        for _ in range(5):
            assert (await session.post(session.url("/"), b"{}")).status == 200
    assert server.connections == 5


async def test_a_close_that_the_loop_has_not_seen_yet_costs_no_unknown() -> None:
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    accepted = []
    done = threading.Event()

    def run() -> None:
        for turn in range(2):
            sock, _ = listener.accept()
            accepted.append(sock)
            sock.recv(65_536)
            sock.sendall(reply())
            if turn == 0:
                done.wait()
                sock.close()
                done.clear()

    thread = threading.Thread(target=run)
    thread.start()
    async with HttpSession(f"http://127.0.0.1:{listener.getsockname()[1]}") as session:
        await session.post(session.url("/"), b"{}")
        done.set()
        while done.is_set():  # the loop is busy here, as by a slow request of the same service
            pass
        assert (await session.post(session.url("/"), b"{}")).status == 200
    thread.join()
    for sock in accepted:
        sock.close()
    listener.close()


async def test_a_cancelled_call_harms_no_other() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while body := await read_request(reader, server):
            if body == b"wait":
                await asyncio.Event().wait()
            writer.write(reply(body))

    async with serve(script) as server, HttpSession(server.url) as session:
        url = session.url("/")
        await session.post(url, b"first")
        stuck = asyncio.create_task(session.post(url, b"wait"))
        other = [asyncio.create_task(session.post(url, b"%d" % i)) for i in range(10)]
        await asyncio.gather(*other)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert [task.result().body for task in other] == [b"%d" % i for i in range(10)]
        assert (await session.post(url, b"last")).body == b"last"


async def test_a_cancellation_and_a_time_out_at_once_is_a_cancellation() -> None:
    async with serve(silent) as server, HttpSession(server.url, timeout=0.02) as session:
        call = asyncio.create_task(session.post(session.url("/"), b"{}"))
        await server.seen.wait()
        timer = session._timer
        assert timer is not None
        (entry,) = timer._calls
        entry.deadline = 0.0
        timer._on_timer()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_the_pool_grows_while_calls_are_under_way() -> None:
    release = asyncio.Event()

    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        await read_request(reader, server)
        await release.wait()
        writer.write(reply())

    async with serve(script) as server, HttpSession(server.url) as session:
        url = session.url("/")
        session.expect(10)
        first = asyncio.create_task(session.post(url, b"{}"))
        await server.seen.wait()
        session.expect(150)
        rest = [asyncio.create_task(session.post(url, b"{}")) for _ in range(149)]
        await until(lambda: len(server.requests) >= 150)
        release.set()
        assert {(await task).status for task in [first, *rest]} == {200}


async def test_a_session_passed_in_lends_its_connections_and_nothing_else() -> None:
    async def script(reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            writer.write(reply(b"{}", "302 Found", "Location: /x", "Set-Cookie: got=1"))

    async with (
        serve(script) as server,
        aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            cookies={"mine": "1"},
            headers={"X-Mine": "1"},
            raise_for_status=True,
        ) as own,
    ):
        async with HttpSession(server.url, session=own) as session:
            session.expect(1000)
            assert (await session.post(session.url("/"), b"{}")).status == 302
        assert not own.closed
        assert [cookie.key for cookie in own.cookie_jar] == ["mine"]
        head = server.requests[0][0]
        assert b"mine" not in head.lower()
        async with HttpSession(server.url, session=own) as session:
            await session.post(session.url("/"), b"{}")
    assert server.connections == 1
    late = HttpSession(server.url, session=own)
    with pytest.raises(UsageError, match="is closed"):
        await late.post(late.url("/"), b"{}")


async def test_a_session_closed_under_a_client_in_use_says_so() -> None:
    async with serve(well) as server:
        own = aiohttp.ClientSession()
        async with HttpSession(server.url, session=own) as session:
            await session.post(session.url("/"), b"{}")
            await own.close()
            with pytest.raises((UsageError, NotSent)):
                await session.post(session.url("/"), b"{}")


async def test_after_close_it_says_so() -> None:
    async with serve(well) as server:
        session = HttpSession(server.url)
        await session.close()
        await session.close()
        with pytest.raises(UsageError, match="closed"):
            await session.post(session.url("/"), b"{}")


async def test_a_connection_that_never_says_it_is_closed_keeps_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = aiohttp.TCPConnector.close
    closing = asyncio.Event()

    async def close(self: aiohttp.TCPConnector, **given: object) -> None:
        await real(self)
        closing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.TCPConnector, "close", close)
    monkeypatch.setattr("promomsg.transport.http_pool._CLOSING", 0.01)
    async with serve(well) as server, HttpSession(server.url) as session:
        await session.post(session.url("/"), b"{}")
    assert closing.is_set()


async def test_a_close_in_the_middle_of_a_call_ends_it() -> None:
    async with serve(silent) as server:
        session = HttpSession(server.url)
        call = asyncio.create_task(session.post(session.url("/"), b"{}"))
        await server.seen.wait()
        await session.close()
        with pytest.raises(OutcomeUnknown):
            await call


async def test_a_close_waits_for_what_is_being_opened() -> None:
    """A task that is still there when the loop closes makes asyncio complain."""

    async def never(reader: Reader, writer: Writer, server: RawServer) -> None:
        server.seen.set()
        await reader.read(1)
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    async with serve(never) as server:
        session = HttpSession(f"https://127.0.0.1:{server.port}")
        ahead = asyncio.create_task(session.connect_ahead(3))
        await server.seen.wait()
        await session.close()
        await ahead
        assert session._http is not None
        assert not session._http._ahead
        assert asyncio.all_tasks() - before == server.tasks


CLOSED_LATE = """
import asyncio, sys
from promomsg.transport.session import HttpSession

async def call(url):
    session = HttpSession(url)
    assert (await session.post(session.url("/"), b"{}")).status == 200
    assert session.idle_connections() == 1
    return session

asyncio.run(asyncio.run(call(sys.argv[1])).close())
"""


async def test_a_client_can_be_closed_after_its_event_loop() -> None:
    """As by a `finally` around `asyncio.run`: nothing is left to wait for. In a process of its own,
    since the socket of a loop that has ended stays open until its process ends."""
    async with serve(well) as server:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLOSED_LATE, server.url, stderr=asyncio.subprocess.PIPE
        )
        _, said = await child.communicate()
    assert (child.returncode, said.decode()) == (0, "")
