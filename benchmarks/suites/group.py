"""`group`: a million promoters in balanced groups, each with a failure file."""

from __future__ import annotations

from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.suites.rounds import figures, rounds

__all__ = ["run"]

FAIL_SHARE = 0.15
"""Over a thousand of a group's 10,000, so that the failures come as a file."""


def run(session: Session) -> Result:
    """Runs it."""
    promoters = session.options.scaled(1_000_000, least=20_000)
    runs = {
        "groups": lambda: session.measure(
            "tasks.send_groups", messages=promoters, server={"fail_share": FAIL_SHARE}
        )
    }
    samples = rounds(session, "group", runs)["groups"]
    result = Result("group")
    rows = {}
    for part, what in (("all", "whole campaign"), ("plan", "planning"), ("sending", "sending")):
        each = [sample.parts[part] for sample in samples]
        rows[what, "s"] = [reading.wall for reading in each]
        rows[f"{what}, CPU a recipient", "µs"] = [r.cpu / promoters * 1e6 for r in each]
    rows["peak memory", "MB"] = [sample.peak_mb for sample in samples]
    rows["groups", "calls"] = [sample.figures["groups"] for sample in samples]
    rows["failures named in files", "recipients"] = [sample.figures["failed"] for sample in samples]
    result.tables.append(figures(f"{promoters:,} promoters, SQLite power", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    result.notes.append(
        "outside the clock: imports and the responder; inside: the making of the ids, while they are read"
    )
    return result
