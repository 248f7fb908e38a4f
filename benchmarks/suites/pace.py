"""`pace`: how much of a quota is used, and whether any window is over it, counted at the server."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.suites.rounds import figures, rounds

__all__ = ["run"]

RATES = (10, 100, 2_000)
SECONDS = 10


def run(session: Session) -> Result:
    """Runs it."""
    seconds = max(2, round(SECONDS * session.options.scale))

    def at(rate: int) -> Callable[[], Sample]:
        def once() -> Sample:
            messages = rate * seconds
            sample = session.measure("tasks.send_at_pace", messages=messages, rate=rate)
            seen = session.responder.ask("counts", quota=rate, seconds=1)
            # n arrivals at exactly the rate span n − 1 intervals.
            used = (messages - 1) / (seen["last"] - seen["first"]) / rate
            sample.figures |= {"used": used, "worst": seen["worst"], "over": seen["over"]}
            return sample

        return once

    taken = rounds(session, "pace", {f"{rate} a second": at(rate) for rate in RATES})
    rows = {}
    for name, samples in taken.items():
        rows[f"{name}: used", "of the quota"] = [sample.figures["used"] for sample in samples]
        rows[f"{name}: fullest second", "calls"] = [sample.figures["worst"] for sample in samples]
        rows[f"{name}: windows over", "windows"] = [sample.figures["over"] for sample in samples]
    result = Result("pace")
    result.tables.append(figures(f"{seconds} seconds at each rate, sliding windows of 1 s", rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    each = [[sample.figures for sample in samples] for samples in taken.values()]
    result.judge(
        "pace-over", [max(max(run_figures["over"] for run_figures in run) for run in each)]
    )
    result.judge(
        "pace-used",
        [min(run_figures["used"] for run_figures in now) for now in zip(*each, strict=True)],
    )
    result.notes.append(
        "counted at the server, from its first call to its last; nothing of the client is timed"
    )
    return result
