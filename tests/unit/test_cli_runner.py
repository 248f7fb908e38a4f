"""Ctrl-C and SIGTERM: a wish at first, in the middle of work and at a question."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from unittest import mock

import anyio
import pytest

from promomsg.cli.runner import Interrupted, Interrupts, run_async
from promomsg.errors import UsageError


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_question_is_no_answer(number: int) -> None:
    async def work(interrupts: Interrupts) -> int:
        soon(number)
        with pytest.raises(Interrupted):
            await interrupts.ask("really?")
        await anyio.sleep(0.01)
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


def test_the_second_signal_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)

    async def work(interrupts: Interrupts) -> int:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep(0.02)
        return 0

    run_async(work)
    assert ended == [130]
