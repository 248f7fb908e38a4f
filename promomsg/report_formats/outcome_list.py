"""The outcomes of a report as a list that takes no memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from promomsg.journal.read_contract import Rows
from promomsg.model import Outcome, State

__all__ = ["Outcomes"]


class Outcomes(Sequence[Outcome]):
    """Outcomes read from the journal when they are asked for: a list that takes no memory."""

    def __init__(self, source: Rows, states: tuple[State, ...], count: int) -> None:
        self._source = source
        self._states = states
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Outcome]:
        return self._source.rows(self._states)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> list[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | list[Outcome]:
        if isinstance(index, slice):
            return list(self)[index]
        at = index + self._count if index < 0 else index
        for place, outcome in enumerate(self):
            if place == at:
                return outcome
        raise IndexError(index)

    def __repr__(self) -> str:
        return f"<{self._count} outcomes, {' and '.join(self._states)}>"
