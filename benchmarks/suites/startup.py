"""`startup`: what an import costs beside its core packages, and how soon `--help` is there."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.machine import installed
from benchmarks.result import Result
from benchmarks.session import ROOT, Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures

__all__ = ["run"]

CORE = "aiohttp, msgspec, anyio, aiolimiter"
_TIMES = 4
"""Imports a round: one is short, and its median is steadier."""


def _import(names: str) -> float:
    code = f"import time; t = time.perf_counter(); import {names}; print(time.perf_counter() - t)"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
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
    _import(CORE), _import("promomsg")  # files into the cache, bytecode onto the disk
    core: list[float] = []
    ours: list[float] = []
    shown: list[float] = []
    for _ in range(session.options.rounds * _TIMES):
        core.append(_import(CORE))
        ours.append(_import("promomsg"))
        if with_help:
            shown.append(_help())
    rows = {
        (f"import {CORE}", "ms"): [value * 1e3 for value in core],
        ("import promomsg", "ms"): [value * 1e3 for value in ours],
    }
    if shown:
        rows["promomsg --help, the whole process", "ms"] = [value * 1e3 for value in shown]
    result.tables.append(figures("Start, in a fresh process each", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    result.judge("import", ratios(ours, core))
    return result
