"""The rounds of suites that compare a few measured modules, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.child import Sample
from benchmarks.result import Table
from benchmarks.session import Session
from benchmarks.stats import summary

__all__ = ["figures", "rounds"]


def rounds(
    session: Session, suite: str, runs: Mapping[str, Callable[[], Sample]]
) -> dict[str, list[Sample]]:
    """Runs A B C, A B C, … and returns the samples of each, in order of the rounds."""
    taken: dict[str, list[Sample]] = {name: [] for name in runs}
    total = session.options.rounds
    for number in range(1, total + 1):
        for name, run in runs.items():
            sample = run()
            taken[name].append(sample)
            seconds = sample.parts["all"]
            session.say(
                f"{suite} {number}/{total} {name}: {seconds.cpu:.2f} s CPU, {seconds.wall:.2f} s"
            )
    return taken


def figures(title: str, rows: Mapping[tuple[str, str], list[float]]) -> Table:
    """A table of figures: (what, unit) to one value a round."""
    cells = []
    for (what, unit), samples in rows.items():
        middle = summary(samples)
        cells.append(
            [
                what,
                f"{middle.median:,.3g}" if middle.median < 1000 else f"{middle.median:,.0f}",
                f"{middle.low:,.3g} to {middle.high:,.3g}"
                if middle.high < 1000
                else f"{middle.low:,.0f} to {middle.high:,.0f}",
                f"{middle.spread:.0%}",
                unit,
            ]
        )
    return Table(title, ["what", "median", "lowest to highest", "spread", "unit"], cells)
