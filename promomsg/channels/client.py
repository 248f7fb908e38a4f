"""What every channel's client is beside its endpoints: a pool, an account on it, a pace."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from promomsg.answers import CodeMeaning
from promomsg.channels.base import Advice, CompiledMessage, Section, UserFacing
from promomsg.channels.single_call import (
    call_at_pace,
    outcome_of,
    recipient_type_error,
    single_send_for,
)
from promomsg.clock import Clock
from promomsg.errors import UsageError
from promomsg.idempotency_key import derive_idempotency_key
from promomsg.model import Answer, Code, Outcome, Problem, Recipient, SingleSend
from promomsg.transport.connections import Connections
from promomsg.transport.fair_semaphore import SemaphoreShare
from promomsg.transport.last_check import LastCheck
from promomsg.transport.pace import Pace, Pacer
from promomsg.transport.session import HttpSession

if TYPE_CHECKING:
    from promomsg.telemetry.hooks import GivenHooks, Hooks

__all__ = ["ChannelBase", "M"]

M = TypeVar("M", bound=msgspec.Struct)
"""The message that a channel sends."""


class ChannelBase(UserFacing, ABC, Generic[M]):
    """A client of one account, and all of `promomsg.channels.base.Channel` that has a default. Those
    derived from it share its pool, and close nothing.

    Args:
        http: its session.
        pace: how fast to send; None: what the provider advises, else 50 singles a second.
        clock: the machine's, or a test's.
        hooks: told of all that goes through this client and those derived from it.
        random_id: gives the run id from which `send_one` derives an idempotency key.

    `account` is asked for while this runs: whatever it is made of has to be there before.
    """

    name: str
    """The channel's, in journals and campaign files: `channel = "NAME"`."""
    message_type: ClassVar[type[Any]]
    """The class of the messages that it sends."""
    idempotent: bool = False
    """The provider sends one message for each `SingleSend.request_id`: a lost answer is asked for again."""
    needs_tokens: bool = False
    """Each recipient brings an access token of their own."""
    groups: bool = False
    """It has group sends."""
    probes_by_reading: bool = False
    """It is a `Probing`; where it is not, a send is the probe of an outage."""
    daily_quota_codes: frozenset[str] = frozenset()
    """Codes of a HALT that the next China-time day mends."""

    addresses: ClassVar[tuple[str, ...]] = ("openid",)
    """Which of a row's `id`, `openid` and `unionid` it can send to; one of them has to be there."""
    account_keys: ClassVar[tuple[str, ...]] = ()
    """The keys of a campaign file's `[NAME]` that say whose account it is; `account` is their values,
    joined by slashes."""
    default_base_url: ClassVar[str] = ""
    """Where calls go when a campaign file says nothing; empty: `base_url` has to be there."""
    codes: ClassVar[Mapping[str, CodeMeaning]] = {}
    """What the provider's codes mean, for `promomsg explain` and reports."""

    _http: HttpSession
    _account: Any
    _clock: Clock
    _single_calls: SemaphoreShare
    _pacer: Pacer
    _owns_pool = True
    hooks: tuple[Hooks, ...] = ()
    """Those that are told of all that goes through this client; a campaign has its own beside them."""
    send_path: ClassVar[str] = ""
    """The endpoint that sends to one person, below the base URL: what hooks are told of a call."""
    group_path: ClassVar[str] = ""
    """The same of a group send."""

    def __init__(
        self,
        http: HttpSession,
        *,
        pace: Pace | None,
        clock: Clock,
        hooks: GivenHooks = None,
        random_id: Callable[[], str] = secrets.token_hex,
    ) -> None:
        self._http = http
        if hooks is not None:
            self.watch(hooks)
        self._clock = clock
        self._single_calls = http.connections.calls.share()
        self._random_id = random_id
        self._pacer = self._new_pacer(pace)

    def _derive(
        self,
        account: Any,
        http: HttpSession,
        *,
        pace: Pace | UnsetType | None = UNSET,
    ) -> Self:
        """Another client on the same pool; closing it leaves the pool open.

        Args:
            account: whose calls it makes: this client's own over `http`, or another one's.
            http: a session of this client's pool.
            pace: UNSET: this client's own limiters, with what they have counted.
        """
        other = copy(self)
        other._owns_pool = False
        other._account = account
        other._http = http
        if pace is not UNSET:
            other._pacer = other._new_pacer(pace)
        return other

    def _new_pacer(self, pace: Pace | None) -> Pacer:
        return Pacer(pace, self._clock, account=(self.name, self._http.base_url, self.account))

    def watch(self, hooks: GivenHooks) -> None:
        """Has hooks told of all that goes through this client from now on, as `hooks=` of a client does.

        Raises:
            UsageError: they are none.
        """
        # Loaded for whoever has hooks.
        from promomsg.telemetry.hooks import as_hooks
        from promomsg.telemetry.observers import Observers

        self.hooks = (*self.hooks, *as_hooks(hooks))
        self._http.observers = Observers.of(self.hooks, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections, of derived clients too; a derived client's close does nothing."""
        if self._owns_pool:
            await self._http.close()
            if self._http.observers is not None:
                await self._http.observers.drained()

    async def send_one(self, message: M, to: Recipient) -> Outcome:
        """One send outside a campaign, at the channel's pace; nothing is tried again but a refused token.

        Returns the outcome: `sent`, `failed`, or `unknown` when the answer was lost. On a channel with
        idempotency keys its recipient has the `request_id` that was used: sending to it again is safe,
        the provider answers for the same message.

        Raises:
            UsageError: no usable address or access token, a missing parameter, a message over a limit,
                or a client that is closed or another event loop's.
            ProviderError: nobody can be reached (credentials), or not now (quota, too many calls).
            NotSent: nothing went out; it is safe to try again.
        """
        if (wrong := recipient_type_error(to)) is not None:
            del to  # it may be a token, and this frame is shown with the error
            raise wrong
        compiled = self.compile(message)
        if self.idempotent and not (to.request_id or "").strip():
            request_id = self.request_id(self._random_id(), to.key or "", 0)
            to = msgspec.structs.replace(to, request_id=request_id)
        single_send = single_send_for(self, compiled, to)
        deliver: Callable[..., Awaitable[Answer]] = self.deliver
        observers = self._http.observers
        if observers is not None:
            deliver = observers.observe_calls(deliver, "single", self)
        answer = await call_at_pace(
            self._pacer.singles,
            self._http,
            self._single_calls,
            lambda check: deliver(compiled, single_send, check),
            lambda answer: self.renew(single_send, answer),
        )
        return outcome_of(to, answer, self._clock.time())

    # The engine's interface: see `promomsg.channels.base.Channel`.

    @property
    @abstractmethod
    def account(self) -> str:
        """Whose client it is, as the provider names it: a journal is of one account."""

    @property
    def loopback(self) -> bool:
        """Whether the provider is on this machine: a sandbox, which may be asked at once."""
        return self._http.loopback

    @property
    def base_url(self) -> str:
        """Where its calls go; no secret is in it."""
        return self._http.base_url

    @property
    def pacer(self) -> Pacer:
        return self._pacer

    @property
    def connections(self) -> Connections:
        return self._http.connections

    @property
    def notices(self) -> tuple[str, ...]:
        """What a plan should say of this channel's settings; here: nothing."""
        return ()

    def expect(self, concurrency: int) -> None:
        self._http.expect(concurrency)

    async def connect_ahead(self, calls: int) -> int:
        return await self._http.connect_ahead(calls)

    def compile(self, message: Any) -> CompiledMessage:
        """`compile_message`, for a message whose class is checked first. Raises UsageError."""
        return self.compile_message(self._of_its_kind(message))

    def _of_its_kind(self, message: Any) -> M:
        wanted = self.message_type
        if not isinstance(message, wanted):
            given = message.__name__ if isinstance(message, type) else type(message).__name__
            raise UsageError(f"channel {self.name!r} sends a {wanted.__name__}, not {given}")
        checked: M = message
        return checked

    @abstractmethod
    def compile_message(self, message: M) -> CompiledMessage:
        """The message, checked and encoded; `compile` calls it once its class is known to be right.

        Raises:
            UsageError: a fixed part of it is wrong; the text names the field.
        """

    def compile_snapshot(self, snapshot: Mapping[str, Any]) -> CompiledMessage:
        """The compiled message of what `CompiledMessage.snapshot` gave, which a journal has kept."""
        try:
            message: M = msgspec.convert(snapshot, self.message_type)
        except msgspec.ValidationError as error:
            raise UsageError(f"not a kept message of channel {self.name!r}: {error}") from None
        return self.compile_message(message)

    def check_address(
        self,
        id: str | None,
        openid: str | None,
        unionid: str | None,
        token: str | None,
        request_id: str | None,
    ) -> Problem | None:
        """Why a single send cannot go to a row with these addresses, or None; here: one of `addresses`
        has to be there. Whoever overrides it overrides `are_addressed` too."""
        given = {"id": id, "openid": openid, "unionid": unionid}
        address = next((found for name in self.addresses if (found := given[name])), None)
        if address is None:
            *others, last = self.addresses
            names = f"{', '.join(others)} or {last}" if others else last
            return Problem(Code.NO_ADDRESS, f"the row has no {names}")
        if not address.isascii() and not _encodable(address):
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
        """Whether `check_address` surely has no problem with any of these rows, given as columns; False
        has each of them checked."""
        given = {"id": ids, "openid": openids, "unionid": unionids}
        columns = [found for name in self.addresses if (found := given[name]) is not None]
        try:
            return bool(columns) and all("".join(column).isascii() for column in columns)  # type: ignore[arg-type]
        except TypeError:  # a row without one of them
            return False

    async def prepare(self) -> None:
        """Everything a send needs but the send itself, such as a token; here: nothing. Called before
        anybody is intended, and cheap when there is nothing to do.

        Raises:
            NotSent: it cannot be had now; worth another try.
            Halted: it never will be.
        """
        return

    def request_id(self, run_id: str, key: str, generation: int) -> str | None:
        """The idempotency key of a recipient: 48 hex digits, the same after a resume; None where the channel
        is not `idempotent`.

        Args:
            run_id: of the campaign.
            key: the recipient's.
            generation: how often the recipient was reopened by `retry` after a failure.
        """
        if not self.idempotent:
            return None
        return derive_idempotency_key(run_id, key, generation, person=self.name.encode()[:16])

    @abstractmethod
    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        """One call for one recipient. Never raises for what the provider, the connection or an answer
        brings about: the verdict says it.

        Args:
            compiled: what `compile_message` made.
            single_send: whom to send to.
            last_check: asked right before the first byte, by `HttpSession.post`; see `asks_last_check`.
        """

    async def renew(self, single_send: SingleSend, answer: Answer) -> Answer | None:
        """Replaces a recipient's own token, which `answer` refused (`needs_tokens` only); here: nothing
        can be. None: another call is worth it; else what the recipient comes to without one."""
        return None

    async def advise(self) -> Advice | None:
        """What the provider says of the quota of single sends; None, as here: nothing."""
        return None

    # What a campaign file says of it: see `promomsg.channels.base.FromCampaignFile`.

    @classmethod
    def read_account(cls, section: Section) -> dict[str, Any]:
        """The arguments of the class that a campaign file's `[NAME]` gives, without `base_url`, `pace`,
        `timeout` and `proxy`, which are read for every channel.

        Raises:
            UsageError: a key is missing or wrong.
        """
        raise NotImplementedError

    @classmethod
    def read_message(cls, section: Section) -> M:
        """The message that a campaign file's `[message]` gives. Raises UsageError."""
        raise NotImplementedError


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
