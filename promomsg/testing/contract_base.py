"""What the author of a channel gives to its contract, and how a test of the contract is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from promomsg.model import Recipient
from promomsg.testing.channel_trial import ChannelTrial
from promomsg.testing.fake_provider import FakeProvider, ProviderCall, Reply

__all__ = ["ContractBase", "in_a_loop"]


def in_a_loop(check: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    """A test that needs no plugin for asynchronous ones."""

    def test(self: Any) -> None:
        asyncio.run(check(self))

    test.__doc__, test.__name__ = check.__doc__, check.__name__
    return test


class ContractBase:
    """The part of `ChannelContract` that its author fills in."""

    message: ClassVar[Any]
    recipient: ClassVar[Recipient]
    good: ClassVar[Reply]
    refused: ClassVar[Reply]
    throttled: ClassVar[Reply | None] = None
    halting: ClassVar[Reply | None] = None
    unreadable: ClassVar[tuple[bytes, ...]] = (
        b"", b"null", b"[]", b"{}", b'"ok"', b"\xff\xfe\x00", b"<html>busy</html>", b"[" * 5000,
    )  # fmt: skip
    secrets: ClassVar[tuple[str, ...]] = ()

    def channel(self, base_url: str) -> Any:
        """A new channel that sends to `base_url`, with secrets that are 16 characters or longer."""
        raise NotImplementedError

    def other_call(self, call: ProviderCall) -> Reply | None:
        """The answer to a call that is no send (for a token, or a quota); None: it is a send."""
        return None

    @asynccontextmanager
    async def _against(self) -> AsyncIterator[ChannelTrial]:
        async with (
            FakeProvider(self.other_call, self.good) as provider,
            self.channel(provider.url) as channel,
        ):
            yield ChannelTrial(channel, provider, self.message, self.recipient)
