"""`campaigns`: many campaigns on one client; do they advance together?"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.child import Sample
from benchmarks.result import Result
from benchmarks.session import Session
from benchmarks.suites.rounds import figures, rounds

__all__ = ["run"]

CAMPAIGNS = 100
EACH = 1_000
UNEQUAL = (2_000, 20_000)
DELAY = 0.03


def run(session: Session) -> Result:
    """Runs it."""
    equal = [session.options.scaled(EACH, least=10)] * session.options.scaled(CAMPAIGNS, least=4)
    unequal = [session.options.scaled(size, least=10) for size in UNEQUAL]

    def of(sizes: list[int], delay: float) -> Callable[[], Sample]:
        return lambda: session.measure("tasks.send_campaigns", sizes=sizes, server={"delay": delay})

    instant, slow, two = "instant answers", f"{DELAY * 1e3:g} ms answers", "one ten times as large"
    runs = {instant: of(equal, 0.0), slow: of(equal, DELAY), two: of(unequal, DELAY)}
    taken = rounds(session, "campaigns", runs)
    result = Result("campaigns")
    rows = {}
    for name in (instant, slow):
        samples = taken[name]
        rows[f"{name}: the median one ends", "s"] = [s.figures["median"] for s in samples]
        rows[f"{name}: the last one ends", "s"] = [s.figures["last"] for s in samples]
    rows[f"{two}: its calls for each of the small one, until that ends", "calls"] = [
        sample.figures["share"] for sample in taken[two]
    ]
    title = f"{len(equal)} equal campaigns of {equal[0]:,} on one client, and two that are not"
    result.tables.append(figures(title, rows))
    result.samples = {f"{what}: {unit}": values for (what, unit), values in rows.items()}
    full = session.options.scale >= 1
    pairs = [
        [sample.figures["last"] / sample.figures["median"] for sample in taken[name]]
        for name in (instant, slow)
    ]
    result.judge("campaigns-end", [max(now) for now in zip(*pairs, strict=True)], full=full)
    unbegun = [[s.figures["unbegun"] for s in taken[name]] for name in (instant, slow)]
    result.judge("campaigns-unbegun", [max(now) for now in zip(*unbegun, strict=True)], full=full)
    result.notes.append("all are planned before the first one sends; then they start together")
    result.notes.append("outside the clock: imports and planning")
    return result
