"""What a suite found: tables for people, samples for programs, bars judged."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.bars import BARS
from benchmarks.stats import summary

__all__ = ["Chart", "Judged", "Result", "Table"]


class Table(msgspec.Struct):
    """A table; its first column is text, the others are formatted already."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class Judged(msgspec.Struct):
    """One measured ratio or figure, and its bar; `samples` has one value a round."""

    what: str
    samples: list[float]
    median: float
    low: float
    high: float
    bar: str
    met: bool | None


class Chart(msgspec.Struct):
    """A bar chart: label, median, lowest and highest of each bar; shorter is better."""

    title: str
    unit: str
    bars: list[tuple[str, float, float, float]]


class Result(msgspec.Struct):
    """One suite's result.

    Attributes:
        samples: name of a figure (with its unit) to one value a round.
        notes: what a reader must know to read the figures right.
    """

    suite: str
    tables: list[Table] = []
    judged: list[Judged] = []
    charts: list[Chart] = []
    samples: dict[str, list[float]] = {}
    notes: list[str] = []

    def judge(self, key: str, samples: Sequence[float], *, full: bool = True) -> None:
        """Adds a figure with its bar.

        Args:
            full: whether it was measured at the size that the bar is about; else it is not judged.
        """
        bar = BARS[key]
        values = summary(samples)
        met = bar.met(values.median) if full else None
        self.judged.append(
            Judged(bar.what, list(samples), values.median, values.low, values.high, bar.text(), met)
        )

    def compare(self, what: str, samples: Sequence[float]) -> None:
        """Adds a ratio that has no bar."""
        values = summary(samples)
        self.judged.append(
            Judged(what, list(samples), values.median, values.low, values.high, "", None)
        )
