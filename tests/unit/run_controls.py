"""A run's control with no journal behind it, for tests of what obeys it."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from clocks import FakeClock
from journal_rows import record

from promomsg.engine.schedule.schedule import Schedule
from promomsg.engine.sending.run_control import RunControl
from promomsg.journal.records import Control, ControlRow, Counts, GroupRow

__all__ = ["run_control"]


class ControlJournal:
    """A journal with nothing but its control row."""

    def __init__(self) -> None:
        self.record = record()
        self.requested = Control.RUN
        self.halted: str | None = None
        self.parked_until: float | None = None

    async def missing(self) -> str | None:
        return None

    async def control(self) -> ControlRow:
        return ControlRow(self.requested, self.halted, self.parked_until)

    async def halt(self, code: str, detail: str) -> None:
        self.halted = self.halted or f"{code}: {detail}"

    async def park(self, until: float) -> None:
        self.parked_until = until

    async def groups(self) -> list[GroupRow]:
        return []

    async def counts(self) -> Counts:
        return Counts(planned=1, pending=1)


def run_control(
    clock: FakeClock, *, wait: bool = False, schedule: Schedule | None = None
) -> RunControl:
    """A control with nothing behind it."""
    return RunControl(
        cast(Any, ControlJournal()),
        clock,
        daily_codes=frozenset({"45009"}),
        wait_for_day=wait,
        schedule=schedule,
        rng=Random(1),
    )
