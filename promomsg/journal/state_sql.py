"""The state table as SQL: what a statement asks of a row's state, and what it makes of it.

No other module of the statements writes a state's number. A statement that changes a state is put
together from a `Move`, when its module is imported: a move that `promomsg.states` does not have
raises `IllegalMove` there and then, so it cannot be written.
"""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from promomsg.journal.counts import STATE_NUMBERS
from promomsg.model import State
from promomsg.states import (
    Event,
    GroupEvent,
    GroupState,
    group_transition,
    transition,
)

__all__ = [
    "UNSENT",
    "Move",
    "group_move",
    "in_group_state",
    "in_state",
    "number",
    "recipient_move",
]

S = TypeVar("S", State, GroupState)


class Move(NamedTuple, Generic[S]):
    """One move as the two parts of an UPDATE.

    Attributes:
        event: what happens.
        starts: the states it may be taken from.
        end: the state it leads to.
        where: `starts` as a condition (`state = 1`).
        sets: `end` as an assignment (`state = 2`).
    """

    event: Event | GroupEvent
    starts: tuple[S, ...]
    end: S
    where: str
    sets: str


def number(state: State) -> int:
    """How the journal writes a recipient's state."""
    return STATE_NUMBERS[state]


def in_state(*states: State, row: str = "") -> str:
    """Whether a recipient is in one of these states. `row`: the table's name in the statement."""
    numbers = sorted(map(number, states))
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        # SQLite looks a longer IN up in a table of its own: half of what a scan of all rows costs.
        return f"{_column(row)} BETWEEN {numbers[0]} AND {numbers[-1]}"
    return _in(row, numbers)


def in_group_state(*states: GroupState) -> str:
    """Whether a group send is in one of these states."""
    return _in("", [f"'{state}'" for state in sorted(states)])


UNSENT: Final = f"state > {number(State.SENT)}"
"""Final, and not sent: the states whose numbers are behind SENT's. The index of these rows is used
only by statements that contain this very text."""


def _column(row: str) -> str:
    return f"{row}.state" if row else "state"


def _in(row: str, values: list[int] | list[str]) -> str:
    column = _column(row)
    if len(values) == 1:
        return f"{column} = {values[0]}"
    return f"{column} IN ({', '.join(map(str, values))})"


def recipient_move(event: Event, *starts: State, row: str = "") -> Move[State]:
    """A recipient's move, from `starts` (none given: from wherever the table has it).

    Raises:
        IllegalMove: see `promomsg.states.transition`.
    """
    starts, end = transition(event, *starts)
    return Move(event, starts, end, in_state(*starts, row=row), f"state = {number(end)}")


def group_move(event: GroupEvent, *starts: GroupState) -> Move[GroupState]:
    """A group send's move, in the same way."""
    starts, end = group_transition(event, *starts)
    return Move(event, starts, end, in_group_state(*starts), f"state = '{end}'")
