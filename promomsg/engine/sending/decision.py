"""What an answer means for one recipient: plain functions, no I/O and no clock.

`(answer, attempt, maybe_sent, …) → Decision` (httpcore's habit: decide without awaiting, then act).
"""

from __future__ import annotations

from typing import Final

import msgspec

from promomsg.engine.settings import RetryPolicy
from promomsg.model import Answer, Code, State, Verdict

__all__ = ["Decision", "Halt", "backoff", "decide"]


class Halt(msgspec.Struct, frozen=True):
    """Why a campaign stops before its end."""

    code: str
    detail: str


class Decision(msgspec.Struct, frozen=True):
    """What to do about one answered single call.

    Attributes:
        state: where the recipient goes: sent, failed, unknown or pending.
        again: a pending recipient is to be tried again in this run.
        pause: and not at once.
        maybe_sent: an attempt so far may have been delivered (kept with a pending recipient).
        refuse_message: this rendered message can go to nobody.
        halt: stop the campaign cleanly.
    """

    state: State
    again: bool = False
    pause: bool = False
    maybe_sent: bool = False
    refuse_message: bool = False
    halt: Halt | None = None


_SENT: Final = Decision(State.SENT)
_FAILED: Final = Decision(State.FAILED)
_REFUSED: Final = Decision(State.FAILED, refuse_message=True)
_UNKNOWN: Final = Decision(State.UNKNOWN)


def decide(
    answer: Answer,
    *,
    attempt: int,
    maybe_sent: bool,
    idempotent: bool,
    budget_left: bool,
    policy: RetryPolicy,
) -> Decision:
    """The decision table of DESIGN §3.

    Args:
        attempt: how many calls this recipient has had, this one included.
        maybe_sent: an earlier attempt may have been delivered (idempotent channels only).
        idempotent: the provider dedupes on our key, so an unknown outcome may be asked for again.
        budget_left: the budget that all retries share is not used up.
    """
    verdict = answer.verdict
    if verdict is Verdict.SENT:
        return _SENT
    if verdict is Verdict.FAILED or verdict is Verdict.REFUSED:
        # After a lost answer, a refusal may be of the second call only (a token that ran out in
        # between): whether the first one was delivered stays open.
        if maybe_sent:
            return _UNKNOWN
        return _REFUSED if verdict is Verdict.REFUSED else _FAILED
    # Each newer token is worth a try (DESIGN §3), whatever the others have used of the budget.
    may_repeat = attempt < policy.attempts and (budget_left or answer.token_failed)
    if verdict is Verdict.UNKNOWN:
        if idempotent and may_repeat:
            return Decision(State.PENDING, again=True, pause=True, maybe_sent=True)
        return _UNKNOWN
    if verdict is Verdict.HALT:
        return Decision(State.PENDING, maybe_sent=maybe_sent, halt=Halt(answer.code, answer.detail))
    if verdict is Verdict.ACCEPTED:
        raise ValueError("a single send cannot be ACCEPTED")
    if may_repeat:
        # A throttle holds the whole quota, and a newer token is as good as a first try.
        pause = verdict is Verdict.RETRY and not answer.token_failed
        return Decision(State.PENDING, again=True, pause=pause, maybe_sent=maybe_sent)
    return Decision(State.PENDING, maybe_sent=maybe_sent, halt=_spent(answer, attempt, policy))


def _spent(answer: Answer, attempt: int, policy: RetryPolicy) -> Halt:
    """The halt of a budget spent on errors that sent nothing."""
    code = answer.code or Code.NOT_SENT
    if attempt >= policy.attempts:
        tried = f"{attempt} attempts for one recipient"
    else:
        tried = f"the retries of the whole campaign ({policy.retry_share:.0%} of calls + {policy.retry_allowance})"
    said = answer.detail or "no answer"
    return Halt(code, f"{tried} sent nothing; the last one: {said}. Fix this, then resume")


def backoff(failures: int, policy: RetryPolicy, jitter: float) -> float:
    """Seconds to wait after `failures` failures in a row.

    Args:
        jitter: a random number in [0, 1); the pause is spread over its upper half, and the
            longest pause holds before the spread, so that many waiters do not meet at it.
    """
    full = min(policy.first_pause * 2.0 ** min(failures - 1, 30), policy.longest_pause)
    return full * (0.5 + jitter / 2)
