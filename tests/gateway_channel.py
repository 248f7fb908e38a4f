"""A channel of a small provider that there is not: what an author writes, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from promomsg.channel import (
    Answer,
    ChannelMessage,
    ChannelOptions,
    Code,
    CodeMeaning,
    CompiledJson,
    HttpChannel,
    HttpRequest,
    Mask,
    Problem,
    Secret,
    Section,
    SingleSend,
    Verdict,
    read_object,
    unknown_answer,
)

__all__ = ["KEY", "GatewayChannel", "GatewayMessage"]

KEY = "a-key-of-the-gateway-account"
SOURCE = "the gateway's manual"


class GatewayMessage(ChannelMessage, frozen=True):
    text: str


class GatewayChannel(HttpChannel[GatewayMessage]):
    """It deduplicates on a key, so a lost answer is asked for again."""

    name = "gateway"
    message_type = GatewayMessage
    addresses = ("id",)
    account_keys = ("account",)
    idempotent = True
    codes: ClassVar[Mapping[str, CodeMeaning]] = {
        "NO_SUCH_USER": CodeMeaning(Verdict.FAILED, "nobody has this id", SOURCE),
        "TOO_FAST": CodeMeaning(Verdict.THROTTLED, "too many calls", SOURCE),
        "BAD_KEY": CodeMeaning(Verdict.HALT, "the key is not accepted", SOURCE, "ask for another"),
    }

    def __init__(
        self, account: str, key: str | Secret, *, base_url: str, **options: Unpack[ChannelOptions]
    ) -> None:
        self._key = Secret(key)
        super().__init__(account, base_url=base_url, secrets=[self._key], **options)

    def compile_message(self, message: GatewayMessage) -> CompiledJson:
        return CompiledJson(message, {"text": message.text}, check=self.check)

    def check(self, where: str, text: str) -> Problem | None:
        if len(text) > 70:
            return Problem(Code.OVER_LIMIT, f"{where}: at most 70 characters, given {len(text)}")
        return None

    def request(self, compiled: Any, single_send: SingleSend) -> HttpRequest:
        body = compiled.body(single_send.values, to=single_send.id, key=single_send.request_id)
        return HttpRequest("/v1/send", body, {"Authorization": f"Bearer {self._key.reveal()}"})

    def read(self, status: int, body: bytes, mask: Mask) -> Answer:
        found = read_object(status, body, mask, decisive=["code"])
        if isinstance(found, Answer):
            return found
        code = found.get("code")
        if code == "OK" and status == 200:
            return Answer(Verdict.SENT, status=status)
        if code not in self.codes:
            return unknown_answer(status, body, "with a code that the manual does not have")
        return self.codes[code].answer(code, status, found.get("message"), mask)

    @classmethod
    def read_account(cls, section: Section) -> dict[str, Any]:
        return {"account": section.required("account", '"…"'), "key": section.secret_of("key")}

    @classmethod
    def read_message(cls, section: Section) -> GatewayMessage:
        return GatewayMessage(section.required("text", '"…"'))
