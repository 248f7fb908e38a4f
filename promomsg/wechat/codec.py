"""Request values to bytes, and (status, body) to a verdict or a value. (After gidgethub's sansio.)

What a send's answer means never raises: it is an `Answer`. Reads, which are in `read_answers`, raise
`ProviderError` for a refusal and `OutcomeUnknown` for an answer that cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from promomsg.answers import read_object, unknown_answer, unreadable_answer
from promomsg.errors import NotSent, ProviderError, TransportError, UsageError
from promomsg.masking import Mask
from promomsg.model import (
    Answer,
    Audience,
    Code,
    Everyone,
    Promoters,
    Retailers,
    Roles,
    Secret,
    Verdict,
)
from promomsg.suggest import did_you_mean
from promomsg.untrusted_json import ConflictingKeys, NotJsonError, parse, to_text
from promomsg.wechat.codes import ROWS, Meaning, ParsedErrcode, parse_errcode
from promomsg.wechat.models import (
    ClicksRequest,
    DeliveryRequest,
    PromotersRequest,
    QuotaRequest,
    SendAnswer,
    StableTokenRequest,
)
from promomsg.wechat.read_answers import (
    read_clicks,
    read_delivery,
    read_promoters,
    read_quota,
    read_roles,
    read_token,
    rid_of_answer,
)

__all__ = [
    "audience_fields",
    "clicks_body",
    "delivery_body",
    "is_transient",
    "promoters_body",
    "quota_body",
    "read_clicks",
    "read_delivery",
    "read_group",
    "read_promoters",
    "read_quota",
    "read_roles",
    "read_single",
    "read_token",
    "rid_of_answer",
    "roles_body",
    "stable_token_body",
    "token_refused",
]

_WAIT: Final = frozenset({Verdict.UNKNOWN, Verdict.THROTTLED, Verdict.RETRY})
_SENT: Final = Answer(Verdict.SENT, status=200)
_USUAL_SUCCESS: Final = frozenset(
    b'{"errcode":%b0,"errmsg":%b"%b"}' % (gap, gap, text)
    for gap in (b"", b" ")
    for text in (b"ok", b"OK")
)
"""The usual success, byte for byte: most answers of a campaign need no decoding."""

_encode: Final = msgspec.json.Encoder().encode
_decode_send: Final = msgspec.json.Decoder(SendAnswer).decode


# Requests.


def audience_fields(audience: Audience) -> bytes:
    """The fields of `sendmsg` that say who gets it, each after a comma
    (docs/facts/wechat.md, "Group send").

    `Promoters` is list_type 3, `Roles` 1, `Retailers` 2; only `Everyone(confirm=True)` leaves
    list_type out. An empty list raises: WeChat would send to everybody.

    Raises:
        UsageError: an empty list or name, a role that is not a whole number, an unconfirmed
            `Everyone`, or something that is not an audience.
    """
    if isinstance(audience, Everyone):
        if audience.confirm is not True:
            raise UsageError("sendmsg: Everyone() needs confirm=True")
        return b""
    if isinstance(audience, Roles):
        if not all(type(i) is int for i in audience.ids):
            raise UsageError(f"sendmsg: role ids are whole numbers, given {audience.ids!r}")
        head = b',"list_type":1,"role_id":'
    elif isinstance(audience, (Promoters, Retailers)):
        if not all(isinstance(i, str) and i for i in audience.ids):
            raise UsageError(f"sendmsg: an empty or non-string name in {type(audience).__name__}")
        by_id = isinstance(audience, Promoters)
        head = b',"list_type":3,"id":' if by_id else b',"list_type":2,"retail_id":'
    else:
        raise UsageError(f"sendmsg: {type(audience).__name__} is not an audience")
    if not audience.ids:
        raise UsageError(
            f"sendmsg: {type(audience).__name__} is empty; WeChat would send to every promoter"
        )
    return head + _encode(audience.ids)


def delivery_body(msg_id: str) -> bytes:
    """`getmsg`: only the msg_id (docs/facts/wechat.md, "Wire oddities").

    Raises:
        UsageError: it is empty or not a string.
    """
    return _encode(DeliveryRequest(msg_id=_named("msg_id", msg_id)))


def clicks_body(
    send_date: str,
    *,
    dimension: int,
    msg_type: int,
    msg_id: str | None = None,
    begin: int | None = None,
    end: int | None = None,
) -> bytes:
    """`getmsgclickdata`; `click_days.check_clicks` says beforehand what cannot be asked."""
    return _encode(
        ClicksRequest(
            send_date=send_date,
            dimension=dimension,
            msg_type=msg_type,
            msg_id=msg_id,
            begin_send_time=begin,
            end_send_time=end,
        )
    )


def promoters_body(**filters: Any) -> bytes:
    """`getpromoter`: the fields of `models.PromotersRequest`; those that are None are left out.

    Raises:
        UsageError: a filter that there is not, or a value of the wrong type.
    """
    known = PromotersRequest.__struct_fields__
    for name in filters:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise UsageError(f"getpromoter: no filter {name!r}{hint}")
    if isinstance(filters.get("need_unionid"), bool):
        filters["need_unionid"] = int(filters["need_unionid"])
    try:
        return _encode(msgspec.convert(filters, PromotersRequest))
    except msgspec.ValidationError as error:
        raise UsageError(f"getpromoter: {error}") from None


def roles_body() -> bytes:
    """`getrole`: no parameter is published."""
    return b"{}"


def stable_token_body(appid: str, secret: str | Secret, *, force: bool = False) -> bytes:
    """`stable_token`; `force` kills the old token and is for leaks only
    (docs/facts/wechat.md, "Access token")."""
    return _encode(
        StableTokenRequest(appid=appid, secret=Secret(secret).reveal(), force_refresh=force)
    )


def quota_body(path: str) -> bytes:
    """`quota/get` for one endpoint's path, `/promoter/sendmsg` say."""
    return _encode(QuotaRequest(cgi_path=_named("path", path)))


def _named(what: str, value: object) -> str:
    text = to_text(value)
    if text is None or not isinstance(value, str):
        raise UsageError(f"{what}: give a non-empty string, not {value!r}")
    return text


# Answers of sends.


def read_single(
    status: int, body: bytes, mask: Mask = str, rows: Mapping[str, Meaning] = ROWS
) -> Answer:
    """What the answer of a send to one person means. Never raises; SENT only for errcode 0.

    Args:
        rows: the meanings of the errcodes, by their text.
    """
    if status == 200 and body in _USUAL_SUCCESS:
        return _SENT
    fast = _decode_fast(status, body)
    if fast is not None and fast.errcode == 0:
        return _SENT
    parsed = _parse_answer(status, body, mask, rows)
    if isinstance(parsed, Answer):
        return parsed
    if parsed[0].row.code == "0":
        return Answer(Verdict.SENT, status=status)
    return _answer(parsed[0], parsed[0].row.single, status)


def read_group(status: int, body: bytes, mask: Mask = str) -> Answer:
    """What the answer of a `sendmsg` means. Never raises; ACCEPTED only for errcode 0.

    Errcode 0 without a msg_id is UNKNOWN: the messages may be going out, and nothing can tell how
    that went. One that has a secret of ours in it is none: it would be kept and shown.
    """
    fast = _decode_fast(status, body)
    if fast is not None and fast.errcode == 0 and _usable_msg_id(fast.msg_id, mask) is not None:
        return Answer(Verdict.ACCEPTED, msg_id=fast.msg_id, status=status)
    parsed = _parse_answer(status, body, mask)
    if isinstance(parsed, Answer):
        return parsed
    errcode, data = parsed
    if errcode.row.code != "0":
        return _answer(errcode, errcode.row.group, status)
    msg_id = _usable_msg_id(data.get("msg_id"), mask)
    if msg_id is None:
        return Answer(
            Verdict.UNKNOWN,
            Code.NO_ANSWER,
            "accepted (errcode 0), but the answer has no msg_id: how it went cannot be asked; "
            "getmsgclickdata may list it from tomorrow",
            errcode.rid,
            status=status,
        )
    return Answer(Verdict.ACCEPTED, rid=errcode.rid, msg_id=msg_id, status=status)


def _usable_msg_id(msg_id: object, mask: Mask) -> str | None:
    text = to_text(msg_id, 128)
    return text if text is not None and mask(text) == text else None


def _decode_fast(status: int, body: bytes) -> SendAnswer | None:
    """The answer when it is ASCII JSON without escapes or repeated keys; None: read it slowly."""
    if status != 200 or body.count(b'"errcode"') != 1 or b"\\" in body or not body.isascii():
        return None
    if body.count(b'"msg_id"') > 1:
        return None
    try:
        return _decode_send(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _parse_answer(
    status: int, body: bytes, mask: Mask, rows: Mapping[str, Meaning] = ROWS
) -> tuple[ParsedErrcode, dict[str, Any]] | Answer:
    """What the answer says, and all of it; or what an unreadable one comes to."""
    data = read_object(status, body, mask, decisive=("errcode", "msg_id"))
    if isinstance(data, Answer):
        return msgspec.structs.replace(data, rid=rid_of_answer(body, mask))
    parsed = parse_errcode(data, mask, rows)
    if parsed is None:
        why = "without a readable errcode"
        return unreadable_answer(status, body, why, rid_of_answer(body, mask))
    if parsed.row.code == "0" and status >= 300:
        return unknown_answer(status, body, "with errcode 0", parsed.rid)
    return parsed, data


def _answer(parsed: ParsedErrcode, verdict: Verdict, status: int) -> Answer:
    row = parsed.row
    return Answer(
        verdict,
        row.code,
        parsed.detail,
        parsed.rid,
        retry_after=row.retry_after,
        token_failed=row.token_failed,
        readable=verdict is not Verdict.UNKNOWN,
        status=status,
    )


# Whether another try is worth it.


def is_transient(error: BaseException) -> bool:
    """Whether a failed read is worth another try: the connection, −1, 45011, 429, a stale token."""
    if isinstance(error, ProviderError):
        return error.verdict in _WAIT
    if isinstance(error, NotSent) and error.permanent:
        return False
    return isinstance(error, TransportError)


def token_refused(body: bytes) -> bool:
    """Whether an answer says that the access token was refused (40001, 40014, 42001)."""
    if len(body) > 4096 or b"errcode" not in body:
        return False  # a refusal is short; this keeps large pages from being parsed twice
    try:
        data = parse(body)
    except NotJsonError:
        return False
    if not isinstance(data, dict) or isinstance(data, ConflictingKeys):
        return False
    parsed = parse_errcode(data)
    return parsed is not None and parsed.row.token_failed
