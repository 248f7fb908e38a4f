"""One send outside a campaign: what `send_one` of every channel shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from promomsg.addresses import parse_address
from promomsg.channels.base import Channel, CompiledMessage
from promomsg.errors import Halted, NotSent, OutcomeUnknown, PromoError, ProviderError, UsageError
from promomsg.message_parameters import plain_parameter
from promomsg.model import (
    Answer,
    Code,
    Outcome,
    Problem,
    Recipient,
    Secret,
    SingleSend,
    State,
    Verdict,
)
from promomsg.placeholders import MissingParam
from promomsg.states import state_after
from promomsg.transport.fair_semaphore import SemaphoreShare
from promomsg.transport.last_check import GateCheck, LastCheck
from promomsg.transport.quota.limiter import SINGLES_PER_DAY, RateLimiter
from promomsg.transport.retry_after import retry_after
from promomsg.transport.session import HttpSession

__all__ = [
    "TOKENS_TRIED",
    "as_secret",
    "call_at_pace",
    "error_of",
    "failed_call",
    "lost_answer",
    "not_sent",
    "outcome_of",
    "recipient_type_error",
    "single_send_for",
    "usable_address",
    "waiting_as_asked",
]

TOKENS_TRIED: Final = 3
"""Tokens that one call tries: the current one and two newer ones."""
_DAY_USED_UP: Final = "the pace's singles_per_day are used up for this China-time day"


def recipient_type_error(to: object) -> UsageError | None:
    """What `send_one` says to anything else; its type alone, since the rest may be a token."""
    if isinstance(to, Recipient):
        return None
    return UsageError(
        f"send_one: {type(to).__name__} is not a recipient; after the message say Recipient(id=…), "
        "Recipient(openid=…) or Recipient(access_token=…)"
    )


def as_secret(value: object) -> tuple[Secret | None, str | None]:
    """A secret of the caller's, out of sight, and the name of its type when it is none.

    Whoever takes one rebinds its variable to the first before anything can be raised: errors are
    shown with the variables of the frames they came through.
    """
    if value is None or isinstance(value, (str, Secret)):
        return (Secret(value) if value else None), None
    return None, type(value).__name__


def usable_address(name: str, value: str | None, who: str) -> str | None:
    """An address of a call outside a campaign, by the rule of every list.

    Raises:
        UsageError: it is fractional, `1.2E+17`, NaN or something else that no address is.
    """
    found = parse_address(name, value)
    if isinstance(found, Problem):
        raise UsageError(f"{who}: {found.code}: {found.detail}")
    return found


def _token_problem(token: Secret | str | None) -> Problem | None:
    found = parse_address("access_token", token)
    return found if isinstance(found, Problem) else None


def _plain_params(compiled: CompiledMessage, params: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The parameters that the message uses, by the rule of every list.

    Raises:
        UsageError: one is no text, number, date or the like.
    """
    plain = {name: plain_parameter(name, params.get(name)) for name in compiled.names}
    for value in plain.values():
        if isinstance(value, Problem):
            raise UsageError(f"recipient {key!r}: {value.code}: {value.detail}")
    return plain


def single_send_for(channel: Channel, compiled: CompiledMessage, to: Recipient) -> SingleSend:
    """What a channel delivers for one recipient.

    Raises:
        UsageError: no usable address, a missing parameter, or a message over a limit.
    """
    token = None if to.access_token is None else Secret(to.access_token)
    key = to.key or ""
    id, openid, unionid, request_id = (
        usable_address(name, getattr(to, name), f"recipient {key!r}")
        for name in ("id", "openid", "unionid", "request_id")
    )
    # The token is in no variable of this frame, which an error below is shown with.
    problem = _token_problem(token) or channel.check_address(
        id, openid, unionid, None if token is None else token.reveal(), request_id
    )
    values: tuple[str, ...] = ()
    if problem is None:
        try:
            values = compiled.values(_plain_params(compiled, to.params, key), key)
        except MissingParam as missing:
            raise UsageError(
                f"recipient {key!r} has no {missing.args[0]!r} for the message's "
                f"placeholder {{{missing.args[0]}}}"
            ) from None
        problem = compiled.problem(values)
    if problem is not None:
        raise UsageError(f"recipient {key!r}: {problem.code}: {problem.detail}")
    return SingleSend(
        seq=0,
        key=key,
        id=id,
        openid=openid,
        unionid=unionid,
        values=values,
        request_id=request_id,
        token=token,
    )


def not_sent(error: NotSent) -> Answer:
    """What a send comes to whose call, or whose token's, failed before its first byte left."""
    if error.permanent:
        detail = f"{error}; waiting does not help"
        return Answer(
            Verdict.HALT,
            Code.NOT_SENT,
            detail,
            error.rid,
            readable=False,
            status=error.status,
        )
    if error.retry_after is not None:
        # Of the token call alone: the sends' own pace has nothing to do with it.
        return Answer(
            Verdict.THROTTLED,
            error.code,
            str(error),
            error.rid,
            retry_after=error.retry_after,
            token_failed=True,
            status=error.status,
        )
    return Answer(
        Verdict.RETRY,
        Code.NOT_SENT,
        str(error),
        error.rid,
        readable=False,
        status=error.status,
    )


def lost_answer(error: OutcomeUnknown) -> Answer:
    """What a send comes to whose answer was lost, or is none."""
    return Answer(
        Verdict.UNKNOWN,
        Code.NO_ANSWER,
        str(error),
        error.rid,
        readable=False,
        status=error.status,
    )


def failed_call(error: PromoError) -> Answer:
    """What a send comes to whose call raised instead of being answered. Before the first byte nothing
    was sent; after it the answer was lost.

    Args:
        error: NotSent, OutcomeUnknown, Halted, or a UsageError (the client was closed, or is another
            event loop's: nothing left).
    """
    if isinstance(error, NotSent):
        return not_sent(error)
    if isinstance(error, OutcomeUnknown):
        return lost_answer(error)
    if isinstance(error, Halted):
        return Answer(Verdict.HALT, error.code, error.detail, error.rid, status=error.status)
    return Answer(Verdict.HALT, Code.CLIENT, str(error))


def waiting_as_asked(answer: Answer, headers: Mapping[str, str], now: float) -> Answer:
    """A THROTTLED answer with the seconds that its own Retry-After names, when it has one."""
    seconds = retry_after(headers, now)
    return answer if seconds is None else msgspec.structs.replace(answer, retry_after=seconds)


async def call_at_pace(
    limiter: RateLimiter,
    http: HttpSession,
    share: SemaphoreShare,
    call: Callable[[LastCheck], Awaitable[Answer]],
    renew: Callable[[Answer], Awaitable[Answer | None]] | None = None,
) -> Answer:
    """One call, at the pace. A refused token is replaced, since nothing was sent with it.

    Nothing else is tried again, not even what was not sent: there is no journal that would hold the
    attempts, and the caller, who waits for this one outcome, may give up at any moment. Whether
    to try again is for them to say, by the error or the outcome.

    Args:
        share: the client's single calls among all that share its connections.
        renew: replaces a refused token that is the recipient's own; None: another call is worth
            it, else what it comes to without one.

    Raises:
        NotSent: no connection was free within the client's time-out.
    """
    for attempt in range(1, TOKENS_TRIED + 1):
        answer = await _call_with_permit(limiter, http, share, call)
        if renew is not None and answer.verdict is Verdict.RETRY and answer.token_failed:
            answer = await renew(answer) or answer
        if answer.verdict is Verdict.THROTTLED and not answer.token_failed:
            limiter.throttled(answer.retry_after)
        if answer.verdict is not Verdict.RETRY or not answer.token_failed:
            break
        if attempt == TOKENS_TRIED:
            break
    return answer


async def _call_with_permit(
    limiter: RateLimiter,
    http: HttpSession,
    share: SemaphoreShare,
    call: Callable[[LastCheck], Awaitable[Answer]],
) -> Answer:
    """One call that holds a permit of the connections. The gate comes right before its first byte,
    since it counts the call from that moment."""
    while True:
        if not await limiter.reserve(1):
            return Answer(Verdict.HALT, SINGLES_PER_DAY, _DAY_USED_UP)
        check = GateCheck(limiter)
        try:
            await http.acquire_permit(share)
            try:
                answer = await call(check)
            finally:
                share.release()
        finally:
            if not check.passed:
                limiter.give_back(1)
        if not check.withheld:
            return answer
        await limiter.wait_while_held()


def error_of(answer: Answer) -> PromoError:
    """The exception that says what an answer which is neither sent nor refused-for-one means."""
    if answer.verdict is Verdict.HALT and answer.code == Code.CLIENT:
        return UsageError(answer.detail)  # closed, or another event loop's: nothing was asked
    if answer.verdict is Verdict.UNKNOWN:
        text = f"{answer.code}: {answer.detail}"
        return OutcomeUnknown(text, status=answer.status, rid=answer.rid)
    halted = answer.verdict is Verdict.HALT and answer.code == Code.NOT_SENT
    if halted or (answer.verdict is Verdict.RETRY and not answer.token_failed):
        return NotSent(answer.detail, permanent=halted, status=answer.status, rid=answer.rid)
    return ProviderError(
        answer.code,
        answer.detail,
        answer.rid,
        answer.verdict,
        answer.retry_after,
        status=answer.status,
    )


def outcome_of(to: Recipient, answer: Answer, at: float) -> Outcome:
    """The outcome of one direct send.

    Raises:
        ProviderError, NotSent: the answer says nothing of this recipient (HALT, THROTTLED, RETRY).
        UsageError: the client is closed, or belongs to another event loop.
    """
    state = state_after(answer.verdict)
    if state is State.PENDING:
        raise error_of(answer)
    return Outcome(
        recipient=msgspec.structs.replace(to, access_token=None),
        state=state,
        code=answer.code,
        detail=answer.detail,
        rid=answer.rid,
        attempts=1,
        at=at,
        extra=answer.extra,
        status=answer.status,
    )
