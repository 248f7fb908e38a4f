"""`memory` and `grow`: what ten times and a hundred times as many recipients cost each."""

from __future__ import annotations

from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures, rounds

__all__ = ["grow", "memory"]

SIZES = (10_000, 100_000, 1_000_000)


def _samples(session: Session) -> dict[int, list[Sample]]:
    """One measurement serves both suites."""
    sizes = [session.options.scaled(size, least=size // 500) for size in SIZES]
    if not session.kept(f"sizes {sizes[-1]}"):
        runs = {
            f"{size:,} recipients": lambda size=size: session.measure(
                "contenders.promomsg_engine", messages=size, warm_up=500, journal="power"
            )
            for size in sizes
        }
        taken = rounds(session, "sizes", runs)
        for size, samples in zip(sizes, taken.values(), strict=True):
            session.kept(f"sizes {size}").extend(samples)
    return {size: session.kept(f"sizes {size}") for size in sizes}


def memory(session: Session) -> Result:
    """Peak memory by size."""
    taken = _samples(session)
    peaks = [[sample.peak_mb for sample in samples] for samples in taken.values()]
    rows = {(f"{size:,} recipients", "MB"): peak for size, peak in zip(taken, peaks, strict=True)}
    result = Result("memory")
    result.tables.append(figures("Peak resident memory, singles, SQLite power", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    full = session.options.scale >= 1
    growth = [big - middle for big, middle in zip(peaks[2], peaks[1], strict=True)]
    result.judge("memory-growth", growth, full=full)
    result.judge("memory-all", peaks[2], full=full)
    result.notes.append(
        "the peak is of the whole process, its imports and a warm-up of 500 included"
    )
    return result


def grow(session: Session) -> Result:
    """Cost a recipient by size."""
    taken = _samples(session)
    rows = {}
    for size, samples in taken.items():
        for part, what in (("all", "in all"), ("plan", "planning"), ("sending", "sending")):
            rows[f"{size:,} recipients, {what}", "µs CPU"] = [
                sample.parts[part].cpu / size * 1e6 for sample in samples
            ]
    result = Result("grow")
    result.tables.append(figures("CPU a recipient, singles, SQLite power", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    costs = [rows[f"{size:,} recipients, in all", "µs CPU"] for size in taken]
    result.judge("grow", ratios(costs[2], costs[0]), full=session.options.scale >= 1)
    result.notes.append("outside the clock: imports, and 500 messages to warm up")
    return result
