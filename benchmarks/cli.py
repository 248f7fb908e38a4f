"""The command: `python -m benchmarks [SUITE…]`. It installs nothing and needs no network."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.contenders import CONTENDERS
from benchmarks.machine import disk_of, facts, installed
from benchmarks.picture import KINDS, draw
from benchmarks.result import Result
from benchmarks.session import Options, Session
from benchmarks.suites import SUITES
from benchmarks.table import markdown, render_result

__all__ = ["main", "parse"]

_FEW = 5
"""Rounds under which a median is no claim."""


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("a whole number of 1 or more")
    return value


def _scale(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError("a number over 0, like 0.01")
    return value


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in KINDS:
        raise argparse.ArgumentTypeError(f"{text}: the picture ends in .svg or .png")
    if path.suffix == ".png" and not installed("matplotlib"):
        raise argparse.ArgumentTypeError(
            f"{text}: a PNG needs matplotlib, which is not installed; name it .svg instead"
        )
    return _file(text)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.resolve().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no such folder")
    return path


def _contenders(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    strange = [name for name in names if name not in CONTENDERS]
    if strange or not names:
        raise argparse.ArgumentTypeError(
            f"no contender {', '.join(strange) or 'named'}; there are {', '.join(CONTENDERS)}"
        )
    return names


def _suite(text: str) -> str:
    if text != "all" and text not in SUITES:
        raise argparse.ArgumentTypeError(f"no suite {text!r}; there are all, {', '.join(SUITES)}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures promomsg beside other ways to send, against a responder of its own "
        "on this machine. Everything that is not installed is left out and named.",
    )
    add = parser.add_argument
    add(
        "suites",
        nargs="*",
        type=_suite,
        metavar="SUITE",
        help=f"all, {', '.join(SUITES)}; default fanout",
    )
    add("--rounds", type=_whole, default=5, metavar="N", help="how often each runs; default 5")
    add(
        "--messages",
        type=_whole,
        default=20_000,
        metavar="N",
        help="messages of fanout; default 20000",
    )
    add(
        "--scale",
        type=_scale,
        default=1.0,
        metavar="X",
        help="multiplies the sizes of the other suites; 0.01 for a quick look",
    )
    add("--concurrency", type=_whole, default=64, metavar="N", help="in flight; default 64")
    add(
        "--loop",
        choices=("asyncio", "uvloop", "both"),
        help="default: uvloop when it is installed",
    )
    add(
        "--only",
        type=_contenders,
        default=(),
        metavar="NAME,…",
        help=f"contenders of fanout: {', '.join(CONTENDERS)}",
    )
    add("--json", type=_file, metavar="FILE", help="writes every sample there")
    add("--markdown", type=_file, metavar="FILE", help="writes the tables there as Markdown")
    add("--plot", type=_picture, metavar="FILE", help="draws a picture: .svg, or .png")
    add("--folder", type=Path, help="where journals are written; default: the temporary folder")
    return parser


def parse(arguments: Sequence[str] | None) -> tuple[list[str], Options, argparse.Namespace]:
    """The suites to run, their options, and where the results go. Exits with 2 when wrong."""
    parser = _parser()
    told = parser.parse_args(arguments)
    if told.loop in ("uvloop", "both") and not installed("uvloop"):
        parser.error("--loop: uvloop is not installed")
    if told.folder is not None and not told.folder.is_dir():
        parser.error(f"--folder {told.folder}: there is no such folder")
    fast = "uvloop" if installed("uvloop") else "asyncio"
    loops = ("uvloop", "asyncio") if told.loop == "both" else (told.loop or fast,)
    suites = list(SUITES) if "all" in told.suites else list(dict.fromkeys(told.suites))
    options = Options(
        rounds=told.rounds,
        messages=told.messages,
        scale=told.scale,
        concurrency=told.concurrency,
        loops=loops,
        only=told.only,
        folder=str(told.folder or ""),
    )
    return suites or ["fanout"], options, told


def _told(machine: dict[str, Any]) -> str:
    client, other = machine["client_core"], machine["responder_core"]
    where = (
        "client and responder share the cores"
        if client is None
        else f"client on core {client}, responder on core {other}"
    )
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['disk']}; "
        f"Python {machine['python']}; {packages}; {where}."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, prints, writes. Returns 0 when everything could be measured, met or not."""
    suites, options, told = parse(arguments)
    results: list[Result] = []
    with Session(options) as session:
        machine = facts(session.folder)
        if disk_of(session.folder) in ("tmpfs", "ramfs"):
            session.say("note: journals are in memory here; --folder names a real disk")
        print(_told(machine) + "\n")
        for name in suites:
            began = time.monotonic()
            result = SUITES[name](session)
            if options.rounds < _FEW:
                result.notes.append(f"{options.rounds} rounds are a look, not a claim: take 5")
            if name not in ("fanout", "pace", "startup", "doubt") and options.scale < 1:
                result.notes.append(f"sizes × {options.scale:g}: its bars are not judged here")
            print(render_result(result), flush=True)
            session.say(f"{name} took {time.monotonic() - began:.0f} s")
            results.append(result)
    if told.json:
        document = {"machine": machine, "options": options, "results": results}
        told.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    if told.markdown:
        pages = "\n".join(markdown(result) for result in results)
        told.markdown.write_text(f"{_told(machine)}\n\n{pages}", encoding="utf-8")
    charts = [chart for result in results for chart in result.charts]
    if told.plot and charts:
        draw(charts, told.plot)
    elif told.plot:
        print("no picture: of these suites none has one (fanout has)", file=sys.stderr)
    return 0
