"""Checks of a WeChat request: its fields, its content, and the declared kinds of its template."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from promomsg.sandbox.calls_and_replies import WeChatRefusedError
from promomsg.sandbox.sandbox_settings import SandboxSettings

__all__ = [
    "RequestMessage",
    "audience_of",
    "check_fields",
    "decode_body",
    "message_of",
    "uint",
    "words",
]

_ESCAPED: Final = re.compile(rb"\\u(?!00[01])")
_CLOCK: Final = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?"
_DATE: Final = r"\d{4}([-/.]\d{1,2}[-/.]\d{1,2}|年\d{1,2}月\d{1,2}日?)"
_MOMENT: Final = rf"({_DATE}([ T]?{_CLOCK})?|{_CLOCK})"
_TIME: Final = re.compile(rf"{_MOMENT}(~{_MOMENT})?")
_AMOUNT: Final = re.compile(r"[^\d\s.]?(?=[\d.]{1,11}元?$)\d{1,10}(\.\d+)?元?")
_NUMBER: Final = re.compile(r"(?=[\d.]{1,33}$)\d{1,32}(\.\d+)?")


class RequestMessage(msgspec.Struct, frozen=True):
    """The part that sendmsg and singlesendmsg share."""

    msg_type: int
    content: str
    path: str
    appid: str | None


def decode_body(body: bytes, complain: Callable[[str], None]) -> dict[str, Any]:
    """The request's JSON object: 44002 when empty, 47001 when it is not UTF-8 JSON."""
    if not body:
        raise WeChatRefusedError(44002, "empty post data")
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WeChatRefusedError(47001, "data format error") from None
    if not isinstance(data, dict):
        raise WeChatRefusedError(47001, "data format error")
    if _ESCAPED.search(body):
        complain("the body has \\uXXXX where raw UTF-8 was meant")
    return data


def check_fields(data: Mapping[str, Any], known: frozenset[str], complain: Any) -> None:
    """Complains about fields that the provider's page does not have."""
    for name in data:
        if name not in known:
            complain(f"unknown field {name!r}")


def missing(name: str) -> WeChatRefusedError:
    """103001: promoter parameter invalid or missing (docs/facts/wechat.md, "Error codes")."""
    return WeChatRefusedError(103001, f"promoter parameter invalid: {name}")


def uint(data: Mapping[str, Any], name: str, *, required: bool = False) -> int | None:
    """A uint32 field, None when it is not there."""
    value = data.get(name)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise missing(name)
    return value


def text(data: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
    """A string field, None when it is missing or empty."""
    value = data.get(name)
    if value is None or value == "":
        if required:
            raise missing(name)
        return None
    if not isinstance(value, str):
        raise missing(name)
    return value


def words(data: Mapping[str, Any], name: str) -> list[str]:
    """A non-empty array of non-empty strings."""
    value = data.get(name)
    if not isinstance(value, list) or not value:
        raise missing(name)
    if not all(isinstance(v, str) and v for v in value):
        raise missing(name)
    return value


def audience_of(data: Mapping[str, Any], complain: Callable[[str], None]) -> tuple[int, list[Any]]:
    """`(list_type, names)` by docs/facts/wechat.md, "Group send": no list_type, or 0, is
    everyone."""
    list_type = uint(data, "list_type") or 0
    if list_type == 0:
        for name in ("role_id", "retail_id", "id"):
            if data.get(name):
                complain(f"{name} is given, but without its list_type everyone is reached")
        return 0, []
    if list_type == 1:
        roles = data.get("role_id")
        if not isinstance(roles, list) or not roles or not all(type(r) is int for r in roles):
            raise missing("role_id")
        return 1, roles
    if list_type == 2:
        return 2, words(data, "retail_id")
    if list_type == 3:
        return 3, words(data, "id")
    raise missing("list_type")


def message_of(data: Mapping[str, Any], settings: SandboxSettings) -> RequestMessage:
    """The message, checked: content is a JSON string of flat string values.

    Raises:
        WeChatRefusedError: 103001 a field is missing or of the wrong type; 47003 the content is not what a
            template takes, or breaks the kinds declared in the settings.
    """
    msg_type = uint(data, "msg_type", required=True) or 0
    raw = text(data, "content", required=True) or ""
    path = text(data, "path", required=True) or ""
    appid = text(data, "appid")
    try:
        content = msgspec.json.decode(raw, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeError):
        raise WeChatRefusedError(
            47003, "argument invalid! data is not an object of strings"
        ) from None
    if not content:
        raise WeChatRefusedError(47003, "argument invalid! data is empty")
    if settings.templates is not None:
        _check_kinds(msg_type, content, settings.templates)
    return RequestMessage(msg_type, raw, path, appid)


def _check_kinds(
    msg_type: int, content: Mapping[str, str], templates: Mapping[int, Mapping[str, str]]
) -> None:
    kinds = templates.get(msg_type)
    if kinds is None:
        raise WeChatRefusedError(47003, f"argument invalid! msg_type {msg_type} has no template")
    for name in content.keys() ^ kinds.keys():
        raise WeChatRefusedError(47003, f"argument invalid! data.{name}")
    for name, kind in kinds.items():
        if not fits_kind(kind, content[name]):
            raise WeChatRefusedError(47003, f"argument invalid! data.{name}.value is not a {kind}")


def fits_kind(kind: str, value: str) -> bool:
    """Whether a value keeps to docs/facts/wechat.md, "Template fields".

    A character is a code point. `time` may be a date alone, as in the page's own example.
    """
    if kind == "first":
        return 0 < len(value) < 10 and value.count("\n") <= 1
    if kind == "thing":
        return 0 < len(value) <= 20
    if kind == "time":
        return _TIME.fullmatch(value) is not None
    if kind == "amount":
        return _AMOUNT.fullmatch(value) is not None
    if kind == "number":
        return _NUMBER.fullmatch(value) is not None
    return True
