"""The WeChat promoter API as a channel: its endpoints, typed, and what the engine asks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
import msgspec
from msgspec import UNSET, UnsetType

from promomsg.channels.base import FailureFile
from promomsg.channels.client import Client
from promomsg.channels.following import follow
from promomsg.channels.single_call import (
    as_secret,
    call_at_pace,
    error_of,
    outcome_of,
    recipient_type_error,
    single_send_for,
    usable_address,
)
from promomsg.channels.wechat_account import TokenCallable, WeChatAccount
from promomsg.channels.wechat_reads import WeChatReads
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.delivery import PollPolicy
from promomsg.errors import UsageError
from promomsg.model import (
    GROUP_THRESHOLD,
    Answer,
    Audience,
    Code,
    Delivery,
    Outcome,
    Problem,
    Promoters,
    Recipient,
    Secret,
    SingleSend,
    Verdict,
)
from promomsg.transport.connections import MAX_CONNECTIONS
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.transport.pace import Pace
from promomsg.transport.session import HttpSession
from promomsg.transport.token_store import TokenStore
from promomsg.untrusted_json import NotJsonError, parse
from promomsg.wechat import codec, endpoints
from promomsg.wechat.message import CompiledWeChatMessage, WeChatMessage

__all__ = ["WeChatPromoter"]


class WeChatPromoter(WeChatReads, Client):
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

    Raises:
        UsageError: neither or both of `secret` and `token`; a base URL that is not http(s).
    """

    name: ClassVar[str] = "wechat"
    idempotent: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = False
    groups: ClassVar[bool] = True
    probes_by_reading: ClassVar[bool] = True
    daily_quota_codes: ClassVar[frozenset[str]] = frozenset({"45009"})

    _account: WeChatAccount

    def __init__(
        self,
        appid: str,
        secret: str | Secret | None = None,
        *,
        token: TokenCallable | None = None,
        base_url: str = endpoints.BASE_URL,
        session: aiohttp.ClientSession | None = None,
        pace: Pace | None = None,
        timeout: float = 30.0,
        proxy: str | None = None,
        max_connections: int = MAX_CONNECTIONS,
        legacy_token: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        secret, wrong = as_secret(secret)  # out of this frame's locals
        token, wrong_token = _source(token)
        _refuse(wrong, wrong_token)
        http = HttpSession(
            base_url,
            timeout=timeout,
            proxy=proxy,
            session=session,
            max_connections=max_connections,
            secrets=self._secrets,
        )
        self._http = http
        self._clock = clock
        self._account = WeChatAccount(appid, secret, token, http, legacy=legacy_token, clock=clock)
        self._single_calls = http.connections.calls.share()
        self._pacer = self._new_pacer(pace)

    def with_account(
        self,
        appid: str,
        secret: str | Secret | None = None,
        *,
        token: TokenCallable | None = None,
        pace: Pace | None = None,
        legacy_token: bool = False,
    ) -> WeChatPromoter:
        """Another account on the same connection pool; closing it leaves the pool open.

        Time-out and proxy are this client's.
        """
        secret, wrong = as_secret(secret)
        token, wrong_token = _source(token)
        _refuse(wrong, wrong_token)
        account = WeChatAccount(
            appid, secret, token, self._http, legacy=legacy_token, clock=self._clock
        )
        other = self._derive(account, self._http, pace=pace)
        other._single_calls = self._http.connections.calls.share()
        return other

    def with_options(
        self,
        *,
        pace: Pace | UnsetType | None = UNSET,
        timeout: float | UnsetType = UNSET,
        proxy: str | UnsetType | None = UNSET,
    ) -> WeChatPromoter:
        """This account with other options, on the same connection pool and with the same token.

        What is not given stays as it is. It costs no call and no connection, may be made before the
        first call or after it, and closing it leaves the pool open.

        Args:
            pace: its own limiters, which share the account's quota as those of any two clients of it
                do; None: what quota/get says, else 50 singles a second. Not given: the same limiters.
            timeout: see the class.
            proxy: see the class. Another one has connections of its own, within the same
                `max_connections`.

        Raises:
            UsageError: an option that cannot be right.
        """
        http = self._http.with_options(timeout=timeout, proxy=proxy)
        return self._derive(self._account.over(http), http, pace=pace)

    def _secrets(self) -> Iterable[str]:
        return self._account.secrets()

    def __repr__(self) -> str:
        # A client whose constructor raised is shown by crash reporters too.
        account, http = getattr(self, "_account", None), getattr(self, "_http", None)
        return (
            f"WeChatPromoter({getattr(account, 'appid', None)!r}, "
            f"base_url={getattr(http, 'base_url', None)!r})"
        )

    # The engine's interface.

    @property
    def account(self) -> str:
        return self._account.appid

    @property
    def notices(self) -> tuple[str, ...]:
        return ()

    def compile(self, message: Any) -> CompiledWeChatMessage:
        if not isinstance(message, WeChatMessage):
            raise UsageError(
                f"a WeChat campaign sends a WeChatMessage, not {type(message).__name__}"
            )
        return CompiledWeChatMessage(message)

    def compile_snapshot(self, snapshot: Mapping[str, Any]) -> CompiledWeChatMessage:
        return CompiledWeChatMessage.from_snapshot(snapshot)

    def check_address(
        self,
        id: str | None,
        openid: str | None,
        unionid: str | None,
        token: str | None,
        request_id: str | None,
    ) -> Problem | None:
        if openid is None and unionid is None and id is None:
            return Problem(Code.NO_ADDRESS, "the row has no id, openid or unionid")
        address = openid or unionid or id
        if address is not None and not address.isascii() and not _encodable(address):
            return Problem(Code.BAD_ADDRESS, f"{address!r} is not Unicode text")
        return None

    def are_addressed(
        self,
        ids: Sequence[str | None] | None,
        openids: Sequence[str | None] | None,
        unionids: Sequence[str | None] | None,
        tokens: Sequence[str | None] | None,
        request_ids: Sequence[str | None] | None,
    ) -> bool:
        columns = [column for column in (ids, openids, unionids) if column is not None]
        try:
            return bool(columns) and all("".join(column).isascii() for column in columns)  # type: ignore[arg-type]
        except TypeError:  # a row without one of them
            return False

    def share_token(self, store: TokenStore) -> None:
        self._account.share_token(store)

    async def prepare(self) -> None:
        await self._account.prepare()

    def request_id(self, run_id: str, key: str, generation: int) -> str | None:
        return None

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
        return await self._account.send(
            endpoints.SINGLESENDMSG, body, codec.read_single, last_check
        )

    async def renew(self, single_send: SingleSend, answer: Answer) -> Answer | None:
        return None

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
        answer = await call_at_pace(
            self._pacer.groups,
            self._http,
            self._single_calls,
            lambda check: self.deliver_group(compiled, (), audience, check),
        )
        if answer.verdict is not Verdict.ACCEPTED or answer.msg_id is None:
            raise error_of(answer)
        return answer.msg_id

    def _plain(self, message: WeChatMessage) -> CompiledWeChatMessage:
        compiled = self.compile(message)
        if compiled.has_placeholders:
            raise UsageError(
                "send_group: the message has placeholders, and a group gets one text; "
                "use promomsg.send, which groups recipients by their rendered message"
            )
        return compiled

    async def send_one(self, message: WeChatMessage, to: Recipient) -> Outcome:
        """One single call (`singlesendmsg`), once: nothing is tried again but a refused token.

        Returns the outcome: `sent`, `failed`, or `unknown` when the answer was lost.

        Raises:
            UsageError: no address, a missing parameter, a message over a limit, or a client that
                is closed or another event loop's.
            ProviderError: nobody can be reached (credentials, quota). NotSent: nothing went out.
        """
        if (wrong := recipient_type_error(to)) is not None:
            del to  # it may be a token, and this frame is shown with the error
            raise wrong
        compiled = self.compile(message)
        single_send = single_send_for(self, compiled, to)
        answer = await call_at_pace(
            self._pacer.singles,
            self._http,
            self._single_calls,
            lambda check: self.deliver(compiled, single_send, check),
        )
        return outcome_of(to, answer, self._clock.time())

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


def _source(token: TokenCallable | None) -> tuple[TokenCallable | None, str | None]:
    """A token source, and the name of its type when it is none: a token itself, perhaps."""
    return (token, None) if token is None or callable(token) else (None, type(token).__name__)


def _refuse(secret: str | None, token: str | None) -> None:
    if secret:
        raise UsageError(f"WeChatPromoter(secret=…): give a str, not {secret}")
    if token:
        raise UsageError(
            f"WeChatPromoter(token=…): give an async callable, (stale) -> str, not {token}"
        )


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
