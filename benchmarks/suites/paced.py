"""`paced`: what a message costs at a pace, how often the disk is synced, and whether a quota holds
through slow handshakes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures, rounds

__all__ = ["run", "syncs_between"]

RATES = (500, 50)
SECONDS = 20
UNPACED = 20_000

QUOTAS = (50, 500, 10_000)
QUOTA_SECONDS = 6
HANDSHAKE = 0.6
HOLD = 10.0
IDLE = 4.0
"""Seconds after which the server closes a connection, so that none outlives the hold."""

_SYNCS = "fsync,fdatasync,msync,sync_file_range,syncfs,sync"


def run(session: Session) -> Result:
    """Runs it."""
    result = Result("paced")
    _costs(session, result)
    _syncs(session, result)
    _windows(session, result)
    result.notes.append(
        "outside the clock of a message: imports and planning, paced and unpaced alike"
    )
    return result


def _costs(session: Session, result: Result) -> None:
    seconds = max(1, round(SECONDS * session.options.scale))
    sizes = {0: session.options.scaled(UNPACED)} | {rate: rate * seconds for rate in RATES}

    def at(rate: int) -> Callable[[], Sample]:
        return lambda: session.measure("tasks.send_at_pace", messages=sizes[rate], rate=rate)

    taken = rounds(session, "paced", {_name(rate): at(rate) for rate in sizes})
    rows, costs = {}, {}
    for (rate, size), samples in zip(sizes.items(), taken.values(), strict=True):
        costs[rate] = [sample.parts["sending"].cpu / size * 1e6 for sample in samples]
        rows[f"{_name(rate)}: CPU a message", "µs"] = costs[rate]
        rows[f"{_name(rate)}: sleeps of threads a message", "sleeps"] = [
            sample.figures["sleeps"] / size for sample in samples
        ]
    title = f"{seconds} s of sending, SQLite power; unpaced {sizes[0]:,} messages"
    result.tables.append(figures(title, rows))
    result.samples |= {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    full = session.options.scale >= 1
    for rate in RATES:
        result.judge(f"paced-{rate}", ratios(costs[rate], costs[0]), full=full)


def _name(rate: int) -> str:
    return f"{rate:,} a second" if rate else "unpaced"


def _traces() -> bool:
    """Whether strace is there and may trace."""
    strace = shutil.which("strace")
    if strace is None:
        return False
    tried = subprocess.run([strace, "-f", "-o", "/dev/null", "true"], capture_output=True)
    return tried.returncode == 0


def _syncs(session: Session, result: Result) -> None:
    """Counts the calls of the process that make a disk write, while it sends 50 a second."""
    if not _traces():
        result.notes.append("left out: disk syncs (strace is not installed, or may not trace)")
        return
    seconds = max(2, round(SECONDS * session.options.scale))
    counts: list[float] = []
    for _ in range(session.options.rounds):
        trace = session.folder / "syncs.txt"
        sample = session.measure(
            "tasks.send_at_pace",
            messages=50 * seconds,
            rate=50,
            under=("strace", "-f", "-ttt", "-e", f"trace={_SYNCS}", "-o", str(trace)),
        )
        began, ended = sample.figures["began"], sample.figures["ended"]
        counts.append(syncs_between(trace, began, ended) / (ended - began))
        trace.unlink()
    result.samples["disk syncs at 50 a second: a second"] = counts
    result.judge("paced-syncs", counts, full=seconds >= 10)


def syncs_between(trace: Path, begin: float, end: float) -> int:
    """Calls that strace saw begin in that time: `PID TIME call(…`."""
    begun = re.findall(r"^\d+ +(\d+\.\d+) \w+\(", trace.read_text(), re.MULTILINE)
    return sum(begin <= float(time) <= end for time in begun)


def _windows(session: Session, result: Result) -> None:
    seconds = max(1.0, QUOTA_SECONDS * session.options.scale)

    def at(rate: int) -> Callable[[], Sample]:
        def once() -> Sample:
            sample = session.measure(
                "tasks.send_at_pace",
                messages=round(rate * seconds),
                tls=True,
                server={"handshake": HANDSHAKE, "idle": IDLE},
                rate=rate,
                pause=HOLD,
            )
            seen = session.responder.ask("counts", quota=rate, seconds=1)
            sample.figures |= {"worst": seen["worst"], "over": seen["over"]}
            return sample

        return once

    taken = rounds(session, "paced", {f"a quota of {rate:,}": at(rate) for rate in QUOTAS})
    rows = {}
    for name, samples in taken.items():
        rows[f"{name}: fullest second", "calls"] = [sample.figures["worst"] for sample in samples]
        rows[f"{name}: windows over", "windows"] = [sample.figures["over"] for sample in samples]
    title = f"handshakes of {HANDSHAKE * 1e3:g} ms, at the start and after a pause of {HOLD:g} s"
    result.tables.append(figures(title, rows))
    result.samples |= {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    over = [[sample.figures["over"] for sample in samples] for samples in taken.values()]
    # In less time no more is sent than the quota of a second, and no window could be over it.
    full = session.options.scale >= 1
    result.judge("paced-over", [max(now) for now in zip(*over, strict=True)], full=full)
