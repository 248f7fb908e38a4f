"""What the contract of a channel is tried with: one channel, one provider, and what may not leak."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.channels.single_call import single_send_for
from promomsg.model import Answer, Recipient, SingleSend
from promomsg.testing.fake_provider import FakeProvider, Reply
from promomsg.transport.last_check import LastCheck

__all__ = ["ChannelTrial", "NeverNow", "hold", "kept_log", "leaked", "saying_back", "show"]

_PIECE: Final = 16
"""Characters of a secret that give it away."""


class ChannelTrial:
    """One channel against one provider.

    Args:
        channel: the channel.
        provider: where it sends.
        message: what it sends, to whom.
    """

    def __init__(
        self, channel: Channel, provider: FakeProvider, message: Any, to: Recipient
    ) -> None:
        self.channel = channel
        self.provider = provider
        self.compiled: CompiledMessage = channel.compile(message)
        if channel.idempotent and not to.request_id:
            to = msgspec.structs.replace(to, request_id=channel.request_id("run", "someone", 0))
        self.single_send: SingleSend = single_send_for(channel, self.compiled, to)

    async def deliver(
        self, reply: Reply | None = None, last_check: LastCheck | None = None
    ) -> Answer:
        """One send, as the engine makes it, that the provider answers so.

        Raises:
            AssertionError: it raised, or came to no `Answer`.
        """
        if reply is not None:
            self.provider.script.append(reply)
        share = self.channel.connections.calls.share()
        await share.acquire()
        try:
            answer = await self.channel.deliver(self.compiled, self.single_send, last_check)
        except Exception as error:
            raise AssertionError(
                f"deliver raised {type(error).__name__} on {show(reply)}; it says by its verdict what "
                f"happened, and raises nothing: {error}"
            ) from error
        finally:
            share.release()
            share.close()
        hold(isinstance(answer, Answer), f"deliver returned {answer!r}, which is no Answer")
        return answer


class NeverNow:
    """A last check that says no, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def passes(self) -> bool:
        """No."""
        self.asked += 1
        return False

    async def wait(self) -> bool:
        """No."""
        self.asked += 1
        return False


def hold(condition: object, otherwise: str) -> None:
    """Raises AssertionError with this text unless the condition holds."""
    if not condition:
        raise AssertionError(otherwise)


def show(reply: Reply | None) -> str:
    """An answer of the provider's, for a message."""
    if reply is None:
        return "a call that the provider was not there for"
    if reply.instead:
        return {"reset": "a connection that was reset", "cut": "an answer that was cut short"}[
            reply.instead
        ]
    body = reply.encoded()
    return f"HTTP {reply.status} {body[:60]!r}{'…' if len(body) > 60 else ''}"


def leaked(text: str, secrets: tuple[str, ...]) -> bool:
    """Whether a secret, or a piece of it by which it is told, stands in a text."""
    return any(
        secret[at : at + _PIECE] in text
        for secret in secrets
        for at in range(max(1, len(secret) - _PIECE + 1))
    )


def saying_back(reply: Reply, secret: str) -> Iterator[Reply]:
    """Answers that say a secret back: pages, and this one with the secret in each of its texts."""
    page = f"<html>{secret}</html>".encode()
    for status in (200, 403, 500):
        yield Reply(page, status)
        yield Reply({"message": secret, "errmsg": f"token {secret}", "error": secret}, status)
    value = json.loads(reply.encoded() or b"null")
    yield msgspec.structs.replace(reply, body=_with(value, secret))
    if isinstance(value, dict):
        for name in value:
            one = {**value, name: _with(value[name], secret)}
            yield msgspec.structs.replace(reply, body=one)


def _with(value: Any, secret: str) -> Any:
    if isinstance(value, dict):
        return {name: _with(item, secret) for name, item in value.items()}
    if isinstance(value, list):
        return [_with(item, secret) for item in value]
    return f"{value} {secret}" if isinstance(value, str) else value


@contextmanager
def kept_log() -> Iterator[list[str]]:
    """What is logged meanwhile, at any level."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {vars(record)}")

    handler, root = Keep(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
