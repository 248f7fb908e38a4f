"""Medians, spreads, and ratios taken within a round, where a drifting machine cancels out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Summary", "ratios", "summary"]


class Summary(NamedTuple):
    """What a row of samples comes to; `spread` is (highest − lowest) ÷ median."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        return (self.high - self.low) / self.median if self.median else 0.0


def summary(samples: Sequence[float]) -> Summary:
    """Median, lowest and highest.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples to summarise")
    return Summary(statistics.median(samples), min(samples), max(samples), len(samples))


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """One ratio a round: both sides of each ran next to each other.

    Raises:
        ValueError: the sides have not run the same number of rounds.
    """
    if len(above) != len(below):
        raise ValueError(f"{len(above)} rounds over {len(below)}: they were not run together")
    return [a / b for a, b in zip(above, below, strict=True)]
