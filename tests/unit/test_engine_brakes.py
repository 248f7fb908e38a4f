"""The shared retry budget and the error rate."""

from __future__ import annotations

from promomsg import RetryPolicy
from promomsg.engine.sending.brakes import ErrorRateLimit, RetryBudget


def test_the_budget_is_a_share_of_the_calls_and_an_allowance() -> None:
    budget = RetryBudget(RetryPolicy(retry_share=0.25, retry_allowance=2))
    assert budget.left
    for _ in range(2):
        budget.count_retry()
    assert not budget.left
    for _ in range(4):
        budget.count_call()
    assert budget.left
    budget.count_retry()
    assert not budget.left


def test_the_error_rate_looks_at_the_last_200_and_needs_20() -> None:
    error_rate = ErrorRateLimit(0.5)
    assert all(error_rate.add(False) is None for _ in range(19))
    halt = error_rate.add(False)
    assert halt is not None
    assert halt.code == "MAX_ERROR_RATE"
    assert "20 of the last 20" in halt.detail
    error_rate = ErrorRateLimit(0.5)
    for _ in range(200):
        assert error_rate.add(True) is None
    for _ in range(100):
        assert error_rate.add(False) is None
    assert error_rate.add(False) is not None
    for _ in range(200):
        error_rate.add(True)
    assert error_rate.add(False) is None


def test_without_a_limit_nothing_halts() -> None:
    error_rate = ErrorRateLimit(None)
    assert all(error_rate.add(False) is None for _ in range(500))
