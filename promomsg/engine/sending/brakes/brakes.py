"""What slows or stops the sends of a campaign, in one object that all its senders share.

| brake | what it holds |
| --- | --- |
| `ready` | nothing is intended before the channel has its access token |
| attempts | calls for one recipient, with longer and longer pauses in between |
| `RetryBudget` | retries over all recipients |
| `Reachability` | one call at a time while the provider cannot be reached, then a halt |
| `ErrorRateLimit` | a halt when too many of the last outcomes are bad |

The dispatcher and the group senders ask the same object before a call and tell it every answer,
so that what one of them learns slows all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Final

from promomsg.channels.base import Channel
from promomsg.clock import Clock
from promomsg.engine.report import CANNOT_BE_REACHED
from promomsg.engine.sending.brakes.backoff import backoff
from promomsg.engine.sending.brakes.reachability import Reachability
from promomsg.engine.sending.brakes.readiness import Readiness
from promomsg.engine.sending.decision import SENT, Decision, Halt, decide
from promomsg.engine.sending.run_control import RunControl
from promomsg.engine.settings import RetryPolicy, Settings
from promomsg.journal.contract import Handle
from promomsg.journal.records import SendResult
from promomsg.model import Answer, State, Verdict
from promomsg.transport.quota.limiter import RateLimiter

__all__ = ["Brakes", "ErrorRateLimit", "RetryBudget"]


class RetryBudget:
    """The retries that all recipients of a campaign share, so that an outage is no storm of them.

    At most `retry_share` of the calls made plus `retry_allowance` may be retries. (After
    botocore's retry quota.)

    Attributes:
        calls: sends that were called.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.calls = 0
        self._retries = 0

    @property
    def left(self) -> bool:
        """Whether one more retry may be made."""
        policy = self._policy
        return self._retries < self.calls * policy.retry_share + policy.retry_allowance

    def count_call(self) -> None:
        """A call was made."""
        self.calls += 1

    def count_retry(self) -> None:
        """A call will be made again."""
        self._retries += 1


class ErrorRateLimit:
    """The share of outcomes that are not `sent` among the last ones.

    Args:
        limit: the share over which to halt; None: never.

    Attributes:
        SIZE: how many outcomes back it looks.
        LEAST: outcomes needed before it says anything.
    """

    SIZE: Final = 200
    LEAST: Final = 20

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._last: deque[bool] = deque(maxlen=self.SIZE)
        self._bad = 0

    @property
    def is_off(self) -> bool:
        """Whether it never halts, so that nothing needs to be counted."""
        return self._limit is None

    def add(self, good: bool) -> Halt | None:
        """Counts one outcome; the halt when the share is over the limit."""
        if self._limit is None:
            return None
        if len(self._last) == self.SIZE and not self._last[0]:
            self._bad -= 1
        self._last.append(good)
        self._bad += not good
        count = len(self._last)
        if count < self.LEAST or self._bad <= self._limit * count:
            return None
        return Halt(
            "MAX_ERROR_RATE",
            f"{self._bad} of the last {count} outcomes are failed or unknown, over "
            f"max_error_rate = {self._limit:g}; look at the report, then resume or cancel",
        )


class Brakes:
    """The brakes of one run.

    Attributes:
        reachability: whether the provider can be reached, and who may send while it cannot.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        settings: Settings,
        control: RunControl,
        *,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._control = control
        self._policy = settings.retry
        self._idempotent = channel.idempotent
        self._clock = clock
        self._rng = rng
        self._budget = RetryBudget(settings.retry)
        self._error_rate = ErrorRateLimit(settings.max_error_rate)
        self._readiness = Readiness(
            channel, control, settings.retry, clock, rng, handle.record.name
        )
        self.reachability = Reachability(handle, channel, settings, control, clock=clock, rng=rng)
        self._breaker = self.reachability.breaker

    @property
    def calls(self) -> int:
        """Sends of this run that were called, single and group ones."""
        return self._budget.calls

    @property
    def is_troubled(self) -> bool:
        """Whether it is being found out if the provider is there: the campaign goes on, or halts."""
        return self._breaker.is_open or bool(self._readiness.failure)

    def stalled_by(self, limiter: RateLimiter) -> str:
        """Why nothing goes out on this quota although there is work; empty when it does."""
        if self._breaker.is_open:
            return CANNOT_BE_REACHED
        if limiter.away:
            return "the database of the account's quota cannot be reached"
        held = (limiter.held_until, self._readiness.held_until)
        until = max((moment for moment in held if moment is not None), default=None)
        if until is None:
            failure = self._readiness.failure
            return f"nothing can be sent yet: {failure}; it is tried again" if failure else ""
        seconds = until - self._clock.monotonic()
        return f"the provider asked to slow down; it goes on in {seconds:.0f} s"

    async def ready(self) -> bool:
        """As `Readiness.ready`: True: send now; False: ask the control, then here again."""
        return await self._readiness.ready()

    def judge(
        self,
        call: object,
        answer: Answer,
        limiter: RateLimiter,
        *,
        attempt: int,
        number: int = 0,
        maybe_sent: bool = False,
        called: bool = True,
        group: bool = False,
    ) -> Decision:
        """Decides about one answer, and has every brake know it.

        Args:
            call: the single send, or the group's lease.
            limiter: the quota that the call was made on.
            attempt, maybe_sent, group: as `decide`.
            number: the call's, by `CircuitBreaker.begun`.
            called: False for what was decided without a call.
        """
        if called:
            self._budget.count_call()
            if answer.verdict is Verdict.SENT and self._breaker.calm and not group:
                return SENT  # nearly every message: nothing else has anything to learn
        decision = decide(
            answer,
            attempt=attempt,
            maybe_sent=maybe_sent,
            idempotent=self._idempotent and not group,
            budget_left=self._budget.left,
            policy=self._policy,
            group=group,
        )
        if answer.verdict is Verdict.THROTTLED and not answer.token_failed:
            limiter.throttled(answer.retry_after)
        if called:
            lost = decision.maybe_sent or decision.state is State.UNKNOWN
            self.reachability.watch(
                call, answer, in_doubt=lost and not maybe_sent, number=number, group=group
            )
        else:
            self.reachability.drop(call)
        if decision.again and not answer.token_failed:
            self._budget.count_retry()
        if decision.halt is not None:
            self._control.halt_or_wait(decision.halt)
        return decision

    def pause(self, decision: Decision, attempt: int) -> float:
        """Seconds until the next try of what is to be tried again."""
        if not decision.pause:
            return 0.0
        return backoff(attempt, self._policy, self._rng.random())

    def count_outcomes(self, results: Iterable[SendResult]) -> None:
        """Counts those that are final; stops the campaign when too many of the last ones are bad."""
        if self._error_rate.is_off:
            return
        for result in results:
            if result.state == State.PENDING:
                continue
            halt = self._error_rate.add(result.state == State.SENT)
            if halt is not None:
                self._control.stop(halt)
