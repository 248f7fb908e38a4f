"""How many outcomes came in which stretch of time: what a chart of a campaign is drawn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from promomsg.model import State

__all__ = ["EMPTY", "Timeline", "step_between", "stretches_of", "timeline_of"]

_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_DAY: Final = 86_400


class Timeline(msgspec.Struct, frozen=True):
    """Outcomes by time.

    Attributes:
        step: seconds of one stretch.
        stretches: (Unix seconds at which it begins, state, how many), in order of time; one in which
            nothing happened is left out.
    """

    step: int
    stretches: tuple[tuple[int, State, int], ...] = ()


EMPTY: Final = Timeline(1)


def step_between(first: float, last: float, most: int) -> int:
    """Seconds of a stretch that a person reads easily, so that there are `most` of them, or fewer."""
    wanted = max(last - first, 0.0) / max(most - 1, 1)
    for step in _STEPS:
        if step >= wanted:
            return step
    return _DAY * math.ceil(wanted / _DAY)


def stretches_of(rows: Iterable[tuple[int, State, int]], step: int) -> Timeline:
    """The timeline of (number of the stretch, state, how many)."""
    return Timeline(step, tuple(sorted((int(n) * step, state, count) for n, state, count in rows)))


def timeline_of(reached: Iterable[tuple[float, State]], most: int) -> Timeline:
    """The timeline of single outcomes: when each was reached, and its state."""
    by_second = Counter((int(at), state) for at, state in reached)
    if not by_second:
        return EMPTY
    first, last = min(by_second)[0], max(by_second)[0]
    step = step_between(first, last, most)
    counts: Counter[tuple[int, State]] = Counter()
    for (second, state), count in by_second.items():
        counts[second // step * step, state] += count
    return Timeline(step, tuple(sorted((*stretch, count) for stretch, count in counts.items())))
