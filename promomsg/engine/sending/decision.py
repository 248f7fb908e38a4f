"""What an answer means for whom it was sent to: plain functions, no I/O and no clock.

`(answer, attempt, maybe_sent, …) → Decision`, for single sends and for group sends. Which state a
verdict leads to is `promomsg.states`'; what is decided here is whether there is another try.
"""

from __future__ import annotations

from typing import Final

import msgspec

from promomsg.engine.settings import RetryPolicy
from promomsg.model import Answer, Code, State, Verdict
from promomsg.plural import counted
from promomsg.states import state_after
from promomsg.traceback_locals import raised_at

__all__ = ["SENT", "Decision", "Halt", "decide", "lost_answer"]


class Halt(msgspec.Struct, frozen=True):
    """Why a campaign stops before its end."""

    code: str
    detail: str


class Decision(msgspec.Struct, frozen=True):
    """What to do about one answered call.

    Attributes:
        state: where the recipient goes, or each member of the group: sent, failed, unknown or
            pending.
        again: a pending one is to be tried again in this run.
        pause: and not at once.
        maybe_sent: an attempt so far may have been delivered (kept with a pending recipient).
        message_refused: this rendered message can go to nobody.
        accepted: the group send was taken: its members stay pending, and it is polled.
        halt: stop the campaign cleanly.
    """

    state: State
    again: bool = False
    pause: bool = False
    maybe_sent: bool = False
    message_refused: bool = False
    accepted: bool = False
    halt: Halt | None = None


SENT: Final = Decision(state_after(Verdict.SENT))
_FAILED: Final = Decision(state_after(Verdict.FAILED))
_REFUSED: Final = Decision(state_after(Verdict.REFUSED), message_refused=True)
_UNKNOWN: Final = Decision(state_after(Verdict.UNKNOWN))
_ACCEPTED: Final = Decision(State.PENDING, accepted=True)


def decide(
    answer: Answer,
    *,
    attempt: int,
    maybe_sent: bool,
    idempotent: bool,
    budget_left: bool,
    policy: RetryPolicy,
    group: bool = False,
) -> Decision:
    """The table of verdicts (docs/design.md, "Verdicts"), with the budgets of another try.

    Args:
        attempt: how many calls this recipient, or this group, has had, this one included.
        maybe_sent: an earlier attempt may have been delivered (idempotent channels only).
        idempotent: the provider dedupes on our key, so an unknown outcome may be asked for again.
        budget_left: the budget that all retries share is not used up.
        group: it was a group send.

    Raises:
        ValueError: a single send that was ACCEPTED: a bug.
    """
    verdict = answer.verdict
    if group and (verdict is Verdict.ACCEPTED or verdict is Verdict.SENT):
        # Without a msg_id nobody can ask how it went: taken or not, the outcome is unknown.
        followed = verdict is Verdict.ACCEPTED and answer.msg_id
        return _ACCEPTED if followed else _UNKNOWN
    if verdict is Verdict.SENT:
        return SENT
    if verdict is Verdict.FAILED or verdict is Verdict.REFUSED:
        # After a lost answer, a refusal may be of the second call only (a token that ran out in
        # between): whether the first one was delivered stays open.
        if maybe_sent:
            return _UNKNOWN
        return _REFUSED if verdict is Verdict.REFUSED else _FAILED
    # Each newer token is worth a try (docs/design.md, "Budgets"), whatever the others have used of
    # the budget.
    may_repeat = attempt < policy.attempts and (budget_left or answer.token_failed)
    if verdict is Verdict.UNKNOWN:
        if idempotent and may_repeat:
            return Decision(State.PENDING, again=True, pause=True, maybe_sent=True)
        return _UNKNOWN
    if verdict is Verdict.ACCEPTED:
        raise ValueError("a single send cannot be ACCEPTED")
    state = state_after(verdict)
    if verdict is Verdict.HALT:
        return Decision(state, maybe_sent=maybe_sent, halt=Halt(answer.code, answer.detail))
    if may_repeat:
        # A throttle holds the whole quota, and a newer token is as good as a first try.
        pause = verdict is Verdict.RETRY and not answer.token_failed
        return Decision(state, again=True, pause=pause, maybe_sent=maybe_sent)
    return Decision(state, maybe_sent=maybe_sent, halt=_spent(answer, attempt, policy))


def _spent(answer: Answer, attempt: int, policy: RetryPolicy) -> Halt:
    """The halt of a budget spent on errors that sent nothing."""
    code = answer.code or Code.NOT_SENT
    if attempt >= policy.attempts:
        tried = f"{counted(attempt, 'attempt')} for one recipient"
    else:
        tried = f"the retries of the whole campaign ({policy.retry_share:.0%} of calls + {policy.retry_allowance})"
    last = answer.detail or "no answer"
    return Halt(code, f"{tried} sent nothing; the last one: {last}. Fix this, then resume")


def lost_answer(error: Exception) -> Answer:
    """The answer of a call that ended in a bug, of ours or of a channel's author: it may have been sent."""
    why = f"the call ended in {raised_at(error)}"
    return Answer(Verdict.UNKNOWN, Code.NO_ANSWER, why, readable=False)
