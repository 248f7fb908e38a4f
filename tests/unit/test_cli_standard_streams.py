"""Standard output and error that never raise and never wait for ever."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from promomsg.cli.output import live_view, printing, progress, standard_streams, terminal_page
from promomsg.cli.output.standard_streams import (
    Outlet,
    drain_streams,
    guarded_streams,
    in_background,
)
from promomsg.standard_descriptors import open_standard_descriptors


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    here, there = os.pipe()
    try:
        yield here, there
    finally:
        for descriptor in (here, there):
            try:
                os.close(descriptor)
            except OSError:
                assert descriptor == here  # a reader that has left


@contextmanager
def stdout_on(outlet: Outlet, encoding: str = "utf-8") -> Iterator[io.TextIOWrapper]:
    stream = io.TextIOWrapper(io.BufferedWriter(outlet), encoding=encoding, errors="promomsg.plain")
    with mock.patch.object(sys, "stdout", stream), mock.patch.object(sys, "stderr", stream):
        yield stream
        stream.flush()


def reader_left(here: int, there: int) -> int:
    os.close(here)
    return there


def full_disk(here: int, there: int) -> int:
    return os.open("/dev/full", os.O_WRONLY)


def never_open(here: int, there: int) -> int:
    return 987_654


LOST = [
    pytest.param(reader_left, errno.EPIPE, id="reader left"),
    pytest.param(full_disk, errno.ENOSPC, id="full disk"),
    pytest.param(never_open, errno.EBADF, id="closed"),
]


@pytest.mark.parametrize(("kind", "number"), LOST)
def test_whatever_becomes_of_it_no_print_raises(
    kind: Callable[[int, int], int], number: int
) -> None:
    with pipe() as ends:
        descriptor = kind(*ends)
        outlet = Outlet(descriptor)
        with stdout_on(outlet):
            for _ in range(3):
                printing.print_line("客户 " * 10_000)
                printing.print_to_stderr("a note")
                printing.print_json({"a": 1})
            view = progress.PlainView(every=0.0)
            view.show(
                {"state": "sending", "reason": "", "groups": [], "planned": 2}
                | dict.fromkeys(
                    ("sent", "failed", "unknown", "pending", "skipped", "cancelled"), 0
                ),
                0,
            )
            status = printing.finish_output()
        assert outlet.lost is not None
        assert outlet.lost.errno == number
        assert status == 1
        if kind is full_disk:
            os.close(descriptor)


def test_what_arrives_is_whole_also_when_the_other_end_is_slow_or_not_blocking() -> None:
    text = "".join(f"{n:06d}" for n in range(50_000))
    with pipe() as (here, there):
        os.set_blocking(there, False)
        outlet = Outlet(there, most_waiting=None)
        got = bytearray()

        async def read() -> None:
            while len(got) < len(text):
                await asyncio.sleep(0)
                got.extend(await asyncio.to_thread(os.read, here, 4096))

        async def work() -> None:
            with in_background():
                reading = asyncio.ensure_future(read())
                printing.print_line(text)
                await drain_streams()
                await reading

        with stdout_on(outlet):
            asyncio.run(work())
        assert got[: len(text)].decode() == text
        assert outlet.lost is None


class Clock:
    """Ten seconds pass between two looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


@pytest.mark.parametrize("hasty", [False, True])
def test_a_terminal_that_hangs_holds_nothing_up(hasty: bool) -> None:
    """More than a pipe holds is printed at once, nobody reads, and the end comes all the same."""
    with pipe() as (_, there):
        outlet = Outlet(there)

        async def work() -> None:
            with in_background():
                for _ in range(200):
                    printing.print_to_stderr("x" * 4096)
                await drain_streams(unless=lambda: hasty, now=Clock())

        with stdout_on(outlet):
            asyncio.run(work())
            printing.print_to_stderr("after the end")
        assert outlet.dropped > 0
        assert outlet.lost is not None
        assert outlet.progress[0] == 0


def test_a_program_that_reads_our_output_is_waited_for() -> None:
    assert Outlet(1, most_waiting=None).hung_after is None
    assert Outlet(2).hung_after is not None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "gbk", "utf-8", "utf-16"])
def test_no_locale_makes_a_text_raise(encoding: str) -> None:
    """Also what no locale has: a lone surrogate of a file's name."""
    text = "客户 · … – ─ → é \udc80 \U0001f600"
    with pipe() as (here, there):
        with stdout_on(Outlet(there), encoding):
            printing.print_line(text)
        said = os.read(here, 65536).decode(encoding)
    assert "\\udc80" in said
    if encoding == "ascii":
        assert said == "\\u5ba2\\u6237 - ... - - -> \\xe9 \\udc80 \\U0001f600\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk", "utf-8"])
def test_json_is_utf8_in_any_locale(encoding: str) -> None:
    with pipe() as (here, there):
        with stdout_on(Outlet(there), encoding):
            printing.print_json({"name": "客户é"})
        assert os.read(here, 65536).decode("utf-8") == '{\n  "name": "客户é"\n}\n'


def test_streams_that_were_replaced_stay_and_those_that_are_missing_are_there() -> None:
    notebook = io.StringIO()
    with (
        mock.patch.object(sys, "stdin", None),
        mock.patch.object(sys, "stdout", notebook),
        mock.patch.object(sys, "stderr", None),
    ):
        with guarded_streams():
            print("shown")
            print("lost", file=sys.stderr, flush=True)
            assert sys.stdin.read() == ""
            assert not sys.stderr.isatty()
            lost = standard_streams.write_error_of(sys.stderr)
            assert lost is not None
            assert standard_streams.write_error_of(sys.stdout) is None
        assert (sys.stdin, sys.stdout, sys.stderr) == (None, notebook, None)
    assert notebook.getvalue() == "shown\n"


def test_descriptors_that_are_open_stay_as_they_are() -> None:
    assert open_standard_descriptors() == ()


def test_a_view_that_fails_is_replaced_by_plain_lines(tmp_path: Path) -> None:
    class Broken:
        def show(self, *_: object) -> None:
            raise RuntimeError("no such terminal")

        def close(self) -> None:
            raise RuntimeError("nor its end")

    view = live_view.FallbackView(Broken)
    document = {"state": "sending", "reason": "", "groups": [], "planned": 1} | dict.fromkeys(
        ("sent", "failed", "unknown", "pending", "skipped", "cancelled"), 0
    )
    for _ in range(3):
        view.show(document, 0)
    view.close()

    def none() -> progress.View:
        raise RuntimeError("no terminal at all")

    live_view.FallbackView(none).show(document, 0)


@pytest.mark.parametrize(
    ("terminal", "environment", "drawable"),
    [
        (True, {"TERM": "xterm-256color"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "unknown"}, False),
        (True, {"TERM": ""}, False),
        (True, {}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_only_a_terminal_that_can_redraw_is_redrawn(
    terminal: bool, environment: dict[str, str], drawable: bool
) -> None:
    assert terminal_page.is_drawable(terminal, environment) is drawable
