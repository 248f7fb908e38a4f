"""A timeline as bars to draw: where each stands, and how high it is. No drawing is done here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from promomsg.model import State
from promomsg.timeline import Timeline

__all__ = ["Bar", "BarChart", "Mark", "bar_chart"]

_LEFT: Final = 56
_RIGHT: Final = 8
_TOP: Final = 10
_BOTTOM: Final = 24
_LABELS_ACROSS: Final = 6
_ORDER: Final = (State.SENT, State.FAILED, State.UNKNOWN, State.CANCELLED, State.SKIPPED)
"""From the axis upwards: what most people came to first."""


class Bar(msgspec.Struct, frozen=True):
    """One rectangle, in the chart's own units; `begins` is Unix seconds."""

    x: float
    y: float
    width: float
    height: float
    state: State
    count: int
    begins: int


class Mark(msgspec.Struct, frozen=True):
    """A label beside an axis."""

    at: float
    text: str


class BarChart(msgspec.Struct, frozen=True):
    """Stacked bars with their axes.

    Attributes:
        width, height: of the whole, in the chart's own units.
        left, right, bottom: where the axes are.
        bars: those that are not empty.
        up, across: the labels of both axes.
        states: those that occur, from the axis upwards.
        step: seconds of one bar.
    """

    width: int
    height: int
    left: int
    right: int
    bottom: int
    bars: tuple[Bar, ...]
    up: tuple[Mark, ...]
    across: tuple[Mark, ...]
    states: tuple[State, ...]
    step: int


def bar_chart(
    timeline: Timeline, time_text: Callable[[int], str], *, width: int = 960, height: int = 240
) -> BarChart | None:
    """The chart of a timeline; None: nothing has happened yet.

    Args:
        time_text: a Unix time for the axis.
    """
    if not timeline.stretches:
        return None
    by_stretch: dict[int, dict[State, int]] = {}
    for begins, state, count in timeline.stretches:
        by_stretch.setdefault(begins, {})[state] = count
    first, last = min(by_stretch), max(by_stretch)
    places = (last - first) // timeline.step + 1
    top = _round_up(max(sum(states.values()) for states in by_stretch.values()))
    right, bottom = width - _RIGHT, height - _BOTTOM
    step_width = (right - _LEFT) / max(places, 8)  # a few outcomes make no wall
    bars: list[Bar] = []
    for begins, states in by_stretch.items():
        x = _LEFT + (begins - first) // timeline.step * step_width
        y = float(bottom)
        for state in _ORDER:
            if count := states.get(state, 0):
                # One failure among thousands is still to be seen.
                tall = max(count / top * (bottom - _TOP), 1.0)
                y -= tall
                bars.append(
                    Bar(round(x, 2), round(y, 2), round(max(step_width - 1, 0.8), 2), round(tall, 2),
                        state, count, begins)
                )  # fmt: skip
    every = max(-(-places // _LABELS_ACROSS), 1)
    across = tuple(
        Mark(round(_LEFT + number * step_width, 2), time_text(first + number * timeline.step))
        for number in range(0, places, every)
    )
    up = tuple(
        Mark(round(bottom - part / 4 * (bottom - _TOP), 2), f"{top * part // 4:,}")
        for part in (range(5) if top >= 4 else (0, 4))
    )
    found = tuple(state for state in _ORDER if any(bar.state is state for bar in bars))
    return BarChart(
        width, height, _LEFT, right, bottom, tuple(bars), up, across, found, timeline.step
    )


def _round_up(most: int) -> int:
    """The next of 1, 2, 4, 8, 12, 20, 40, 80, 120, … : a quarter of it is a round number too."""
    if most <= 2:
        return most
    scale = 1
    while True:
        for step in (4, 8, 12, 20):
            if step * scale >= most:
                return step * scale
        scale *= 10
