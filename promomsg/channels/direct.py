"""One send outside a campaign: what `send_one` of every channel shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from promomsg.channels.base import Channel, Letter
from promomsg.errors import NotSent, OutcomeUnknown, PromoError, ProviderError, UsageError
from promomsg.model import Answer, Outcome, Parcel, Recipient, State, Verdict
from promomsg.placeholders import MissingParam
from promomsg.transport.pace import Lane

__all__ = ["error_of", "kept", "outcome_of", "paced", "parcel_for"]

_TOKENS_WORTH: Final = 3
"""Tokens that one direct call tries: the current one and two newer ones."""

_STATES: Final = {
    Verdict.SENT: State.SENT,
    Verdict.FAILED: State.FAILED,
    Verdict.REFUSED: State.FAILED,
    Verdict.UNKNOWN: State.UNKNOWN,
}


def parcel_for(
    channel: Channel, letter: Letter, to: Recipient, *, request_id: str | None = None
) -> Parcel:
    """What a channel delivers for one recipient.

    Raises:
        UsageError: no usable address, a missing parameter, or a message over a limit.
    """
    token = to.access_token
    revealed = token if token is None or isinstance(token, str) else token.reveal()
    key = to.key or ""
    problem = channel.check_address(
        to.id, to.openid, to.unionid, revealed, to.request_id or request_id
    )
    values: tuple[str, ...] = ()
    if problem is None:
        try:
            values = letter.values(to.params, key)
        except MissingParam as missing:
            raise UsageError(
                f"recipient {key!r} has no {missing.args[0]!r} for the message's "
                f"placeholder {{{missing.args[0]}}}"
            ) from None
        problem = letter.problem(values)
    if problem is not None:
        raise UsageError(f"recipient {key!r}: {problem.code}: {problem.detail}")
    return Parcel(
        seq=0,
        key=key,
        id=to.id,
        openid=to.openid,
        unionid=to.unionid,
        values=values,
        request_id=to.request_id or request_id,
        token=to.access_token if not isinstance(to.access_token, str) else None,
    )


async def paced(lane: Lane, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """One call at its turn. A refused token is replaced, since nothing was sent with it."""
    for attempt in range(1, _TOKENS_WORTH + 1):
        await lane.reserve(1)
        while not await lane.gate():
            await lane.wait_held()
            await lane.reserve(1)
        answer = await call()
        if answer.verdict is Verdict.THROTTLED:
            lane.throttled(answer.retry_after)
        if answer.verdict is not Verdict.RETRY or not answer.token_failed:
            break
        if attempt == _TOKENS_WORTH:
            break
    return answer


def error_of(answer: Answer) -> PromoError:
    """The exception that says what an answer which is neither sent nor refused-for-one means."""
    if answer.verdict is Verdict.UNKNOWN:
        return OutcomeUnknown(f"{answer.code}: {answer.detail}")
    if answer.verdict is Verdict.RETRY and not answer.token_failed:
        return NotSent(answer.detail)
    return ProviderError(answer.code, answer.detail, answer.rid, answer.verdict)


def kept(answer: Answer) -> str | None:
    """What else of an answer an outcome keeps: `extendInfo` as it came, or with a `messageId`
    both in one JSON object."""
    if answer.msg_id is None:
        return answer.extra
    found = {"messageId": answer.msg_id, "extendInfo": answer.extra}
    return msgspec.json.encode({k: v for k, v in found.items() if v is not None}).decode()


def outcome_of(to: Recipient, answer: Answer, at: float) -> Outcome:
    """The outcome of one direct send.

    Raises:
        ProviderError, NotSent: the answer says nothing of this recipient (HALT, THROTTLED, RETRY).
    """
    state = _STATES.get(answer.verdict)
    if state is None:
        raise error_of(answer)
    return Outcome(
        recipient=msgspec.structs.replace(to, access_token=None),
        state=state,
        code=answer.code,
        detail=answer.detail,
        rid=answer.rid,
        attempts=1,
        at=at,
        extra=kept(answer),
    )
