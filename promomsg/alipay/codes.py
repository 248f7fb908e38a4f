"""resultCode first, resultStatus second → verdict: one table, a source on each row.

All of it is docs/facts/alipay.md, "Result".
"""

from __future__ import annotations

from typing import Final

import msgspec

from promomsg.model import Verdict

__all__ = ["CODES", "Meaning", "classify"]


class Meaning(msgspec.Struct, frozen=True):
    """What a resultCode means for a send.

    Attributes:
        verdict: see `Verdict`.
        source: where the rule is from.
        token_failed: it is the user's access token that failed.
        advice: what a person can do about it; empty when the provider's own text says it all.
        text: what the code says, for a person.
    """

    verdict: Verdict
    source: str
    token_failed: bool = False
    advice: str = ""
    text: str = ""


_FACTS: Final = 'docs/facts/alipay.md, "Result"'
_KEYS: Final = "check private_key, key_version and the public key registered on the portal"
_EXPIRED: Final = "this user has to authorise again"

CODES: Final[dict[str, Meaning]] = {
    "SUCCESS": Meaning(Verdict.SENT, _FACTS, text="ok"),
    "UNKNOWN_EXCEPTION": Meaning(
        Verdict.UNKNOWN,
        _FACTS,
        text="the wallet does not know what became of it",
    ),
    "REQUEST_TRAFFIC_EXCEED_LIMIT": Meaning(Verdict.THROTTLED, _FACTS, text="too many calls"),
    "EXPIRED_ACCESS_TOKEN": Meaning(
        Verdict.FAILED, _FACTS, True, _EXPIRED, text="the user's access token is over"
    ),
    "INVALID_ACCESS_TOKEN": Meaning(
        Verdict.FAILED, _FACTS, True, _EXPIRED, text="the user's access token is not accepted"
    ),
    "USER_NOT_SUBSCRIBED": Meaning(
        Verdict.FAILED, _FACTS, text="the user does not subscribe to these messages"
    ),
    "USER_STATUS_ERROR": Meaning(
        Verdict.FAILED, _FACTS, text="the user's account is not in a state to get messages"
    ),
    "MESSAGE_SEND_EXCEED_LIMIT": Meaning(
        Verdict.FAILED, _FACTS, text="the user has had as many messages as the wallet allows"
    ),
    "TEMPLATE_NOT_EXIST": Meaning(
        Verdict.REFUSED,
        _FACTS,
        advice="check template_code and the language on the portal",
        text="there is no such template, or not in this language",
    ),
    "PARAM_ILLEGAL": Meaning(
        Verdict.FAILED,
        _FACTS,
        text="a parameter is not accepted; it may be the user's token or their values",
    ),
    "INVALID_API": Meaning(
        Verdict.HALT, _FACTS, advice="check base_url and its prefix", text="no such interface"
    ),
    "ACCESS_DENIED": Meaning(
        Verdict.HALT,
        _FACTS,
        advice="the client may not call this API; see the portal",
        text="the client may not call this interface",
    ),
    "INVALID_CLIENT": Meaning(
        Verdict.HALT, _FACTS, advice="check client_id", text="the client id is not accepted"
    ),
    "INVALID_SIGNATURE": Meaning(
        Verdict.HALT,
        _FACTS,
        advice=_KEYS + ", and signature_encoding",
        text="the signature does not fit the request",
    ),
    "INVALID_AUTH_CLIENT": Meaning(
        Verdict.HALT, _FACTS, advice="check authClientId", text="the authClientId is not accepted"
    ),
    "METHOD_NOT_SUPPORTED": Meaning(
        Verdict.HALT, _FACTS, advice="check base_url", text="the HTTP method is not accepted"
    ),
    "MEDIA_TYPE_NOT_ACCEPTABLE": Meaning(
        Verdict.HALT, _FACTS, advice="check base_url", text="the content type is not accepted"
    ),
    "KEY_NOT_FOUND": Meaning(
        Verdict.HALT,
        _FACTS,
        advice=_KEYS,
        text="no public key is registered for this client and key version",
    ),
}
"""Codes whose meaning is theirs alone."""

_FAILURES: Final = frozenset({"PROCESS_FAIL"})
"""Codes of a failure that say no more of it than their status ("PROCESS_FAIL, any other F"), but
that with S contradict it."""

_BY_STATUS: Final[dict[str | None, Meaning]] = {
    "S": Meaning(Verdict.SENT, _FACTS),
    "F": Meaning(Verdict.FAILED, _FACTS + ", any other F"),
    "U": Meaning(Verdict.UNKNOWN, _FACTS + ", any other U"),
}
_CONTRADICTION: Final = Meaning(
    Verdict.UNKNOWN,
    "inferred: code and status contradict each other, and asking again with the same requestId "
    'is safe (docs/facts/alipay.md, "Idempotency")',
)
_NO_STATUS: Final = Meaning(
    Verdict.UNKNOWN, "inferred: a code without a known meaning, and no status that has one"
)


def classify(code: str | None, status: str | None) -> Meaning:
    """What a result means. Pure and total.

    A known code decides, except against its status: SUCCESS with anything but S (or no status at
    all), and a refusal with S (PROCESS_FAIL too), are UNKNOWN, since one half of such an answer is
    false and it cannot be said which. Without a known code the status decides, and without either it
    is UNKNOWN.
    """
    meaning = CODES.get(code) if code is not None else None
    if meaning is None:
        if status == "S" and code in _FAILURES:
            return _CONTRADICTION
        return _BY_STATUS.get(status, _NO_STATUS)
    if meaning.verdict is Verdict.SENT:
        return meaning if status in ("S", None) else _CONTRADICTION
    return _CONTRADICTION if status == "S" else meaning
