"""A wallet channel against the sandbox, and user tokens in a dictionary."""

from __future__ import annotations

from functools import cache
from typing import Any

import anyio

from promomsg.alipay import signing
from promomsg.alipay.message import AlipayMessage
from promomsg.alipay.models import ContentTemplate, UserToken
from promomsg.channels.alipay import AlipayMiniProgram
from promomsg.model import Answer, Secret, SingleSend, Verdict
from promomsg.sandbox import Sandbox
from promomsg.transport.pace import Pace

MESSAGE = AlipayMessage(
    "TP_1", [ContentTemplate({"who": "{who|小明🎉}"}, "en-US")], redirect_url="/page/x"
)


@cache
def keys() -> signing.KeyPair:
    return signing.make_key_pair()


class Memory:
    """A `UserTokens` in a dictionary."""

    def __init__(self, **tokens: UserToken) -> None:
        self.tokens = dict(tokens)
        self.saved: list[str] = []
        self.fails: Exception | None = None

    async def get(self, key: str) -> UserToken | None:
        await anyio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return self.tokens.get(key)

    async def save(self, key: str, token: UserToken) -> None:
        await anyio.sleep(0)
        self.tokens[key] = token
        self.saved.append(token.access_token.reveal())


def made(box: Sandbox, **changed: Any) -> AlipayMiniProgram:
    given: dict[str, Any] = {
        "public_key": box.alipay_public_key,
        "base_url": box.url + "/acl/api",
        "pace": Pace(unlimited=True),
        **changed,
    }
    return AlipayMiniProgram("CLIENT_1", "P1", keys().private_pem, **given)


def single_send(key: str = "u1", token: str | None = "token-u1", **changed: Any) -> SingleSend:
    given = {"request_id": f"request-{key}", "token": Secret(token) if token else None, **changed}
    return SingleSend(seq=1, key=key, **given)


async def deliver(channel: AlipayMiniProgram, to: SingleSend) -> Answer:
    """One call, and what the engine does before the next one."""
    compiled = channel.compile(MESSAGE)
    to.values = compiled.values({}, to.key)
    answer = await channel.deliver(compiled, to)
    if answer.verdict is Verdict.RETRY and answer.token_failed:
        return await channel.renew(to, answer) or answer
    return answer
