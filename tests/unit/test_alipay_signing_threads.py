"""Signatures in threads: one for each request, whatever is cancelled, closed, raised or forked."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any
from weakref import ref

import pytest
from waiting import until

from promomsg.channels.alipay_signing import SigningThreads
from promomsg.errors import UsageError

TOKEN = "user-token-0123456789"


def body(number: int) -> bytes:
    return f"{number} {TOKEN}".encode()


class Signer:
    """Stands in for a key: gives the path and the body back, and says who signed where."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.bodies: list[bytes] = []
        self.hold = threading.Event()
        self.hold.set()
        self.fails: BaseException | None = None

    def content(self, path: str, body: bytes) -> tuple[str, bytes]:
        return path, body

    def sign(self, content: bytes) -> bytes:
        self.threads.append(threading.current_thread().name)
        self.bodies.append(content)
        if threading.current_thread() is not threading.main_thread():
            assert self.hold.wait(10)
        if self.fails is not None:
            raise self.fails
        return content

    def headers(self, time: str, signature: bytes) -> Mapping[str, str]:
        return {"path": time, "signed": signature.decode()}


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("promomsg-signing")]


def test_each_request_gets_its_own_signature() -> None:
    async def main() -> None:
        signer = Signer()
        signing = SigningThreads(signer, 3)
        for count in (1, 2, 3, 40, 1, 500):
            futures = [signing.sign(f"/{n}", body(n)) for n in range(count)]
            signed = await asyncio.gather(*futures)
            assert [dict(headers) for headers in signed] == [
                {"path": f"/{n}", "signed": body(n).decode()} for n in range(count)
            ]
        assert sorted(signer.bodies) == sorted(
            body(n) for count in (1, 2, 3, 40, 1, 500) for n in range(count)
        )
        signing.close()

    asyncio.run(main())


def test_those_that_come_together_are_signed_beside_the_loop_and_one_alone_by_it() -> None:
    async def main() -> None:
        signer = Signer()
        signing = SigningThreads(signer, 2)
        await signing.sign("/", b"alone")
        assert signer.threads == [threading.current_thread().name]
        assert threads() == []

        signer.threads.clear()
        signer.hold.clear()
        together = [signing.sign("/", body(n)) for n in range(20)]
        turns = 0
        while len(signer.threads) < 2:  # the loop goes on while both are at it
            await asyncio.sleep(0)
            turns += 1
        # One that comes now does not keep the loop either: the threads are at work anyway.
        together.append(signing.sign("/", body(20)))
        await asyncio.sleep(0)
        signer.hold.set()
        await asyncio.gather(*together)
        assert threading.current_thread().name not in signer.threads
        assert len(threads()) == 2
        signing.close()
        assert threads() == []

    asyncio.run(main())


def test_those_that_one_thread_signs_go_back_together() -> None:
    """The loop that is woken takes the interpreter from the thread, and both are slower for it."""

    async def main() -> None:
        signing = SigningThreads(Signer(), 1)
        for count, together in ((2, 2), (60, 60), (100, 64)):
            futures = [signing.sign("/", body(n)) for n in range(count)]
            await futures[0]
            assert sum(future.done() for future in futures) >= together
            await asyncio.gather(*futures)
        signing.close()

    asyncio.run(main())


def test_one_thread_waits_for_the_requests_that_other_answers_bring() -> None:
    """On one CPU it would be in the way of the loop that reads those answers."""

    async def main() -> None:
        signer = Signer()
        signing = SigningThreads(signer, 1)
        futures = []
        for number in range(20):
            futures.append(signing.sign("/", body(number)))
            await asyncio.sleep(0)
            assert signer.bodies == []
        await asyncio.gather(*futures)
        assert signer.bodies == [body(number) for number in range(20)]
        assert threading.current_thread().name not in signer.threads

        await signing.sign("/", b"alone")
        assert signer.threads[-1] == threading.current_thread().name
        signing.close()

        # A full batch waits for no more.
        signing = SigningThreads(signer, 1)
        for number in range(70):
            assert threads() == [] or number >= 64
            futures.append(signing.sign("/", body(number)))
            await asyncio.sleep(0)
        assert len(threads()) == 1
        await asyncio.gather(*futures)
        signing.close()

    asyncio.run(main())


@pytest.mark.parametrize("cpus", [1, 3])
def test_there_is_a_thread_for_each_cpu_that_may_be_used(
    cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)

    async def main() -> None:
        signing = SigningThreads(Signer())
        await asyncio.gather(*[signing.sign("/", body(n)) for n in range(100)])
        assert len(threads()) <= cpus
        signing.close()

    asyncio.run(main())


def test_whoever_is_cancelled_costs_the_others_nothing() -> None:
    async def main() -> None:
        signer = Signer()
        signing = SigningThreads(signer, 1)
        signer.hold.clear()

        async def call(number: int) -> str:
            return (await signing.sign("/", body(number)))["signed"]

        tasks = [asyncio.create_task(call(n)) for n in range(30)]
        while not signer.bodies:
            await asyncio.sleep(0)
        for task in tasks[::2]:  # the one that is being signed is among them
            task.cancel()
        await asyncio.sleep(0)
        signer.hold.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
        assert done[1::2] == [body(n).decode() for n in range(1, 30, 2)]
        # Nobody waits for these any more: no signature is made for them.
        assert len(signer.bodies) == 16
        signing.close()

    asyncio.run(main())


def test_closing_while_some_are_signed_leaves_nobody_waiting_and_no_thread() -> None:
    async def main() -> None:
        signer = Signer()
        signing = SigningThreads(signer, 2)
        signer.hold.clear()
        futures = [signing.sign("/", body(n)) for n in range(50)]
        while len(signer.bodies) < 2:
            await asyncio.sleep(0)
        threading.Timer(0.05, signer.hold.set).start()
        signing.close()
        assert threads() == []
        done = await asyncio.gather(*futures, return_exceptions=True)
        signed = [one for one in done if not isinstance(one, BaseException)]
        refused = [one for one in done if isinstance(one, UsageError)]
        assert (len(signed), len(refused)) == (2, 48)
        assert "closed" in str(refused[0])
        # Whoever comes later is not kept waiting: the connections refuse the call.
        assert (await signing.sign("/", b"late"))["signed"] == "late"
        signing.close()
        assert threads() == []

    asyncio.run(main())


def test_a_failure_is_raised_to_the_one_who_waits_for_it_without_the_body() -> None:
    class Panic(BaseException):
        """What a library in another language raises when it breaks."""

    async def main() -> None:
        signer = Signer()
        signing = SigningThreads(signer, 2)
        for count in (1, 20):
            for error in (ValueError("Digest too large for key size."), Panic("broken")):
                signer.fails = error
                futures = [signing.sign("/", body(n)) for n in range(count)]
                for future in futures:
                    with pytest.raises(type(error)) as caught:
                        await future
                    trace = caught.value.__traceback__
                    while trace is not None:
                        name = trace.tb_frame.f_code.co_filename
                        if name != __file__:
                            assert TOKEN not in repr(trace.tb_frame.f_locals)
                        trace = trace.tb_next
                    gc.collect()
        signer.fails = None
        assert (await signing.sign("/", b"next"))["signed"] == "next"
        signing.close()

    asyncio.run(main())


def test_where_no_thread_can_be_started_the_loop_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        signer = Signer()
        signing = SigningThreads(signer, 2)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            await asyncio.gather(*[signing.sign("/", body(n)) for n in range(30)])
            assert len(signer.bodies) == 30
        await asyncio.gather(*[signing.sign("/", body(n)) for n in range(30)])
        assert len(signer.bodies) == 60
        signing.close()
        assert threads() == []

    asyncio.run(main())


def test_another_event_loop_is_signed_for_by_itself_and_closes_nothing() -> None:
    signer = Signer()
    signing = SigningThreads(signer, 2)

    async def use() -> None:
        await asyncio.gather(*[signing.sign("/", body(n)) for n in range(30)])

    async def main() -> None:
        await use()
        await asyncio.to_thread(lambda: asyncio.run(use()))

        async def close() -> None:
            signing.close()

        before = threads()
        await asyncio.to_thread(lambda: asyncio.run(close()))
        assert threads() == before != []
        await use()
        assert len(signer.bodies) == 90
        await use()

    asyncio.run(main())
    asyncio.run(use())  # its own one is closed by now
    signing.close()
    assert threads() == []


def test_the_threads_end_with_a_client_that_nobody_closes() -> None:
    async def main() -> Any:
        signing = SigningThreads(Signer(), 2)
        await asyncio.gather(*[signing.sign("/", body(n)) for n in range(30)])
        await asyncio.sleep(0)
        return ref(signing)

    def nobody_has_it() -> bool:
        gc.collect()
        return gone() is None

    gone = asyncio.run(main())
    asyncio.run(until(nobody_has_it))  # a thread may be at the end of its work still
    asyncio.run(until(lambda: threads() == []))


PROGRAM = """
import asyncio, os, sys, threading
from promomsg.channels.alipay_signing import SigningThreads

class Signer:
    def content(self, path, body):
        return "now", body

    def sign(self, content):
        return content

    def headers(self, time, signature):
        return {"signed": signature.decode()}

signing = SigningThreads(Signer(), 2)

async def use():
    return await asyncio.gather(*[signing.sign("/", b"x") for _ in range(300)])

async def leave_some():
    await use()
    signing.sign("/", b"x"), [signing.sign("/", b"x") for _ in range(300)]
    await asyncio.sleep(0)

asyncio.run(leave_some())
child = os.fork()
if child == 0:
    assert len(asyncio.run(use())) == 300
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("end", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_and_the_end_of_the_process_wait_for_no_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
