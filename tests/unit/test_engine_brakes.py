"""The shared retry budget, the error rate, the day's limit, and the readiness that senders share."""

from __future__ import annotations

from random import Random
from typing import Any, cast

import anyio
import pytest
from clocks import FakeClock

from promomsg import RetryPolicy
from promomsg.engine.sending.brakes.brakes import ErrorRateLimit, RetryBudget
from promomsg.engine.sending.brakes.readiness import Readiness
from promomsg.engine.sending.run_control import RunControl
from promomsg.errors import NotSent


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


class NoToken:
    """A channel whose access token cannot be had."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._asking = 0
        self.asked: list[float] = []

    async def prepare(self) -> None:
        self._asking += 1
        assert self._asking == 1
        self.asked.append(self._clock.monotonic())
        await anyio.sleep(0)
        self._asking -= 1
        raise NotSent("no token")


@pytest.mark.asyncio
async def test_senders_that_share_their_readiness_ask_one_at_a_time_and_fail_together() -> None:
    clock = FakeClock(auto=True)
    channel = NoToken(clock)
    control = RunControl(cast(Any, None), clock)
    policy = RetryPolicy()
    readiness = Readiness(cast(Any, channel), control, policy, clock, Random(1), "autumn")

    async def send() -> None:
        while control.may_send():
            assert not await readiness.ready()
            assert readiness.failure == "no token"

    async with anyio.create_task_group() as senders:
        for _ in range(4):
            senders.start_soon(send)
    assert control.halt is not None
    assert "no token" in control.halt.detail
    # As many tries, with as long pauses between them, as of one sender.
    assert len(channel.asked) == policy.attempts
    assert channel.asked[-1] - channel.asked[0] > 20.0
