"""A run's control with no journal behind it, for tests of what obeys it."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from clocks import FakeClock

from promomsg.engine.sending.run_control import RunControl
from promomsg.journal.records import Control

__all__ = ["ControlRow", "run_control"]


class ControlRow:
    """A journal's control row."""

    def __init__(self) -> None:
        self.requested = Control.RUN

    async def missing(self) -> str | None:
        return None

    async def control(self) -> Control:
        return self.requested


def run_control(clock: FakeClock, *, wait: bool = False) -> RunControl:
    """A control with nothing behind it."""
    return RunControl(
        cast(Any, ControlRow()),
        clock,
        daily_codes=frozenset({"45009"}),
        wait_for_day=wait,
        rng=Random(1),
    )
