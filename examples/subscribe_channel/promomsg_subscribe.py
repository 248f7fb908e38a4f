"""WeChat subscribe messages (订阅消息) as a channel of promomsg: `channel = "subscribe"`.

What the provider says is in promomsg's docs/facts/wechat-subscribe.md. Token, phases of failure, the
shared errcodes and the quota come from `WeChatChannel`; what is here is this endpoint's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from promomsg.channel import (
    Answer,
    ChannelMessage,
    Code,
    CodeMeaning,
    CompiledJson,
    LastCheck,
    Problem,
    Section,
    SingleSend,
    Verdict,
    WeChatChannel,
    asks_last_check,
)
from promomsg.errors import UsageError

__all__ = ["SubscribeChannel", "SubscribeMessage"]

MiniprogramState = Literal["developer", "trial", "formal"]
Language = Literal["zh_CN", "en_US", "zh_HK", "zh_TW"]

_SOURCE: Final = 'docs/facts/wechat-subscribe.md, "Subscribe codes"'
_MOST: Final = {
    "thing": 20, "number": 32, "letter": 32, "symbol": 5, "character_string": 32,
    "phone_number": 17, "car_number": 8, "name": 20, "phrase": 5,
}  # fmt: skip
"""Characters of a kind; digits of a number. The other kinds have a form: WeChat's 47003 names the field."""


class SubscribeMessage(ChannelMessage, frozen=True, kw_only=True):
    """A subscribe message. `{name}` in a field's text, or in `page`, is a recipient's parameter.

    Attributes:
        template_id: of a template of the account's.
        data: the template's fields and their texts: `{"thing1": "三件五折", "time2": "{when}"}`.
        page: what a tap opens: a page of the Mini Program, without a leading slash.
        miniprogram_state: which version of it.
        lang: in which language its card is shown.
    """

    template_id: str
    data: Mapping[str, str]
    page: str | None = None
    miniprogram_state: MiniprogramState = "formal"
    lang: Language = "zh_CN"


class SubscribeChannel(WeChatChannel[SubscribeMessage]):
    """One Mini Program that sends subscribe messages; its arguments are `promomsg.WeChatPromoter`'s."""

    name: str = "subscribe"
    message_type: ClassVar[type[SubscribeMessage]] = SubscribeMessage
    send_path: ClassVar[str] = "/cgi-bin/message/subscribe/send"
    codes: ClassVar[Mapping[str, CodeMeaning]] = {
        "40037": CodeMeaning(Verdict.REFUSED, "bad template id", _SOURCE),
        "41030": CodeMeaning(Verdict.REFUSED, "bad page", _SOURCE),
        "43101": CodeMeaning(
            Verdict.FAILED, "the user refused, or does not subscribe any more", _SOURCE
        ),
        "43107": CodeMeaning(
            Verdict.HALT,
            "the account or the template is banned from sending",
            _SOURCE,
            "look at mp.weixin.qq.com for the reason",
        ),
        "43108": CodeMeaning(Verdict.FAILED, "several messages to one user at once", _SOURCE),
        "45168": CodeMeaning(Verdict.REFUSED, "sensitive words in a field", _SOURCE),
    }

    def compile_message(self, message: SubscribeMessage) -> CompiledJson:
        if not message.template_id.strip():
            raise UsageError("template_id: it is empty; mp.weixin.qq.com lists your templates")
        if not message.data:
            raise UsageError("data: it has no field; give those of the template")
        if message.page is not None and message.page.startswith("/"):
            raise UsageError(f"page: {message.page!r} begins with a slash; leave it out")
        body = {
            "template_id": message.template_id.replace("{", "{{").replace("}", "}}"),
            "data": {name: {"value": text} for name, text in message.data.items()},
            "page": message.page,
            "miniprogram_state": message.miniprogram_state,
            "lang": message.lang,
        }
        given = {name: value for name, value in body.items() if value is not None}
        return CompiledJson(message, given, check=_check, urls=("page",))

    @asks_last_check
    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        body = compiled.body(single_send.values, touser=single_send.openid)
        return await self.call(self.send_path, body, last_check)

    @classmethod
    def read_message(cls, section: Section) -> SubscribeMessage:
        state: Any = section.choice("miniprogram_state", ("developer", "trial", "formal"), "formal")
        lang: Any = section.choice("lang", ("zh_CN", "en_US", "zh_HK", "zh_TW"), "zh_CN")
        return SubscribeMessage(
            template_id=section.required("template_id", '"…"'),
            data=section.strings_of("data"),
            page=section.text("page") or None,
            miniprogram_state=state,
            lang=lang,
        )


def _check(where: str, text: str) -> Problem | None:
    """What the page says of a field, which is `data.thing1.value` here."""
    if not where.startswith("data."):
        return None
    field = where.split(".")[1]
    kind = field.rstrip("0123456789")
    if not text.strip() or not text.isprintable():
        return Problem(Code.BAD_ROW, f"{field}: it is empty, or has a line feed in it")
    size = len(re.sub(r"[.-]", "", text)) if kind == "number" else len(text)
    if size > _MOST.get(kind, size):
        return Problem(Code.OVER_LIMIT, f"{field}: {kind} takes {_MOST[kind]}, given {size}")
    return None
