"""`startup`: what the main classes cost to import beside their packages alone, and `--help`."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.machine import installed
from benchmarks.result import Result
from benchmarks.session import ROOT, Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures

__all__ = ["run"]

PACKAGES = "import aiohttp, httptools, msgspec, aiolimiter, anyio, sqlite3"
"""What the main classes use. anyio loads its parts when they are asked for, here and there."""
_CLASSES = (
    "WeChatPromoter", "AlipayMiniProgram", "WeChatMessage", "Recipient", "Campaign", "send",
    "Report", "Pace", "read_csv",
)  # fmt: skip
MAIN = "import promomsg; " + "; ".join(f"promomsg.{name}" for name in _CLASSES)
_TIMES = 4
"""Imports a round: one is short, and its median is steadier."""


def _import(code: str) -> float:
    """CPU seconds of some imports in a fresh process, its bytecode on the disk."""
    timed = f"import time; t = time.process_time(); {code}; print(time.process_time() - t)"
    # A machine that writes no bytecode would compile every file again, which no installed one does.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    output = subprocess.run(
        [sys.executable, "-c", timed],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(output.stdout)


def _help() -> float:
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from promomsg.cli import main; main()", "--help"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - begin


def run(session: Session) -> Result:
    """Runs it."""
    result = Result("startup")
    with_help = installed("click")
    if not with_help:
        result.notes.append("left out: promomsg --help (click not installed)")
    _import(PACKAGES), _import(MAIN)  # files into the cache, bytecode onto the disk
    alone: list[float] = []
    ours: list[float] = []
    shown: list[float] = []
    for _ in range(session.options.rounds * _TIMES):
        alone.append(_import(PACKAGES))
        ours.append(_import(MAIN))
        if with_help:
            shown.append(_help())
    rows = {
        ("import their packages alone", "CPU ms"): [value * 1e3 for value in alone],
        ("import the main classes", "CPU ms"): [value * 1e3 for value in ours],
    }
    if shown:
        rows["promomsg --help, the whole process", "ms"] = [value * 1e3 for value in shown]
    result.tables.append(figures("Start, in a fresh process each", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    result.judge("import", ratios(ours, alone))
    result.notes += [
        f"the main classes: {', '.join(_CLASSES)}",
        f"their packages: {PACKAGES.removeprefix('import ')}; cryptography is loaded with a "
        "wallet's keys, and is in neither",
        "outside the clock: the interpreter's own start; files and bytecode are in the cache",
    ]
    return result
