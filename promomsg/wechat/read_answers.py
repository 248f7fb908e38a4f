"""Answers of reads to values: typed, tolerant of odd fields, never guessing what was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from promomsg.errors import OutcomeUnknown, ProviderError
from promomsg.masking import Mask, printable
from promomsg.model import Code, Delivery, Secret, Verdict
from promomsg.untrusted_json import (
    ConflictingKeys,
    NotJsonError,
    describe,
    parse,
    to_int,
    to_text,
    to_words,
)
from promomsg.wechat.codes import (
    DETAIL_LIMIT,
    EMPTY,
    advice_for,
    meaning_of,
    parse_errcode,
    request_id_of,
)
from promomsg.wechat.models import Clicks, DeliveryAnswer, Promoter, PromoterPage, Quota, Role

__all__ = [
    "read_clicks",
    "read_delivery",
    "read_promoters",
    "read_quota",
    "read_roles",
    "read_token",
    "rid_of_answer",
]

T = TypeVar("T")


def rid_of_answer(body: bytes, mask: Mask) -> str | None:
    """The request id in the errmsg of an answer that nothing else is believed of: a 5xx, say."""
    try:
        data = parse(body)
    except NotJsonError:
        return None
    if not isinstance(data, dict):
        return None
    if isinstance(data, ConflictingKeys) and "errmsg" in data.conflicting:
        return None
    return request_id_of(data.get("errmsg"), mask)


def _read(
    what: str, status: int, body: bytes, expected: tuple[str, ...], mask: Mask
) -> dict[str, Any]:
    """The object of a read that went well.

    A missing errcode counts as 0 when a field that was asked for is there
    (docs/facts/wechat.md, "Wire oddities").

    Raises:
        ProviderError: refused. OutcomeUnknown: not a readable answer. Both with the status, and the
            rid where there is one.
    """
    if not (200 <= status < 300 or 400 <= status < 500):
        rid = rid_of_answer(body, mask)
        raise OutcomeUnknown(f"{what}: HTTP {status}: {describe(body)}", status=status, rid=rid)
    try:
        data = parse(body)
    except NotJsonError as error:
        raise _unreadable(what, status, body, f"the answer is {error}") from None
    if not isinstance(data, dict):
        raise _unreadable(what, status, body, "the answer is not a JSON object")
    if isinstance(data, ConflictingKeys):
        known = sorted(data.conflicting & {"errcode", *expected})
        keys = ", ".join(known) or "a field"
        raise OutcomeUnknown(
            f"{what}: the answer gives {keys} twice, with different values",
            status=status,
            rid=rid_of_answer(body, mask),
        )
    if data.get("errcode") is None and any(name in data for name in expected):
        data["errcode"] = 0
    parsed = parse_errcode(data, mask)
    if parsed is None:
        rid = request_id_of(data.get("errmsg"), mask)
        raise _unreadable(what, status, body, "the answer has no readable errcode", rid)
    row = parsed.row
    if row.code != "0":
        raise ProviderError(
            row.code, parsed.detail, parsed.rid, row.single, row.retry_after, status=status
        )
    if status >= 300:
        detail = f"{what}: HTTP {status} with errcode 0: {describe(body)}"
        raise OutcomeUnknown(detail, status=status, rid=parsed.rid)
    return data


def _unreadable(
    what: str, status: int, body: bytes, why: str, rid: str | None = None
) -> ProviderError | OutcomeUnknown:
    if status == 429:  # a gateway's limit (docs/facts/wechat.md, "HTTP answers")
        detail = f"{what}: too many calls: {describe(body)}"
        return ProviderError(Code.HTTP_429, detail, rid, Verdict.THROTTLED, status=status)
    return OutcomeUnknown(f"{what}: {why}: {describe(body)}", status=status, rid=rid)


def read_delivery(msg_id: str, status: int, body: bytes, mask: Mask = str) -> Delivery:
    """One poll of a group send (`getmsg`). A field that makes no sense is None, and a warning.

    Raises:
        ProviderError: refused. OutcomeUnknown: not a readable answer, or one about another message.
    """
    data = _read("getmsg", status, body, ("send_cnt", "percent", "fail_cnt"), mask)
    if (to_text(data.get("msg_id")) or msg_id) != msg_id:
        # The page's answer has no msg_id, so one that is there and differs is a mix-up in between:
        # believed, it would say of this group's members what became of somebody else's.
        rid = request_id_of(data.get("errmsg"), mask)
        raise OutcomeUnknown("getmsg: the answer is about another message", status=status, rid=rid)
    # Its own fields alone: msgspec cannot convert a stranger's key that has half a character in it.
    known = {name: data[name] for name in DeliveryAnswer.__struct_encode_fields__ if name in data}
    answer = msgspec.convert(known, DeliveryAnswer)
    warnings: list[str] = []

    def note(text: str) -> None:
        warnings.append(printable(f"group {msg_id}: {text}", DETAIL_LIMIT, mask))

    def count(name: str) -> int | None:
        return _figure(getattr(answer, name), name, note)

    percent = _figure(answer.percent, "percent", note)
    if percent is not None and percent > 100:
        # Clamped to 100 it would end the polling on a figure that makes no sense.
        note(f"percent is {percent}, over 100; taken as unknown progress")
        percent = None
    # Loaded for the answers about a group.
    from promomsg.wechat.failure_file import Collector

    found = Collector()
    if isinstance(answer.fail_info, list):
        for number, item in enumerate(answer.fail_info, 1):
            found.add_item(item, f"record {number}")
    elif answer.fail_info is not None:
        note(f"fail_info is {_kind(answer.fail_info)}, not a list; left aside")
    for text in found.warnings():
        note(f"of fail_info, {text}")
    return Delivery(
        msg_id=msg_id,
        percent=percent,
        send_cnt=count("send_cnt"),
        fail_cnt=count("fail_cnt"),
        failures=tuple(found.failures.values()),
        fail_info_url=_url(answer, note),
        msg_type=to_int(answer.msg_type),
        content=answer.content if isinstance(answer.content, str) else None,
        appid=to_text(answer.appid),
        path=to_text(answer.path, 4096),
        list_type=to_int(answer.list_type),
        role_ids=tuple(_each(answer.role_id, to_int)),
        retail_ids=tuple(_each(answer.retail_id, to_text)),
        ids=tuple(_each(answer.id, to_text)),
        warnings=tuple(warnings),
    )


def _figure(value: Any, name: str, note: Callable[[str], None]) -> int | None:
    if value is None:
        return None
    number = int(value) if isinstance(value, float) and abs(value) < 2**53 else to_int(value)
    if number is None or number < 0:
        note(f"{name} is {_short(value)}, not a whole number of 0 or more; taken as not given")
        return None
    if isinstance(value, float) and number != value:
        note(f"{name} is {value}; taken as {number}")
    return number


def _url(answer: DeliveryAnswer, note: Callable[[str], None]) -> str | None:
    for name in ("fail_info_url", "fail_openid_url"):
        value = getattr(answer, name)
        if value is None or value == "":
            continue
        if isinstance(value, str) and to_text(value, 8192) is not None:
            return value
        note(f"{name} is not a usable URL; left aside")
    return None


def _each(value: Any, reader: Callable[[Any], T | None]) -> list[T]:
    if not isinstance(value, list):
        return []
    return [read for read in map(reader, value) if read is not None]


def _kind(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return "a string" if isinstance(value, str) else "a number"


def _short(value: Any) -> str:
    return printable(repr(value), 40) if isinstance(value, (int, float, str)) else _kind(value)


def read_clicks(status: int, body: bytes, mask: Mask = str) -> list[Clicks]:
    """The rows of `data_list` (`getmsgclickdata`).

    Raises:
        ProviderError: refused. OutcomeUnknown: not a readable answer, or a row that is no object.
    """
    rows = _list_of("getmsgclickdata", status, body, "data_list", mask)
    if not all(isinstance(row, dict) and not isinstance(row, ConflictingKeys) for row in rows[0]):
        text = f"getmsgclickdata: data_list holds what is no row: {describe(body)}"
        raise OutcomeUnknown(text, status=status)
    return [
        Clicks(
            click_uv=to_int(row.get("click_uv")),
            click_pv=to_int(row.get("click_pv")),
            msg_id=to_text(row.get("msg_id"), 128),
            send_time=to_int(row.get("send_time")),
            msg_type=to_int(row.get("msg_type")),
        )
        for row in rows[0]
    ]


def read_promoters(status: int, body: bytes, mask: Mask = str) -> PromoterPage:
    """One page of `getpromoter`; 103006 is an empty one
    (docs/facts/wechat.md, "Sibling endpoints").

    Raises:
        ProviderError: refused. OutcomeUnknown: not a readable answer.
    """
    rows, data = _list_of("getpromoter", status, body, "promoter_list", mask)
    promoters = []
    for row in rows:
        promoter = _promoter(row)
        if promoter is not None:
            promoters.append(promoter)
    total = to_int(data.get("total_cnt"))
    return PromoterPage(
        promoters=tuple(promoters),
        total_cnt=len(rows) if total is None or total < 0 else total,
        unreadable=len(rows) - len(promoters),
    )


def _promoter(row: Any) -> Promoter | None:
    if not isinstance(row, dict) or isinstance(row, ConflictingKeys):
        return None
    promoter = Promoter(
        id=to_text(row.get("id"), 128),
        openid=to_text(row.get("openid"), 128),
        unionid=to_text(row.get("unionid"), 128),
        role_id=to_int(row.get("role_id")),
        retail_id=to_text(row.get("retail_id")),
        extra_info=to_words(row.get("extra_info"), 4096),
        auth_status=to_int(row.get("auth_status")),
        decl_status=to_int(row.get("decl_status")),
        update_time=to_int(row.get("update_time")),
        name=to_words(row.get("name")),
        phone=to_words(row.get("phone")),
    )
    return promoter if promoter.id or promoter.openid else None


def read_roles(status: int, body: bytes, mask: Mask = str) -> list[Role]:
    """The roles of `getrole`; 103006 is none.

    Raises:
        ProviderError: refused. OutcomeUnknown: not a readable answer, or a role without a number.
    """
    roles = []
    for row in _list_of("getrole", status, body, "role_list", mask)[0]:
        known = isinstance(row, dict) and not isinstance(row, ConflictingKeys)
        number = to_int(row.get("role_id")) if known else None
        if number is None:
            text = f"getrole: role_list holds what is no role: {describe(body)}"
            raise OutcomeUnknown(text, status=status)
        roles.append(Role(number, to_words(row.get("name")), to_words(row.get("desc"), 4096)))
    return roles


def _list_of(
    what: str, status: int, body: bytes, name: str, mask: Mask
) -> tuple[list[Any], dict[str, Any]]:
    try:
        data = _read(what, status, body, (name,), mask)
    except ProviderError as error:
        if error.code == EMPTY:
            return [], {}
        raise
    rows = data.get(name)
    if rows is not None and not isinstance(rows, list):
        text = f"{what}: {name} is {_kind(rows)}, not a list: {describe(body)}"
        raise OutcomeUnknown(text, status=status)
    return rows or [], data


def read_token(status: int, body: bytes, mask: Mask = str) -> tuple[Secret, float | None]:
    """The access token of `stable_token` or `token`, and its life in seconds (None: not said).

    Errors hold nothing of the answer but its errcode and errmsg: a cut answer may hold a token.

    Raises:
        ProviderError: refused; no access token is at work in this call, so 40001 here is a bad
            appsecret: HALT. OutcomeUnknown: not a readable answer.
    """
    try:
        data = _read("access token", status, body, ("access_token",), mask)
    except ProviderError as error:
        if meaning_of(error.code).token_failed:
            advice = advice_for("40125", "")
            detail = f"{error.detail} ({advice})"
            raise ProviderError(
                error.code, detail, error.rid, Verdict.HALT, status=status
            ) from None
        raise
    except OutcomeUnknown as error:
        size = "1 byte" if len(body) == 1 else f"{len(body)} bytes"
        raise OutcomeUnknown(
            f"access token: HTTP {status}, and not an answer that can be read ({size})",
            status=status,
            rid=error.rid,
        ) from None
    token = data.get("access_token")
    if not isinstance(token, str) or to_text(token, 8192) is None:
        text = f"access token: HTTP {status}, and the answer has no token"
        raise OutcomeUnknown(text, status=status)
    life = data.get("expires_in")
    seconds = life if isinstance(life, float) else to_int(life)
    if seconds is None or not 0 <= seconds < 10**9:
        return Secret(token), None
    return Secret(token), float(seconds)


def read_quota(status: int, body: bytes, mask: Mask = str) -> Quota:
    """What `quota/get` says; every figure is optional (docs/facts/wechat.md, "Quotas").

    Raises:
        ProviderError: refused. OutcomeUnknown: not a readable answer.
    """
    data = _read("quota/get", status, body, ("quota", "rate_limit"), mask)
    quota, rate = _inner(data, "quota"), _inner(data, "rate_limit")
    return Quota(
        daily_limit=to_int(quota.get("daily_limit")),
        used=to_int(quota.get("used")),
        remain=to_int(quota.get("remain")),
        call_count=to_int(rate.get("call_count")),
        refresh_second=to_int(rate.get("refresh_second")),
    )


def _inner(data: dict[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) and not isinstance(value, ConflictingKeys) else {}
