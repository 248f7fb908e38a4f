"""The state table of a recipient and of a group. An illegal move raises and changes nothing.

(After h11's `_state.py`: the whole machine is a table in one file.) The rules are those of
docs/design.md, "States": `pending → intended → sent | failed | unknown | pending`, and
`pending → skipped | cancelled`; the moves that only a user's request allows (`retry`, `adopt`) stand
beside them.

Whatever changes a state takes the move from here: Python by `move` and `move_group`, SQL by
`transition` and `group_transition`, which say what a statement has to ask of a row
(`promomsg.journal.state_sql`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

from promomsg.errors import PromoError
from promomsg.model import State, Verdict

__all__ = [
    "FINAL",
    "GROUP_MOVES",
    "GROUP_OPEN",
    "GROUP_REACHED_NOBODY",
    "MAYBE_REACHED",
    "MOVES",
    "Event",
    "GroupEvent",
    "GroupState",
    "IllegalMove",
    "Transition",
    "group_transition",
    "move",
    "move_group",
    "state_after",
    "transition",
]

S = TypeVar("S", bound=StrEnum)


class IllegalMove(PromoError):
    """A move that the state table does not have: a bug, never a provider's doing."""


class Event(StrEnum):
    """What can happen to a recipient."""

    INTEND = "intend"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"
    """Nothing went out, or the provider dedupes on our key: may be tried again."""
    MESSAGE_REFUSED = "message_refused"
    """The message was refused for everybody; nothing was sent to this one."""
    SKIP = "skip"
    CANCEL = "cancel"
    GROUP_LOST = "group_lost"
    """The group they are in has no answer, no name for them, or no result in time."""
    RETRY_FAILED = "retry_failed"
    """By request of the user: `retry --failed`."""
    RETRY_UNKNOWN = "retry_unknown"
    """By request of the user: `retry --unknown`."""
    ADOPT = "adopt"
    """By request of the user: `reconcile --adopt` found the lost group send."""
    SENT_AFTER_ALL = "sent_after_all"
    """The result of an attempt that had been taken for lost has come: it was sent."""
    FAILED_AFTER_ALL = "failed_after_all"
    """The same: it failed."""
    COMMITS_LOST = "commits_lost"
    """The journal's last commits are lost: it may have been sent since the last one that is left."""


_P, _I = State.PENDING, State.INTENDED
MOVES: Final[dict[tuple[State, Event], State]] = {
    (_P, Event.INTEND): State.INTENDED,
    (_P, Event.SKIP): State.SKIPPED,
    (_P, Event.CANCEL): State.CANCELLED,
    (_P, Event.MESSAGE_REFUSED): State.FAILED,
    # A member of a group stays pending while its group is out and polled.
    (_P, Event.SENT): State.SENT,
    (_P, Event.FAILED): State.FAILED,
    (_P, Event.GROUP_LOST): State.UNKNOWN,
    # An attempt of an idempotent channel whose answer was lost, and no attempt left.
    (_P, Event.UNKNOWN): State.UNKNOWN,
    (_I, Event.SENT): State.SENT,
    (_I, Event.FAILED): State.FAILED,
    (_I, Event.UNKNOWN): State.UNKNOWN,
    (_I, Event.NOT_SENT): State.PENDING,
    (_I, Event.MESSAGE_REFUSED): State.FAILED,
    (State.FAILED, Event.RETRY_FAILED): State.PENDING,
    (State.UNKNOWN, Event.RETRY_UNKNOWN): State.PENDING,
    (State.UNKNOWN, Event.ADOPT): State.PENDING,
    # Its sender was given up for dead, and was only slow.
    (State.UNKNOWN, Event.SENT_AFTER_ALL): State.SENT,
    (State.UNKNOWN, Event.FAILED_AFTER_ALL): State.FAILED,
    # What an earlier process may have intended is intended: `recover` settles it.
    (_P, Event.COMMITS_LOST): State.INTENDED,
    (_I, Event.COMMITS_LOST): State.INTENDED,
    # A retry whose commits are lost whole may have reopened it, and sent it.
    (State.FAILED, Event.COMMITS_LOST): State.UNKNOWN,
}

FINAL: Final = frozenset({State.SENT, State.FAILED, State.UNKNOWN, State.SKIPPED, State.CANCELLED})
"""States that are left only by a request of the user (`retry`, `adopt`), a result that comes after
all, or a loss of commits."""

MAYBE_REACHED: Final = frozenset({State.INTENDED, State.SENT, State.UNKNOWN})
"""States of whom a message has reached, or may have."""


class GroupState(StrEnum):
    """Where a group send stands."""

    PLANNED = "planned"
    INTENDED = "intended"
    ACCEPTED = "accepted"
    DONE = "done"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class GroupEvent(StrEnum):
    """What can happen to a group send."""

    INTEND = "intend"
    ACCEPTED = "accepted"
    NOT_SENT = "not_sent"
    REFUSED = "refused"
    LOST = "lost"
    COMPLETE = "complete"
    EXPIRE = "expire"
    CANCEL = "cancel"
    ADOPT = "adopt"
    COMMITS_LOST = "commits_lost"


GROUP_MOVES: Final[dict[tuple[GroupState, GroupEvent], GroupState]] = {
    (GroupState.PLANNED, GroupEvent.INTEND): GroupState.INTENDED,
    (GroupState.PLANNED, GroupEvent.CANCEL): GroupState.CANCELLED,
    (GroupState.PLANNED, GroupEvent.REFUSED): GroupState.REFUSED,
    (GroupState.INTENDED, GroupEvent.ACCEPTED): GroupState.ACCEPTED,
    (GroupState.INTENDED, GroupEvent.NOT_SENT): GroupState.PLANNED,
    (GroupState.INTENDED, GroupEvent.REFUSED): GroupState.REFUSED,
    (GroupState.INTENDED, GroupEvent.LOST): GroupState.UNKNOWN,
    (GroupState.ACCEPTED, GroupEvent.COMPLETE): GroupState.DONE,
    (GroupState.ACCEPTED, GroupEvent.EXPIRE): GroupState.EXPIRED,
    (GroupState.UNKNOWN, GroupEvent.ADOPT): GroupState.ACCEPTED,
    (GroupState.PLANNED, GroupEvent.COMMITS_LOST): GroupState.INTENDED,
    (GroupState.INTENDED, GroupEvent.COMMITS_LOST): GroupState.INTENDED,
}

GROUP_OPEN: Final = frozenset({GroupState.PLANNED, GroupState.INTENDED, GroupState.ACCEPTED})
"""States of a group send whose members are pending."""

GROUP_REACHED_NOBODY: Final = frozenset(
    {GroupState.PLANNED, GroupState.REFUSED, GroupState.CANCELLED}
)
"""States of a group send that has reached none of its members."""


def move(state: State, event: Event) -> State:
    """The state after `event`.

    Raises:
        IllegalMove: the table has no such move.
    """
    try:
        return MOVES[state, event]
    except KeyError:
        raise IllegalMove(f"a recipient that is {state} cannot take {event}") from None


def move_group(state: GroupState, event: GroupEvent) -> GroupState:
    """The group's state after `event`.

    Raises:
        IllegalMove: the table has no such move.
    """
    try:
        return GROUP_MOVES[state, event]
    except KeyError:
        raise IllegalMove(f"a group that is {state} cannot take {event}") from None


class Transition(NamedTuple, Generic[S]):
    """What one event does: from any of `starts` to `end`."""

    starts: tuple[S, ...]
    end: S


def transition(event: Event, *starts: State) -> Transition[State]:
    """Where `event` may be taken, and where it leads.

    Args:
        starts: the states that the caller takes it from; none given: every one that the table has.

    Raises:
        IllegalMove: the table does not have it from one of these, or it leads to several states.
    """
    starts = starts or tuple(start for start, taken in MOVES if taken is event)
    return Transition(starts, _only({move(start, event) for start in starts}, event))


def group_transition(event: GroupEvent, *starts: GroupState) -> Transition[GroupState]:
    """The same for a group send."""
    starts = starts or tuple(start for start, taken in GROUP_MOVES if taken is event)
    return Transition(starts, _only({move_group(start, event) for start in starts}, event))


def _only(ends: set[S], event: StrEnum) -> S:
    if len(ends) != 1:
        raise IllegalMove(f"{event} leads to {len(ends)} states from there, not to one")
    return ends.pop()


_EVENT_OF: Final[dict[Verdict, Event]] = {
    Verdict.SENT: Event.SENT,
    Verdict.FAILED: Event.FAILED,
    Verdict.REFUSED: Event.MESSAGE_REFUSED,
    Verdict.RETRY: Event.NOT_SENT,
    Verdict.THROTTLED: Event.NOT_SENT,
    Verdict.HALT: Event.NOT_SENT,
    Verdict.UNKNOWN: Event.UNKNOWN,
}


def state_after(verdict: Verdict) -> State:
    """Where a verdict leaves an intended single recipient (docs/design.md, "Verdicts").

    Raises:
        IllegalMove: `ACCEPTED` is a group's verdict.
    """
    try:
        event = _EVENT_OF[verdict]
    except KeyError:
        raise IllegalMove(f"a single send cannot be {verdict}") from None
    return move(State.INTENDED, event)
