"""What an answer means for one recipient: every verdict, with and without doubt and budget."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promomsg.engine.sending.brakes.backoff import backoff
from promomsg.engine.sending.brakes.brakes import ErrorRateLimit, RetryBudget
from promomsg.engine.sending.decision import Decision, decide
from promomsg.engine.settings import RetryPolicy, Settings
from promomsg.errors import UsageError
from promomsg.model import Answer, State, Verdict

POLICY = RetryPolicy()


def decision(verdict: Verdict, **changes: Any) -> Decision:
    given_: dict[str, Any] = {
        "attempt": 1,
        "maybe_sent": False,
        "idempotent": False,
        "budget_left": True,
        "policy": POLICY,
    }
    return decide(Answer(verdict, "7", "said"), **{**given_, **changes})


@pytest.mark.parametrize(
    ("verdict", "state", "again"),
    [
        (Verdict.SENT, State.SENT, False),
        (Verdict.FAILED, State.FAILED, False),
        (Verdict.REFUSED, State.FAILED, False),
        (Verdict.UNKNOWN, State.UNKNOWN, False),
        (Verdict.RETRY, State.PENDING, True),
        (Verdict.THROTTLED, State.PENDING, True),
        (Verdict.HALT, State.PENDING, False),
    ],
)
def test_each_verdict_has_its_state(verdict: Verdict, state: State, again: bool) -> None:
    made = decision(verdict)
    assert (made.state, made.again) == (state, again)


def test_an_unknown_outcome_is_never_tried_again_without_an_idempotency_key() -> None:
    assert decision(Verdict.UNKNOWN, budget_left=True).again is False


def test_an_unknown_outcome_is_asked_for_again_with_a_key_until_its_attempts_are_spent() -> None:
    early = decision(Verdict.UNKNOWN, idempotent=True, attempt=7)
    late = decision(Verdict.UNKNOWN, idempotent=True, attempt=8)
    assert (early.state, early.again, early.maybe_sent) == (State.PENDING, True, True)
    assert (late.state, late.again) == (State.UNKNOWN, False)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (Answer(Verdict.UNKNOWN, "UNKNOWN_EXCEPTION"), True),
        (Answer(Verdict.UNKNOWN, "HTTP_502"), True),
        (Answer(Verdict.RETRY, "NOT_SENT"), True),
        (Answer(Verdict.RETRY, "40001", token_failed=True), False),
        (Answer(Verdict.THROTTLED, "45011"), False),
    ],
)
def test_another_try_waits_unless_a_hold_or_a_newer_token_is_what_it_needs(
    answer: Answer, pause: bool
) -> None:
    made = decide(
        answer, attempt=1, maybe_sent=False, idempotent=True, budget_left=True, policy=POLICY
    )
    assert (made.again, made.pause) == (True, pause)


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.REFUSED])
def test_a_refusal_after_a_lost_answer_does_not_claim_that_nobody_was_reached(
    verdict: Verdict,
) -> None:
    made = decision(verdict, maybe_sent=True, idempotent=True, attempt=2)
    assert made.state is State.UNKNOWN
    assert made.message_refused is False


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.THROTTLED])
@pytest.mark.parametrize("changes", [{"attempt": 8}, {"budget_left": False}])
def test_a_budget_spent_on_errors_that_sent_nothing_halts_and_says_so(
    verdict: Verdict, changes: dict[str, object]
) -> None:
    made = decision(verdict, **changes)
    assert made.state is State.PENDING
    assert made.halt is not None
    assert "said" in made.halt.detail


@pytest.mark.parametrize(
    ("answer", "state", "accepted"),
    [
        (Answer(Verdict.ACCEPTED, msg_id="m1"), State.PENDING, True),
        (Answer(Verdict.ACCEPTED), State.UNKNOWN, False),
        (Answer(Verdict.SENT), State.UNKNOWN, False),
        (Answer(Verdict.UNKNOWN), State.UNKNOWN, False),
        (Answer(Verdict.FAILED, "40003"), State.FAILED, False),
        (Answer(Verdict.REFUSED, "40037"), State.FAILED, False),
        (Answer(Verdict.RETRY, "NOT_SENT"), State.PENDING, False),
        (Answer(Verdict.THROTTLED, "45011"), State.PENDING, False),
        (Answer(Verdict.HALT, "48001"), State.PENDING, False),
    ],
)
def test_a_groups_answer_says_where_its_members_go(
    answer: Answer, state: State, accepted: bool
) -> None:
    made = decide(
        answer,
        attempt=1,
        maybe_sent=False,
        idempotent=False,
        budget_left=True,
        policy=POLICY,
        group=True,
    )
    assert (made.state, made.accepted) == (state, accepted)
    assert made.message_refused == (answer.verdict is Verdict.REFUSED)
    assert made.again == (answer.verdict in (Verdict.RETRY, Verdict.THROTTLED))
    assert (made.halt is not None) == (answer.verdict is Verdict.HALT)


def test_an_accepted_single_is_a_bug() -> None:
    with pytest.raises(ValueError, match="ACCEPTED"):
        decision(Verdict.ACCEPTED)


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_pause_grows_but_never_past_the_longest_one(failures: int, jitter: float) -> None:
    pause = backoff(failures, POLICY, jitter)
    assert POLICY.first_pause / 2 <= pause <= POLICY.longest_pause
    assert pause <= backoff(failures + 1, POLICY, jitter)


def test_retries_over_all_are_a_quarter_of_the_calls_and_a_hundred() -> None:
    budget = RetryBudget(POLICY)
    for _ in range(400):
        budget.count_call()
    for _ in range(199):
        budget.count_retry()
    assert budget.left
    budget.count_retry()
    assert not budget.left


def test_the_error_rate_forgets_what_is_long_past() -> None:
    error_rate = ErrorRateLimit(0.5)
    for _ in range(150):
        assert error_rate.add(good=True) is None
    for _ in range(100):
        assert error_rate.add(good=False) is None
    halt = error_rate.add(good=False)
    assert halt is not None
    assert "101 of the last 200" in halt.detail


def test_without_a_limit_the_error_rate_never_halts() -> None:
    error_rate = ErrorRateLimit(None)
    assert all(error_rate.add(good=False) is None for _ in range(1_000))


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": 1.5},
        {"max_group_size": 98},
        {"max_error_rate": 0},
        {"max_error_rate": 1.2},
        {"max_error_rate": True},
        {"route": "both"},
        {"on_daily_quota": "sleep"},
        {"durability": "none"},
        {"groups_in_flight": 0},
        {"max_recipients": 0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, object]) -> None:
    [name] = wrong
    with pytest.raises(UsageError, match=name):
        Settings(**wrong)  # type: ignore[arg-type]


def test_settings_come_back_from_the_journal_as_they_were() -> None:
    settings = Settings(concurrency=3, only=("a", "b"), max_error_rate=0.25, route="single")
    assert Settings.from_snapshot(settings.snapshot()) == settings
