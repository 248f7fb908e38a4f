"""The stand-in for subscribe messages (docs/facts/wechat-subscribe.md): for a channel that sends them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from promomsg.sandbox.calls_and_replies import WeChatRefusedError
from promomsg.sandbox.ledger import Ledger
from promomsg.sandbox.sandbox_settings import SandboxSettings

__all__ = ["SUBSCRIBE_FIELDS", "serve_subscribe_send"]

SUBSCRIBE_FIELDS: Final = frozenset(
    {"touser", "template_id", "data", "page", "miniprogram_state", "lang"}
)
_MOST: Final[Mapping[str, int]] = {
    "thing": 20, "number": 33, "letter": 32, "symbol": 5, "character_string": 32,
    "phone_number": 17, "car_number": 8, "name": 20, "phrase": 5,
}  # fmt: skip
"""Characters of the kinds that are limited by length (docs/facts/wechat-subscribe.md, "Subscribe fields");
a number has a decimal point beside its digits."""
_STATES: Final = ("developer", "trial", "formal")
_LANGUAGES: Final = ("zh_CN", "en_US", "zh_HK", "zh_TW")


def serve_subscribe_send(
    data: Mapping[str, Any], settings: SandboxSettings, ledger: Ledger, at: float
) -> dict[str, Any]:
    """Delivers one message.

    Args:
        data: the request.
        at: Unix seconds by the sandbox's clock.

    Raises:
        WeChatRefusedError: 40003, 40037, 41030, 47003, or what the settings say of the user.
    """
    to = _word(data, "touser", 40003, "invalid openid")
    _word(data, "template_id", 40037, "invalid template_id")
    page = data.get("page", "")
    if not isinstance(page, str) or page.startswith(("/", "http")):
        raise WeChatRefusedError(41030, "invalid page")
    for name, among in (("miniprogram_state", _STATES), ("lang", _LANGUAGES)):
        if data.get(name, among[0]) not in among:
            raise WeChatRefusedError(47003, f"argument invalid! {name}")
    _check_fields(data.get("data"))
    refused = settings.refuse_single.get(to)
    if refused is None and settings.subscribed_once and ledger.deliveries(to):
        refused = 43101
    if refused is not None:
        raise WeChatRefusedError(refused, "user refuse to accept the msg")
    content = msgspec.json.encode(data["data"]).decode()
    ledger.single(to, field="openid", msg_type=0, content=content, path=page, at=at)
    return {"errcode": 0, "errmsg": "ok"}


def _word(data: Mapping[str, Any], name: str, errcode: int, errmsg: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        raise WeChatRefusedError(errcode, errmsg)
    return value


def _check_fields(fields: Any) -> None:
    def refuse(name: object) -> WeChatRefusedError:
        return WeChatRefusedError(47003, f"argument invalid! data.{name}.value invalid")

    if not isinstance(fields, dict) or not fields:
        raise refuse("*")
    for name, field in fields.items():
        value = field.get("value") if isinstance(field, dict) else None
        if not isinstance(value, str) or not value or not value.isprintable():
            raise refuse(name)
        if len(value) > _MOST.get(re.sub(r"\d+$", "", name), 100):
            raise refuse(name)
