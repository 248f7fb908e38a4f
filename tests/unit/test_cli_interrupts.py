"""Ctrl-C, SIGTERM and SIGHUP: a request at first, in the middle of work and at a question."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from unittest import mock

import anyio
import pytest
from waiting import real_time

from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.errors import UsageError


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """This process keeps its signal handlers; after an interrupt `run_async` leaves its own."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def soon(number: int) -> None:
    """This process gets a signal in a moment."""
    threading.Timer(0.02, os.kill, (os.getpid(), number)).start()


def typing(text: str) -> Callable[[], None]:
    """Puts text where the terminal would; returns what puts it back."""
    here, there = os.pipe()
    os.write(there, text.encode())
    file = os.fdopen(here)
    patch = mock.patch.object(sys, "stdin", file)
    patch.start()

    def end() -> None:
        patch.stop()
        file.close()
        os.close(there)

    return end


def test_work_that_ends_or_fails_is_passed_on() -> None:
    async def good() -> int:
        return 7

    async def bad() -> int:
        raise UsageError("no")

    assert run_async(lambda interrupts: interrupts.unless(good())) == 7
    with pytest.raises(UsageError, match="no"):
        run_async(lambda interrupts: interrupts.unless(bad()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_work_that_nothing_depends_on(number: int) -> None:
    cleaned = []

    async def endless() -> int:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(True)
        return 0

    async def work(interrupts: Interrupts) -> int:
        soon(number)
        return await interrupts.unless(endless())

    with pytest.raises(Interrupted):
        run_async(work)
    assert cleaned == [True]


@pytest.mark.parametrize(
    ("text", "said"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("sure\n", False)],
)
def test_anything_but_yes_is_no(text: str, said: bool, capsys: pytest.CaptureFixture[str]) -> None:
    end = typing(text)
    try:
        assert run_async(lambda interrupts: _ask(interrupts)) == said
    finally:
        end()
    assert capsys.readouterr().err == "really? [y/N]: "


async def _ask(interrupts: Interrupts) -> int:
    return int(await interrupts.ask("really?"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_question_is_no_answer(number: int) -> None:
    async def work(interrupts: Interrupts) -> int:
        soon(number)
        with pytest.raises(Interrupted):
            await interrupts.ask("really?")
        await real_time(0.01)
        return int(interrupts.asked)

    end = typing("")
    try:
        assert run_async(work) == 1
    finally:
        end()


def test_a_signal_right_before_the_question_is_seen() -> None:
    async def work(interrupts: Interrupts) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            await interrupts.ask("really?")
        return 3

    end = typing("y\n")
    try:
        assert run_async(work) == 3
    finally:
        end()


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [
        pytest.param((0.0, 0.0), [], id="GNU timeout's two"),
        pytest.param((0.0, 0.4, 0.9), [], id="within a second"),
        pytest.param((0.0, 1.1), [130], id="again"),
        pytest.param((0.0, 0.5, 3.0), [130], id="twice, and again"),
    ],
)
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_of_one_second_are_one_and_a_later_one_ends_the_process_at_once(
    second: int, seconds: tuple[float, ...], ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    now = [0.0]

    async def work(interrupts: Interrupts) -> int:
        for at in seconds:
            now[0] = at
            os.kill(os.getpid(), second if at else signal.SIGTERM)
            await real_time(0.02)
        return int(interrupts.asked)

    assert run_async(work, now=lambda: now[0]) == 1
    assert ended == ends


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("late", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_after_the_end_changes_no_status(interrupted: bool, late: int) -> None:
    async def work(interrupts: Interrupts) -> int:
        if interrupted:
            os.kill(os.getpid(), signal.SIGTERM)
            await interrupts.wait()
        return 130 if interrupts.asked else 4

    assert run_async(work) == (130 if interrupted else 4)
    os.kill(os.getpid(), late)


def test_a_hangup_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def work(interrupts: Interrupts) -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        await real_time(0.02)
        return int(interrupts.asked)

    assert run_async(work) == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
