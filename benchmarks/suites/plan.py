"""`plan`: a CSV file to a planned journal, beside the least that one could do with its rows."""

from __future__ import annotations

from functools import partial

from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.stats import ratios
from benchmarks.suites.rounds import figures, rounds
from benchmarks.tasks.csv_file import write_csv

__all__ = ["run"]


def run(session: Session) -> Result:
    """Runs it."""
    count = session.options.scaled(1_000_000)
    path = session.folder / "recipients.csv"
    write_csv(path, count)
    result = Result("plan")
    kinds = {
        "one message for all": "plain",
        "a message with the recipient's name": "named",
    }
    runs = {
        "csv.reader + executemany": lambda: session.measure(
            "tasks.plan_baseline", messages=count, csv=str(path)
        )
    }
    for title, kind in kinds.items():
        runs[f"promomsg, {title}"] = partial(
            session.measure, "tasks.plan_promomsg", messages=count, csv=str(path), kind=kind
        )
    taken = rounds(session, "plan", runs)
    path.unlink()
    rows = {}
    for name, samples in taken.items():
        part = "plan" if "plan" in samples[0].parts else "all"
        rows[name, "s"] = [sample.parts[part].wall for sample in samples]
        rows[f"{name}, CPU a row", "µs"] = [s.parts[part].cpu / count * 1e6 for s in samples]
        rows[f"{name}, peak memory", "MB"] = [sample.peak_mb for sample in samples]
    result.tables.append(figures(f"{count:,} rows, SQLite, full sync", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    base = rows["csv.reader + executemany", "s"]
    plain = rows["promomsg, one message for all", "s"]
    result.judge("plan", ratios(plain, base), full=session.options.scale >= 1)
    result.compare(
        "the same with a name in the message, which makes each row a single send",
        ratios(rows["promomsg, a message with the recipient's name", "s"], base),
    )
    return result
