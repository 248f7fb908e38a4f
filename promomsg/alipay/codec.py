"""Requests to bytes, answers to verdicts. Reading a send never raises: garbage is UNKNOWN.

Rules: docs/facts/alipay.md, "Calling convention" (what an unsigned answer is worth) and
docs/facts/alipay.md, "Idempotency".
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import msgspec

from promomsg.alipay.codes import classify
from promomsg.alipay.models import (
    PlainSuccess,
    SendAnswer,
    SendRequest,
    TokenAnswer,
    TokenRequest,
    UserToken,
)
from promomsg.alipay.signing import Signature
from promomsg.control_characters import is_garbled, replace_halves
from promomsg.errors import OutcomeUnknown, ProviderError
from promomsg.idempotency_key import derive_idempotency_key
from promomsg.masking import Mask, Masker, mask_start, printable
from promomsg.model import Answer, Code, Secret, Verdict
from promomsg.untrusted_json import ConflictingKeys, NotJsonError, parse

__all__ = [
    "ParsedResult",
    "answer_extra",
    "derive_request_id",
    "encode",
    "judge",
    "masking",
    "read_send",
    "read_token",
]

_MAX_CODE: Final = 64
_MAX_ID: Final = 128
_MAX_DETAIL: Final = 512
_MAX_EXTRA: Final = 4096
"""docs/facts/alipay.md, "Response"."""

# Of these two different values in one object are two answers in one: neither is believed.
_DECISIVE: Final = frozenset({"result", "resultCode", "resultStatus"})


def masking(*secrets: Secret | None) -> Mask:
    """A `Mask` of these."""
    return Masker(secret.reveal() for secret in secrets if secret is not None)


class ParsedResult(msgspec.Struct, frozen=True):
    """What an answer says, its signature aside, and the resultStatus that it gives."""

    answer: Answer
    status: str | None = None


_PLAIN_SUCCESS: Final = ParsedResult(Answer(Verdict.SENT, status=200), "S")


class _UnreadableError(Exception):
    """The body is no result; `args[0]` says why, without a piece of it."""


def _reveal(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"{type(value).__name__} is not a JSON value")


_encoder: Final = msgspec.json.Encoder(enc_hook=_reveal)
_plain_success: Final = msgspec.json.Decoder(PlainSuccess)


def encode(request: SendRequest | TokenRequest, extra: bytes = b"") -> bytes:
    """The request's body: raw UTF-8 JSON. `extra` is an encoded object whose fields are added."""
    body = _encoder.encode(request)
    return body[:-1] + b"," + extra[1:] if extra else body


def derive_request_id(run_id: str, key: str, generation: int) -> str:
    """The idempotency key of one recipient in one run: 48 hex digits, always the same.

    Other runs, recipients and generations get others (docs/facts/alipay.md, "Idempotency").
    """
    return derive_idempotency_key(run_id, key, generation, person=b"alipay requestId")


def _parse(body: bytes) -> dict[str, Any]:
    """The answer's object. `_read` checks what decides in it."""
    try:
        parsed = parse(body)
    except NotJsonError as error:
        raise _UnreadableError(error.args[0]) from None
    if not isinstance(parsed, dict):
        raise _UnreadableError("not a JSON object")
    for part in (parsed, parsed.get("result")):
        if isinstance(part, ConflictingKeys) and (names := part.conflicting & _DECISIVE):
            raise _UnreadableError(f"{min(names)} stands in it twice, with different values")
    if b"\\ud" in body.lower():  # perhaps half a character, which nothing here could encode
        plain = replace_halves(json.dumps(parsed, ensure_ascii=False))
        fields: dict[str, Any] = json.loads(plain)
        return fields
    return parsed


def _sound(text: str | None, what: str) -> str | None:
    """A code or a status as it came.

    Raises:
        _UnreadableError: a character of it was cut or is a control character: it may have been
            another one.
    """
    if text is not None and is_garbled(text):
        raise _UnreadableError(f"{what} is garbled")
    return text


def _read(http_status: int, body: bytes, mask: Mask) -> tuple[ParsedResult, dict[str, Any]]:
    """What any endpoint's answer says, and its fields."""
    if http_status >= 500:
        raise _UnreadableError("a server error")
    fields = _parse(body)
    try:
        answer = msgspec.convert(fields, SendAnswer)
    except msgspec.ValidationError:
        raise _UnreadableError("no result, or not of the documented type") from None
    result = answer.result
    meaning = classify(
        _sound(result.result_code, "resultCode"), _sound(result.result_status, "resultStatus")
    )
    if meaning.verdict is Verdict.SENT and http_status >= 300:
        raise _UnreadableError("a success that is not one in HTTP")
    code = detail = ""
    if meaning.verdict is not Verdict.SENT:
        code = (
            _for_report(result.result_code or result.result_status, _MAX_CODE, mask)
            or Code.NO_ANSWER
        )
        detail = _for_report(result.result_message, _MAX_DETAIL, mask)
        if meaning.advice:
            detail = f"{detail} ({meaning.advice})" if detail else meaning.advice
    read = Answer(
        verdict=meaning.verdict,
        code=code,
        detail=detail,
        msg_id=_message_id(answer.message_id, mask),
        token_failed=meaning.token_failed and meaning.verdict is Verdict.FAILED,
        extra=_extend_info(answer.extend_info, mask),
        # U says nothing of this recipient, as WeChat's -1 does.
        readable=meaning.verdict is not Verdict.UNKNOWN,
        status=http_status,
    )
    return ParsedResult(read, result.result_status), fields


def _read_plain(body: bytes, mask: Mask) -> ParsedResult | None:
    """What `_read` reads in a plain success with the status 200, in a quarter of the time; None for
    anything else."""
    try:
        found = _plain_success.decode(body)
    except (msgspec.MsgspecError, ValueError):  # another answer; bytes that are no UTF-8
        return None
    # A key twice, with one value or two, takes more bytes than once. Nothing that this decoder
    # takes is longer when it is written again (escapes and blanks are shorter), so it would show.
    if len(_encoder.encode(found)) != len(body):
        return None
    msg_id, info = found.message_id, found.extend_info
    if not msg_id and info is msgspec.UNSET:
        return _PLAIN_SUCCESS
    read = Answer(
        Verdict.SENT,
        msg_id=_message_id(msg_id, mask),
        extra=None if info is msgspec.UNSET else _extend_info(info, mask),
        status=200,
    )
    return ParsedResult(read, "S")


def read_send(http_status: int, body: bytes, mask: Mask = str) -> ParsedResult:
    """What an answer of `/v2/miniprogram/message/send` means, its signature aside. Never raises.

    UNKNOWN with `Code.NO_ANSWER`: not JSON, cut short, not the documented types, a decisive field
    twice with different values, a 5xx, or a success in an HTTP error. HTTP 429 without a readable
    result is THROTTLED: a gateway's limit, and the same requestId is asked again.
    """
    if http_status == 200 and (plain := _read_plain(body, mask)) is not None:
        return plain
    try:
        return _read(http_status, body, mask)[0]
    except _UnreadableError as error:
        verdict, code = Verdict.UNKNOWN, Code.NO_ANSWER
        if http_status == 429:
            verdict, code = Verdict.THROTTLED, Code.HTTP_429
        readable = verdict is Verdict.THROTTLED  # a 429 is an answer
        detail = f"HTTP {http_status}: {error}"
        return ParsedResult(Answer(verdict, code, detail, readable=readable, status=http_status))


def judge(parsed: ParsedResult, signature: Signature) -> Answer:
    """What an answer is worth, given its signature. Pure
    (docs/facts/alipay.md, "Calling convention").

    - good, or verification off: what it says;
    - missing: what it says when its status is F or U, or when it claims nothing that needs
      belief (UNKNOWN, THROTTLED: the same requestId is asked again); else UNKNOWN, `UNSIGNED`;
    - bad: UNKNOWN, `UNSIGNED`, whatever it says: a forged or garbled answer proves nothing, and
      asking again with the same requestId is safe.
    """
    answer = parsed.answer
    if signature in (Signature.GOOD, Signature.UNCHECKED):
        return answer
    claim = answer.code or "success"
    if signature is Signature.BAD:
        return Answer(
            Verdict.UNKNOWN,
            Code.UNSIGNED,
            f"the answer says {claim}, but its signature is wrong (is public_key the wallet's?)",
            status=answer.status,
        )
    if answer.verdict in (Verdict.UNKNOWN, Verdict.THROTTLED):
        return answer
    if parsed.status in ("F", "U") and answer.verdict is not Verdict.SENT:
        return answer
    detail = f"the answer says {claim}, but it is not signed"
    return Answer(Verdict.UNKNOWN, Code.UNSIGNED, detail, status=answer.status)


def answer_extra(answer: Answer) -> str | None:
    """What an outcome keeps of an answer beside its code: `extendInfo` as it came; with a
    `messageId`, both in one JSON object."""
    if answer.msg_id is None:
        return answer.extra
    found = {"messageId": answer.msg_id, "extendInfo": answer.extra}
    return msgspec.json.encode({k: v for k, v in found.items() if v is not None}).decode()


def read_token(http_status: int, body: bytes, signature: Signature, mask: Mask = str) -> UserToken:
    """The tokens of an applyToken answer.

    Raises:
        ProviderError: it was refused; `verdict` is the code's.
        OutcomeUnknown: nobody can say: the answer is unreadable, badly signed, or a success
            without a signature. An authorization code or refresh token may be spent.
    """
    try:
        parsed, fields = _read(http_status, body, mask)
    except _UnreadableError as error:
        if http_status == 429:  # a gateway's limit: nothing was spent
            detail = f"applyToken: too many calls: {error}"
            raise ProviderError(
                Code.HTTP_429, detail, None, Verdict.THROTTLED, status=http_status
            ) from None
        text = f"applyToken: HTTP {http_status}: {error}"
        raise OutcomeUnknown(text, status=http_status) from None
    answer = judge(parsed, signature)
    if answer.code == Code.UNSIGNED:
        raise OutcomeUnknown(f"applyToken: {answer.detail}", status=http_status)
    if answer.verdict is not Verdict.SENT:
        raise ProviderError(answer.code, answer.detail, None, answer.verdict, status=http_status)
    try:
        token = msgspec.convert(fields, TokenAnswer, dec_hook=_hide)
    except msgspec.ValidationError:
        token = None
    if token is None or not token.access_token or _is_garbled(token):
        text = "applyToken: it says success, but there is no readable token in it"
        raise OutcomeUnknown(text, status=http_status)
    return UserToken(
        access_token=token.access_token,
        access_token_expiry=_moment(token.access_token_expiry_time),
        refresh_token=token.refresh_token or None,
        refresh_token_expiry=_moment(token.refresh_token_expiry_time),
        customer_id=token.customer_id,
    )


def _is_garbled(token: TokenAnswer) -> bool:
    """Whether a token lost a character on its way: it would be stored, and be nobody's."""
    return any(
        secret is not None and is_garbled(secret.reveal())
        for secret in (token.access_token, token.refresh_token)
    )


def _hide(kind: type, value: object) -> Secret:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError("not a string")


def _moment(value: object) -> datetime | None:
    """ISO 8601 with an offset; None for anything else: an expiry is only advice."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _for_report(value: object, limit: int, mask: Mask) -> str:
    """A provider's text for one line of a report: see `masking.printable`."""
    if value is None or isinstance(value, (dict, list, bool)):
        return ""
    return printable(str(value), limit, mask)


def _message_id(value: object, mask: Mask) -> str | None:
    """None for one that is garbled: it would name another message."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return None if is_garbled(text) else _for_report(text, _MAX_ID, mask) or None


def _extend_info(value: object, mask: Mask) -> str | None:
    """`extendInfo` as it came, when it is text; else as JSON. Storable as UTF-8."""
    if value is None or value == "":
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return mask_start(text, 2 * _MAX_EXTRA, mask).replace("\0", "\ufffd")[:_MAX_EXTRA]
