"""However long answers take, a server's time is never taken for an earlier one than it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.journal.postgres.account_quota.server_clock import DRIFT, ServerClock

SLACK = 1e-6
"""Seconds that the sum of large floats may lose."""

ANSWERS = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=30
)


@settings(max_examples=300, deadline=None)
@given(
    answers=ANSWERS,
    began=st.floats(-1e6, 1e6),
    server_ahead=st.floats(-1e9, 1e9),
    drifts=st.tuples(*[st.floats(-0.49 * DRIFT, 0.49 * DRIFT)] * 2),
    asked_for=st.floats(0, 10),
)
def test_a_time_of_the_server_is_between_the_two_that_it_is_taken_for(
    answers: list[tuple[float, float, float]],
    began: float,
    server_ahead: float,
    drifts: tuple[float, float],
    asked_for: float,
) -> None:
    own_drift, server_drift = drifts

    def own(true: float) -> float:
        return began + true * (1 + own_drift)

    def server(true: float) -> float:
        return server_ahead + true * (1 + server_drift)

    clock, true = ServerClock(), 0.0
    assert clock.spread == 0.0
    assert clock.to_server(own(true)) == 0.0
    for pause, there, back in answers:
        true += pause
        asked, told = true, true + there
        true += there + back
        clock.heard(own(asked), server(told), own(true))
        later = true + asked_for
        assert clock.to_local(server(later)) >= own(later) - SLACK
        assert clock.to_local_by(server(later)) <= own(later) + SLACK
        assert clock.to_server(own(later)) >= server(later) - SLACK
        assert clock.spread <= there + back + 4 * DRIFT + SLACK
    assert clock.steps == 0


@settings(max_examples=200, deadline=None)
@given(
    answers=ANSWERS,
    step=st.one_of(st.floats(0.2, 1e6), st.floats(-1e6, -0.2)),
)
def test_a_clock_that_was_set_is_noticed_and_told_right_again(
    answers: list[tuple[float, float, float]], step: float
) -> None:
    clock, true, ahead = ServerClock(), 0.0, 50.0
    for times in range(2):
        for pause, there, back in answers:
            true += pause
            asked, there, back = true, there / 50, back / 50
            true += there + back
            clock.heard(asked, ahead + asked + there, true)
            assert clock.to_local(ahead + true) >= true - SLACK
            assert clock.to_local_by(ahead + true) <= true + SLACK
        assert clock.steps == times
        ahead += step
