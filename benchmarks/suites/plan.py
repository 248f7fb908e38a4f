"""`plan`: a CSV file to a planned journal, beside the least that one could do with its rows; and the
memory that a Parquet file takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from benchmarks.child import Sample
from benchmarks.machine import installed
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures, rounds
from benchmarks.tasks.csv_file import write_csv, write_parquet

__all__ = ["run"]


class _List(NamedTuple):
    """A list to plan: its title, how its file is written, the message, and the bar it has."""

    title: str
    written: dict[str, Any]
    kind: str
    bar: str | None


_LISTS: Final = (
    _List("one text, sorted", {}, "plain", None),
    _List("one text, shuffled", {"shuffled": True}, "plain", "plan"),
    _List("each another name", {"names": 10**9}, "named", "plan-named"),
)
_BASE: Final = "csv.reader + executemany + a sort check"
_BASE_NOTE: Final = (
    "the baseline's table has no index but its primary key, the row's number; one GROUP BY at the end "
    "looks for a key that is there twice"
)
_PARQUET: Final = "promomsg, Parquet: each another name"
_WITHOUT_NUMPY: Final = f"{_PARQUET}, without numpy"
"""As `pip install promomsg[files]` leaves it: pyarrow loads numpy only where it is installed."""


def run(session: Session) -> Result:
    """Runs it: for each list the baseline, then promomsg, in turn."""
    count = session.options.scaled(1_000_000)
    result = Result("plan")
    runs: dict[str, Callable[[], Sample]] = {}
    paths = []
    for number, one in enumerate(_LISTS):
        path = session.folder / f"recipients-{number}.csv"
        write_csv(path, count, **one.written)
        paths.append(path)
        measured = partial(session.measure, messages=count, file=str(path))
        runs[f"{_BASE}: {one.title}"] = partial(measured, "tasks.plan_baseline")
        runs[f"promomsg: {one.title}"] = partial(measured, "tasks.plan_promomsg", kind=one.kind)
    if installed("pyarrow"):
        paths.append(path := session.folder / "recipients.parquet")
        write_parquet(path, count)
        planned = partial(
            session.measure, "tasks.plan_promomsg", messages=count, file=str(path), kind="named"
        )
        runs[_PARQUET] = planned
        if installed("numpy"):
            runs[_WITHOUT_NUMPY] = partial(planned, without_numpy=True)
    else:
        result.notes.append("left out: Parquet (pyarrow not installed)")
    taken = rounds(session, "plan", runs)
    for path in paths:
        path.unlink()
    rows = {}
    for name, samples in taken.items():
        rows[name, "s"] = [sample.parts["plan"].wall for sample in samples]
        rows[f"{name}, CPU a row", "µs"] = [s.parts["plan"].cpu / count * 1e6 for s in samples]
        rows[f"{name}, peak memory", "MB"] = [sample.peak_mb for sample in samples]
        if "imports_mb" in samples[0].figures and name in (
            _PARQUET,
            _WITHOUT_NUMPY,
            f"promomsg: {_LISTS[-1].title}",
        ):
            own = [sample.figures["imports_mb"] for sample in samples]
            rows[f"{name}, of it before planning", "MB"] = own
    result.tables.append(figures(f"{count:,} rows, SQLite, full sync", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    for one in _LISTS:
        ours, base = f"promomsg: {one.title}", f"{_BASE}: {one.title}"
        cpu = ratios(rows[f"{ours}, CPU a row", "µs"], rows[f"{base}, CPU a row", "µs"])
        if one.bar is None:
            result.compare(f"planning a CSV file, {one.title} ÷ {_BASE}, CPU", cpu)
        else:
            result.judge(one.bar, cpu, full=session.options.scale >= 1)
        result.compare(
            f"the same in seconds, {one.title}", ratios(rows[ours, "s"], rows[base, "s"])
        )
    if _PARQUET in taken:
        full = session.options.scale >= 1
        result.judge("plan-parquet", [sample.peak_mb for sample in taken[_PARQUET]], full=full)
    if _WITHOUT_NUMPY in taken:
        peaks = [sample.peak_mb for sample in taken[_WITHOUT_NUMPY]]
        result.compare("the same without numpy, as promomsg[files] is installed, MB", peaks)
    result.notes += [
        _BASE_NOTE,
        "outside the clock: imports and the making of the file",
    ]
    return result
