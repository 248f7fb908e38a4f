"""A process that stood still (Ctrl-Z, docker pause, a blocked event loop) reads before it decides.

Blocking the loop for a moment is what is tested here, and so is the one place with real seconds.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from cli_campaigns import campaign, conserved, finished, running, started
from waiting import real_time, wait_for

from promomsg.errors import NotSent, OutcomeUnknown
from promomsg.sandbox import Fault, FaultPlan
from promomsg.transport.session import HttpSession

SHORT = 0.3
"""Seconds of a time-out; the process stands still for twice as long."""


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def work(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(coroutine)

    return work


@contextmanager
def answering(answer: bytes, after: float = 0.05) -> Iterator[tuple[str, threading.Event]]:
    """A server in threads of its own: one answer a connection, some time after the request."""
    listener = socket.create_server(("127.0.0.1", 0))
    got, stop = threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            while connection.recv(65536):
                got.set()
                stop.wait(after)
                connection.sendall(answer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def http(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


def short_path(session: HttpSession) -> Coroutine[Any, Any, Any]:
    return session.post(session.url("/send"), b"{}")


def a_read(session: HttpSession) -> Coroutine[Any, Any, Any]:
    return session.get(session.url("/read"))


def traced(session: HttpSession) -> Coroutine[Any, Any, Any]:
    """aiohttp's own way, as under a tracer."""

    async def call() -> Any:
        original = aiohttp.ClientSession._request

        async def wrapped(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> Any:
            return await original(self, *args, **kwargs)

        aiohttp.ClientSession._request = wrapped  # type: ignore[method-assign]
        try:
            return await session.post(session.url("/send"), b"{}")
        finally:
            aiohttp.ClientSession._request = original  # type: ignore[method-assign]

    return call()


async def freeze(seconds: float) -> None:
    time.sleep(seconds)  # a process that gets no processor: that is what is tested


@pytest.mark.parametrize("way", [short_path, a_read, traced])
@pytest.mark.parametrize("size", [2, 900_000])
def test_an_answer_that_has_arrived_is_read_before_its_time_out_is_believed(
    way: Callable[[HttpSession], Coroutine[Any, Any, Any]],
    size: int,
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    with answering(http(size)) as (url, got):

        async def work() -> None:
            async with HttpSession(url, timeout=SHORT) as session:
                call = asyncio.ensure_future(way(session))
                await asyncio.to_thread(got.wait, 5)
                await freeze(2 * SHORT)
                answer = await call
                assert len(answer.body) == size

        run(work())


def test_a_hundred_answers_are_all_read(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    with answering(http(2)) as (url, got):

        async def work() -> None:
            async with HttpSession(url, timeout=0.4) as session:
                calls = [asyncio.ensure_future(short_path(session)) for _ in range(100)]
                await asyncio.to_thread(got.wait, 5)
                for _ in range(3):
                    await freeze(0.45)
                    await asyncio.sleep(0)
                assert {answer.status for answer in await asyncio.gather(*calls)} == {200}

        run(work())


def test_a_connection_that_is_there_is_used_though_its_time_is_over(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Both time-outs end while it is being made."""
    with answering(http(2), after=0.0) as (url, _):

        async def work() -> None:
            async with HttpSession(url, timeout=SHORT, connect_timeout=SHORT) as session:
                call = asyncio.ensure_future(short_path(session))
                for _ in range(2):
                    await asyncio.sleep(0)
                await freeze(2 * SHORT)
                assert (await call).status == 200

        run(work())


@pytest.mark.parametrize("way", [short_path, a_read, traced])
def test_a_server_that_is_silent_is_still_given_up_after_a_freeze(
    way: Callable[[HttpSession], Coroutine[Any, Any, Any]],
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    with answering(b"", after=60.0) as (url, got):

        async def work() -> None:
            async with HttpSession(url, timeout=SHORT) as session:
                call = asyncio.ensure_future(way(session))
                await asyncio.to_thread(got.wait, 5)
                await freeze(2 * SHORT)
                began = time.monotonic()
                with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.3 s"):
                    await call
                assert time.monotonic() - began < 5

        run(work())


def test_a_loop_that_is_never_in_time_still_ends_its_calls() -> None:
    """Every round of the loop is late: it must not go on giving calls another look for ever."""
    with answering(b"", after=60.0) as (url, _):

        async def work() -> None:
            async with HttpSession(url, timeout=0.05) as session:
                call = asyncio.ensure_future(short_path(session))
                for _ in range(40):
                    await freeze(0.06)
                    await real_time(0.001)
                    if call.done():
                        break
                with pytest.raises((OutcomeUnknown, NotSent)):
                    await asyncio.wait_for(call, 3)

        asyncio.run(work())


def test_a_stopped_sender_has_nobody_in_doubt_when_it_goes_on(tmp_path: Path) -> None:
    """SIGSTOP for three times the time-out, with 20 calls out whose answers come meanwhile."""
    with running() as box:
        box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="delay", seconds=0.1)])
        file = campaign(
            tmp_path, box.url, 200, title="{name}", pace="unlimited = true\nconcurrency = 20"
        )
        text = file.read_text()
        file.write_text(text.replace("[message]\n", 'timeout = "300ms"\n[message]\n'))
        sender = started("send", file, "--yes", "--json")
        wait_for(lambda: box.calls["singlesendmsg"] > 20)
        for _ in range(2):
            sender.send_signal(signal.SIGSTOP)
            time.sleep(0.9)  # three time-outs of real time: that is what is tested
            sender.send_signal(signal.SIGCONT)
            time.sleep(0.1)  # time to take up its work again
        out, err = finished(sender)
        document = json.loads(out)
        assert document["unknown"] == 0, err
        assert sender.returncode == 0
        assert document["sent"] == len(box.ledger.delivered) == 200
        assert conserved(document)
