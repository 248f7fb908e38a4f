"""Walks over the state tables: a legal move is the table's, an illegal one changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.model import State, Verdict
from promomsg.states import (
    FINAL,
    GROUP_MOVES,
    MOVES,
    Event,
    GroupEvent,
    GroupState,
    IllegalMove,
    move,
    move_group,
    state_after,
)

USERS_WORD = {Event.RETRY_FAILED, Event.RETRY_UNKNOWN, Event.ADOPT}
LATE = {(State.UNKNOWN, Event.SENT_AFTER_ALL), (State.UNKNOWN, Event.FAILED_AFTER_ALL)}
"""A sender that was given up for dead was only slow, and its call has its result."""
LOSS = {(State.FAILED, Event.COMMITS_LOST)}
"""A retry that is lost with the journal's last commits may have sent to whom it had failed."""


@given(st.lists(st.sampled_from(Event), max_size=40))
@settings(max_examples=300)
def test_a_recipient_only_moves_by_the_table(events: list[Event]) -> None:
    state = State.PENDING
    sent = 0
    for event in events:
        if (state, event) not in MOVES:
            with pytest.raises(IllegalMove, match=f"{state} .* {event}"):
                move(state, event)
            continue  # `state` is as it was
        after = move(state, event)
        assert MOVES[state, event] is after
        assert state not in FINAL or event in USERS_WORD or (state, event) in LATE | LOSS
        sent += after is State.SENT
        state = after
    assert sent <= 1
    assert isinstance(state, State)


@given(st.lists(st.sampled_from(GroupEvent), max_size=40))
@settings(max_examples=300)
def test_a_group_only_moves_by_the_table(events: list[GroupEvent]) -> None:
    state = GroupState.PLANNED
    intended_twice_after_acceptance = False
    accepted = False
    for event in events:
        if (state, event) not in GROUP_MOVES:
            with pytest.raises(IllegalMove, match=f"{state} .* {event}"):
                move_group(state, event)
            continue
        after = move_group(state, event)
        assert GROUP_MOVES[state, event] is after
        intended_twice_after_acceptance |= accepted and after is GroupState.INTENDED
        accepted |= after is GroupState.ACCEPTED
        state = after
    assert not intended_twice_after_acceptance


@pytest.mark.parametrize("event", Event)
def test_nothing_leaves_sent_skipped_or_cancelled(event: Event) -> None:
    for state in (State.SENT, State.SKIPPED, State.CANCELLED):
        with pytest.raises(IllegalMove):
            move(state, event)


def test_an_unknown_is_sent_again_by_the_user_s_word_only() -> None:
    assert {e for s, e in MOVES if s is State.UNKNOWN and MOVES[s, e] not in FINAL} == {
        Event.RETRY_UNKNOWN,
        Event.ADOPT,
    }
    assert {(s, e) for s, e in MOVES if s is State.UNKNOWN and MOVES[s, e] in FINAL} == LATE


def test_nobody_is_cancelled_or_skipped_once_intended() -> None:
    for event in (Event.CANCEL, Event.SKIP):
        with pytest.raises(IllegalMove):
            move(State.INTENDED, event)


def test_every_state_can_be_reached() -> None:
    assert set(MOVES.values()) == set(State)
    assert set(GROUP_MOVES.values()) | {GroupState.PLANNED} == set(GroupState)
    assert {e for _, e in MOVES} == set(Event)
    assert {e for _, e in GROUP_MOVES} == set(GroupEvent)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.SENT, State.SENT),
        (Verdict.FAILED, State.FAILED),
        (Verdict.REFUSED, State.FAILED),
        (Verdict.RETRY, State.PENDING),
        (Verdict.THROTTLED, State.PENDING),
        (Verdict.HALT, State.PENDING),
        (Verdict.UNKNOWN, State.UNKNOWN),
    ],
)
def test_where_a_verdict_leaves_a_single(verdict: Verdict, state: State) -> None:
    assert state_after(verdict) is state


def test_a_single_is_never_accepted() -> None:
    with pytest.raises(IllegalMove, match="ACCEPTED"):
        state_after(Verdict.ACCEPTED)
