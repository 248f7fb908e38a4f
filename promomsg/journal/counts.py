"""How many are in each state: changed with each move, and kept in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from promomsg.journal.records import Counts
from promomsg.model import State
from promomsg.states import FINAL

__all__ = ["STATES", "STATE_NUMBERS", "RunningCounts"]

STATES: tuple[State, ...] = (
    State.PENDING,
    State.INTENDED,
    State.SENT,
    State.FAILED,
    State.UNKNOWN,
    State.SKIPPED,
    State.CANCELLED,
)
"""A state by its number in the journal."""

STATE_NUMBERS: dict[str, int] = {state.value: number for number, state in enumerate(STATES)}
"""A state's number by its name."""

_REASONED = FINAL - {State.SENT}


class RunningCounts:
    """How many recipients are in each state, by code, kept up to date with each move. Intended ones
    count as pending."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], int] = {}

    def add(self, state: str, code: str, count: int) -> None:
        """Adds `count` (below zero: takes away) recipients of a state."""
        if count == 0:
            return
        if state == State.INTENDED:
            state = State.PENDING.value
        at = (state, code if state in _REASONED else "")
        self._of[at] = self._of.get(at, 0) + count

    def move(self, old: str, old_code: str, new: str, new_code: str, count: int = 1) -> None:
        """Moves `count` recipients from one state to another."""
        self.add(old, old_code, -count)
        self.add(new, new_code, count)

    def clear(self) -> None:
        """Forgets everything."""
        self._of.clear()

    def merge(self, other: RunningCounts) -> None:
        """Adds all of another count."""
        for at, count in other._of.items():
            self._of[at] = self._of.get(at, 0) + count

    def fill(self, rows: Iterable[tuple[int, str, int]]) -> None:
        """Adds (state number, code, count) rows."""
        for state, code, count in rows:
            self.add(STATES[state].value, code, count)

    def by_state(self) -> Iterator[tuple[tuple[int, str], int]]:
        """((state number, code), count) of all that are not zero."""
        for (state, code), count in self._of.items():
            if count:
                yield (STATE_NUMBERS[state], code), count

    def totals(self) -> Counts:
        """The counts as the contract hands them out."""
        counts = Counts()
        by_code = counts.by_code
        for (state, code), count in self._of.items():
            if count:
                setattr(counts, state, getattr(counts, state) + count)
                counts.planned += count
                if state in _REASONED:
                    by_code[code] = by_code.get(code, 0) + count
        return counts
