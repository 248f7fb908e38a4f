"""What the engine asks of a provider: one interface, one class a provider.

The engine never sees what a provider's bytes look like. It hands over a `CompiledMessage` and one
planned recipient (a `SingleSend`), and gets an `Answer` with a verdict. Reads raise; sends never do.
Where a method takes a compiled message, it is one that this very channel has compiled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeGuard

import msgspec

from promomsg.channels.from_file import FromCampaignFile, Section
from promomsg.compiled_texts import ChannelMessage
from promomsg.model import (
    Answer,
    Audience,
    ClickCount,
    Delivery,
    Failure,
    Problem,
    Recipient,
    SingleSend,
)
from promomsg.transport.connections import Connections
from promomsg.transport.last_check import LastCheck
from promomsg.transport.pace import Pacer
from promomsg.transport.token_store import TokenStore

if TYPE_CHECKING:
    from promomsg.alipay.message import AlipayMessage
    from promomsg.wechat.message import WeChatMessage

__all__ = [
    "Advice",
    "Channel",
    "CompiledMessage",
    "FailureFile",
    "Following",
    "FromCampaignFile",
    "Message",
    "Probing",
    "Section",
    "UserFacing",
    "WithAccountToken",
    "has_account_token",
    "has_groups",
]

Message: TypeAlias = "WeChatMessage | AlipayMessage | ChannelMessage"
"""What `send` and `Campaign` take: the message of their channel."""


class CompiledMessage(Protocol):
    """A message compiled for one channel: static parts checked and encoded once. Pure, no I/O."""

    @property
    def names(self) -> frozenset[str]:
        """The parameters its placeholders use (`key` left out); empty and no `{key}`: everybody gets
        the same message."""
        ...

    @property
    def optional(self) -> frozenset[str]:
        """Those of `names` that have a fallback wherever they stand."""
        ...

    @property
    def braced(self) -> Mapping[str, str]:
        """Names that its texts have as `{{name}}`, each with the notice for a list with that column."""
        ...

    @property
    def has_placeholders(self) -> bool:
        """Whether it has any placeholder."""
        ...

    def values(self, params: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """This recipient's values, one a placeholder. Raises `placeholders.MissingParam`."""
        ...

    def problem(self, values: Sequence[str]) -> Problem | None:
        """What is wrong with the rendered message (over a limit, control characters), or None."""
        ...

    def message_digest(self, values: Sequence[str]) -> bytes | None:
        """A 16-byte digest of the rendered message; None for a message without placeholders."""
        ...

    def value_columns(
        self, params: Mapping[str, Sequence[Any]], keys: Sequence[str]
    ) -> Sequence[Sequence[str]] | None:
        """The values of many recipients, a column a placeholder. None: some of them may have a
        problem, or no value, and `values` and `problem` say which."""
        ...

    def message_digests(self, values: Sequence[tuple[str, ...]]) -> Sequence[bytes | None]:
        """`message_digest` of each."""
        ...

    def preview(self, values: Sequence[str]) -> dict[str, str]:
        """The rendered message, field name to text, for a person to read."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """The message as plain JSON values, for the journal; `Channel.compile_snapshot` undoes it."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """What the plan should say of the message (a missing redirectUrl, say)."""
        ...


class Advice(msgspec.Struct, frozen=True):
    """What the provider says of a quota. Only advice: nothing here can stop a send.

    Attributes:
        calls: so many within `per_seconds` seconds.
        per_seconds: see there.
        daily_limit, daily_remaining: calls of the provider's day, in all and still to be had.
    """

    calls: int | None = None
    per_seconds: float | None = None
    daily_limit: int | None = None
    daily_remaining: int | None = None


class FailureFile(msgspec.Struct, frozen=True):
    """A group's failure file: kept raw, and what could be read of it."""

    raw: bytes
    failures: tuple[Failure, ...]
    warning: str | None = None


class UserFacing:
    """What completion offers of a client: the calls for its users, without the engine's interface and what
    an author of a channel fills in."""

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _ENGINE_ONLY | _AUTHORS_ONLY]


class Channel(Protocol):
    """One account at one provider, as the engine uses it."""

    name: str
    """`"wechat"`, `"alipay"`, or a name of your own: written into the journal, which then belongs to it."""
    idempotent: bool
    """The provider dedupes on `SingleSend.request_id`: a lost answer may be asked for again."""
    needs_tokens: bool
    """Each recipient brings an access token, which is never journalled."""
    groups: bool
    """It is also a `Following`."""
    probes_by_reading: bool
    """It is also a `Probing`; where it is not, a send is the probe of an outage."""
    daily_quota_codes: frozenset[str]
    """Codes that say the day's quota is used up: a HALT that the next China-time day mends."""

    @property
    def account(self) -> str:
        """The appid, or the client id and app id: a journal is of one account."""
        ...

    @property
    def loopback(self) -> bool:
        """Whether the provider is on this machine: a sandbox, which may be asked at once."""
        ...

    @property
    def base_url(self) -> str:
        """Where its calls go, for a person to read; no secret is in it."""
        ...

    @property
    def pacer(self) -> Pacer:
        """The account's quotas, shared by everything that calls through this channel."""
        ...

    @property
    def connections(self) -> Connections:
        """The limit of calls that are out at once, shared by all campaigns of the client."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """What the plan should say of this channel's settings (`verify = false`, say)."""
        ...

    def expect(self, concurrency: int) -> None:
        """Lets at least so many calls be out at once; called before the first send.

        Raises:
            UsageError: the client cannot be used: it was closed, or is another event loop's.
        """
        ...

    async def connect_ahead(self, calls: int) -> int:
        """Has connections open for so many calls before anybody is intended, so that no handshake
        lies between the intent and the first byte.

        Returns:
            How many of these calls will find one; all of them when waiting longer is of no use (the
            provider cannot be reached, or the client was closed: the calls themselves say so).
        """
        ...

    def compile(self, message: Any) -> CompiledMessage:
        """Checks the message and encodes what does not change. Raises UsageError."""
        ...

    def compile_snapshot(self, snapshot: Mapping[str, Any]) -> CompiledMessage:
        """The compiled message of a snapshot that a journal kept."""
        ...

    def check_address(
        self,
        id: str | None,
        openid: str | None,
        unionid: str | None,
        token: str | None,
        request_id: str | None,
    ) -> Problem | None:
        """Whether a single send of this channel can go to a row with these addresses."""
        ...

    def are_addressed(
        self,
        ids: Sequence[str | None] | None,
        openids: Sequence[str | None] | None,
        unionids: Sequence[str | None] | None,
        tokens: Sequence[str | None] | None,
        request_ids: Sequence[str | None] | None,
    ) -> bool:
        """Whether `check_address` surely has no problem with any of these rows, given as columns
        (None: no row has a value); may be False when it has none."""
        ...

    async def prepare(self) -> None:
        """Everything a send needs but the send itself: a token that is not known to be stale.

        Called before recipients are intended, so that a wait here leaves nobody in doubt. Cheap
        when there is nothing to do.

        Raises:
            NotSent: the token could not be fetched now; worth another try.
            Halted: it never will be (credentials, or the failed token came back).
        """
        ...

    def request_id(self, run_id: str, key: str, generation: int) -> str | None:
        """The idempotency key of this recipient in this run; None when not idempotent."""
        ...

    def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Coroutine[Any, Any, Answer]:
        """One single call. Never raises for an answer or a lost one: the verdict says it.

        The caller holds a permit of `connections.calls` for it.

        Args:
            last_check: asked right before the first byte; when it says no, nothing is sent, and
                the answer (a RETRY) says nothing of the recipient. A method that does ask it is
                marked with `asks_last_check`; for any other one the engine asks before the call.
        """
        ...

    async def renew(self, single_send: SingleSend, answer: Answer) -> Answer | None:
        """Replaces a recipient's own token, which `answer` refused (`needs_tokens` only).

        Called while the recipient is pending, however long it takes.

        Returns:
            None: another call is worth it. Else what the recipient comes to without one.
        """
        ...

    async def advise(self) -> Advice | None:
        """What the provider says of the singles' quota; None when it cannot be read."""
        ...

    async def __aenter__(self) -> Channel: ...
    async def __aexit__(self, *exc_info: object) -> None: ...


class WithAccountToken(Channel, Protocol):
    """A channel whose calls carry one access token of the account, which processes can share."""

    def share_token(self, store: TokenStore) -> None:
        """Has the token in a store from now on, where other processes that send for the account find
        it too."""
        ...


class Probing(Channel, Protocol):
    """A channel with reads, so that an outage is looked into without risking anybody."""

    async def probe(self, earlier: int, msg_id: str | None) -> Answer:
        """One read that shows whether the provider is there.

        Args:
            earlier: how many were made before: where there are several reads they alternate, since
                a gateway may let through some and not others.
            msg_id: of a group send that can be asked for; None when there is none.

        Returns:
            An answer whose `readable` says it; a refusal of the read itself is readable.
        """
        ...


class Following(Channel, Protocol):
    """A channel that can send to a group and say later how that went."""

    async def deliver_group(
        self,
        compiled: Any,
        values: Sequence[str],
        audience: Audience,
        last_check: LastCheck | None = None,
    ) -> Answer:
        """One group call, as `deliver`."""
        ...

    async def get_delivery(self, msg_id: str) -> Delivery:
        """One poll. Raises ProviderError or TransportError; never changes a recipient."""
        ...

    async def fetch_failures(self, url: str, members: int) -> FailureFile:
        """The failure file of a group of so many members, which bounds its size.

        Raises:
            ProviderError, TransportError: it cannot be had.
            UsageError: the URL is refused.
        """
        ...

    def is_transient(self, error: Exception) -> bool:
        """Whether a failed read is worth another try."""
        ...

    async def count_audience(self, audience: Audience) -> int:
        """How many promoters an audience has (`getpromoter`'s total_cnt)."""
        ...

    def same_message(self, compiled: Any, values: Sequence[str], other: Delivery) -> bool:
        """Whether a group send found at the provider has this rendered message."""
        ...

    async def group_sends_between(self, compiled: Any, begin: float, end: float) -> list[str]:
        """The `msg_id`s of group sends in a time window, as far as the provider lists them."""
        ...

    async def clicks_of_day(self, compiled: Any, day: str, *, by_message: bool) -> list[ClickCount]:
        """The clicks on what the account sent on a China-time day of this message's type.

        Args:
            by_message: each group send by itself, those of other campaigns too; False: all of the type
                together.

        Raises:
            ProviderError, TransportError: they cannot be had now.
            UsageError: nobody has them on that day, or any more.
        """
        ...

    def iter_audience(self, audience: Audience) -> AsyncIterator[Recipient]:
        """Every authorised promoter of an audience."""
        ...


def has_account_token(channel: Channel) -> TypeGuard[WithAccountToken]:
    """Whether a channel has a token that processes can share; one of a caller's own need not."""
    return hasattr(channel, "share_token")


def has_groups(channel: Channel) -> TypeGuard[Following]:
    """Whether a channel has group sends (`Channel.groups`): then it is a `Following`."""
    return channel.groups


_ENGINE_ONLY: Final = {
    name
    for kind in (Channel, WithAccountToken, Probing, Following, FromCampaignFile)
    for name in (*vars(kind), *kind.__annotations__)
    if not name.startswith("_")
} - {"account", "base_url", "get_delivery", "name"}
_AUTHORS_ONLY: Final = {
    "call", "compile_message", "group_path", "has_wechat_codes", "hooks", "read", "request", "send_path",
}  # fmt: skip
