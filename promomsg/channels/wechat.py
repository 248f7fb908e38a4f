"""The WeChat promoter API as a channel: its endpoints, typed, and what the engine asks of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from promomsg.channels.base import FailureFile
from promomsg.channels.following import follow
from promomsg.channels.single_call import (
    call_at_pace,
    error_of,
    usable_address,
)
from promomsg.channels.wechat_client import WeChatChannel
from promomsg.channels.wechat_reads import WeChatReads
from promomsg.delivery import PollPolicy
from promomsg.errors import UsageError
from promomsg.model import (
    GROUP_THRESHOLD,
    Answer,
    Audience,
    Delivery,
    Promoters,
    SingleSend,
    Verdict,
)
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.untrusted_json import NotJsonError, parse
from promomsg.wechat import codec, endpoints
from promomsg.wechat.message import CompiledWeChatMessage, WeChatMessage

__all__ = ["WeChatPromoter"]


class WeChatPromoter(WeChatReads, WeChatChannel[WeChatMessage]):
    """One WeChat account (appid).

    Args:
        appid: the account's appid.
        secret: its appsecret; not needed with `token`.
        token: your own token source: an async callable that gets the token which failed (or None)
            and returns a current one (a central token server, a component's authorizer token).
        base_url: https; http only to a loopback address.
        session: your own `aiohttp.ClientSession`, for its resolver, TLS settings and pool; it is not
            closed here. Its calls are aiohttp's own, at nearly three times the processor time.
        pace: how fast to send; None: what quota/get says, else 50 singles a second.
        timeout: seconds for an answer, counted from the first byte of its request. A call that
            has to wait for a free connection waits as long at the most, and is not sent then.
        proxy: URL of an HTTP proxy; `"env"`: as HTTPS_PROXY and NO_PROXY say; None: straight.
        max_connections: calls out at once, over all campaigns and derived clients, which share
            them fairly; never over half of `ulimit -n`. A campaign with a higher
            concurrency raises it.
        legacy_token: use `GET /cgi-bin/token`, each call of which ends the token before it.
        hooks: told of all that goes through this client and those derived from it.

    Raises:
        UsageError: neither or both of `secret` and `token`; a base URL that is not http(s).
    """

    name: str = "wechat"
    message_type: ClassVar[type[WeChatMessage]] = WeChatMessage
    groups: bool = True
    addresses: ClassVar[tuple[str, ...]] = ("id", "openid", "unionid")
    send_path: ClassVar[str] = endpoints.SINGLESENDMSG
    group_path: ClassVar[str] = endpoints.SENDMSG

    # The engine's interface.

    def compile_message(self, message: WeChatMessage) -> CompiledWeChatMessage:
        return CompiledWeChatMessage(message)

    def compile_snapshot(self, snapshot: Mapping[str, Any]) -> CompiledWeChatMessage:
        return CompiledWeChatMessage.from_snapshot(snapshot)

    @asks_last_check
    async def deliver(
        self,
        compiled: CompiledWeChatMessage,
        single_send: SingleSend,
        last_check: LastCheck | None = None,
    ) -> Answer:
        body = compiled.single_body(
            single_send.values,
            id=single_send.id,
            openid=single_send.openid,
            unionid=single_send.unionid,
        )
        return await self.call(self.send_path, body, last_check)

    @asks_last_check
    async def deliver_group(
        self,
        compiled: CompiledWeChatMessage,
        values: Sequence[str],
        audience: Audience,
        last_check: LastCheck | None = None,
    ) -> Answer:
        body = compiled.group_body(values, audience)
        return await self._account.send(endpoints.SENDMSG, body, codec.read_group, last_check)

    def is_transient(self, error: Exception) -> bool:
        return codec.is_transient(error)

    async def fetch_failures(self, url: str, members: int) -> FailureFile:
        # Loaded for a group that ended with failures.
        from promomsg.channels.group_failures import fetch_failures

        return await fetch_failures(self._http, url, members, self._account.mask)

    def same_message(
        self, compiled: CompiledWeChatMessage, values: Sequence[str], other: Delivery
    ) -> bool:
        """Whether a group send found at the provider has this rendered message."""
        ours = msgspec.json.decode(compiled.single_body(values, id="0"))
        try:
            theirs = parse(other.content or "")
        except NotJsonError:
            return False
        return bool(
            msgspec.json.decode(ours["content"]) == theirs
            and ours["path"] == other.path
            and other.msg_type in (None, ours["msg_type"])
        )

    # The endpoints, typed.

    async def send_group(self, message: WeChatMessage, audience: Audience) -> str:
        """One group call (`sendmsg`): the `msg_id`.

        Args:
            message: without placeholders.
            audience: `Promoters` (50 or more), `Roles`, `Retailers` or `Everyone(confirm=True)`.

        Raises:
            UsageError: under 50 promoters, an id that is none (`1.0`, `1.2E+17`), a message with
                placeholders, or a client that is closed or another event loop's.
            ProviderError: refused. NotSent: nothing went out. OutcomeUnknown: it may have.
        """
        compiled = self._plain(message)
        if isinstance(audience, Promoters):
            asked = (usable_address("id", id, "send_group: Promoters") for id in audience.ids)
            ids = tuple(dict.fromkeys(id for id in asked if id))
            audience = Promoters(ids)
            if len(ids) < GROUP_THRESHOLD:
                raise UsageError(
                    f"send_group: {len(ids)} promoters; a group send needs at least "
                    f"{GROUP_THRESHOLD}, use send_one or promomsg.send, which decides by itself"
                )
        deliver: Callable[..., Awaitable[Answer]] = self.deliver_group
        observers = self._http.observers
        if observers is not None:
            deliver = observers.observe_calls(deliver, "group", self)
        answer = await call_at_pace(
            self._pacer.groups,
            self._http,
            self._single_calls,
            lambda check: deliver(compiled, (), audience, check),
        )
        if answer.verdict is not Verdict.ACCEPTED or answer.msg_id is None:
            raise error_of(answer)
        return answer.msg_id

    def _plain(self, message: WeChatMessage) -> CompiledWeChatMessage:
        compiled = self.compile_message(self._of_its_kind(message))
        if compiled.has_placeholders:
            raise UsageError(
                "send_group: the message has placeholders, and a group gets one text; "
                "use promomsg.send, which groups recipients by their rendered message"
            )
        return compiled

    async def follow(self, msg_id: str, *, poll: PollPolicy | None = None) -> Delivery:
        """Polls a group send to 100 percent and merges its failure file; needs no campaign.

        Args:
            poll: when to poll, and when to give up; default `PollPolicy()`.

        Raises:
            ProviderError, TransportError: a poll failed time and again.
            NotFinished: `poll.give_up_after` seconds are over; it is a TimeoutError too.
            UsageError: `poll` is no PollPolicy.
        """
        if poll is not None and not isinstance(poll, PollPolicy):
            raise UsageError(f"follow(poll={poll!r}): give a PollPolicy(…) of seconds")
        policy = (poll or PollPolicy()).resolved(loopback=self.loopback)
        return await follow(self, msg_id, policy, self._clock)
