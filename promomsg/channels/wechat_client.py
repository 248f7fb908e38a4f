"""A WeChat account as a client: its token, its options, and the reads that every endpoint shares."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import aiohttp
from msgspec import UNSET, UnsetType

from promomsg.answers import CodeMeaning
from promomsg.channels.base import Advice, Section
from promomsg.channels.client import ChannelBase, M
from promomsg.channels.single_call import as_secret, failed_call
from promomsg.channels.wechat_account import TokenCallable, WeChatAccount
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import Halted, NotSent, OutcomeUnknown, PromoError, ProviderError, UsageError
from promomsg.masking import Mask
from promomsg.model import Answer, Code, Secret, Verdict
from promomsg.transport.connections import MAX_CONNECTIONS
from promomsg.transport.last_check import LastCheck
from promomsg.transport.pace import Pace
from promomsg.transport.session import HttpSession
from promomsg.transport.token_store import TokenStore
from promomsg.wechat import codec, endpoints
from promomsg.wechat.codes import ROWS, Meaning
from promomsg.wechat.models import Quota

if TYPE_CHECKING:
    from promomsg.telemetry.hooks import GivenHooks

__all__ = ["WeChatChannel"]


class WeChatChannel(ChannelBase[M]):
    """One WeChat account (appid), whichever of its endpoints sends.

    A subclass says `name`, `message_type` and `send_path`, and implements `compile_message` and
    `deliver`, which makes its call by `call`. The access token, `prepare`, the probes of an outage, the
    quota's advice and the shared errcodes are here.

    Its arguments are those of `promomsg.WeChatPromoter`, and it raises the same.
    """

    probes_by_reading: bool = True
    daily_quota_codes: frozenset[str] = frozenset({"45009"})
    account_keys: ClassVar[tuple[str, ...]] = ("appid",)
    default_base_url: ClassVar[str] = endpoints.BASE_URL
    has_wechat_codes: ClassVar[bool] = True
    """Its codes are WeChat's errcodes, beside those of `codes`."""
    send_path: ClassVar[str]
    """The endpoint that sends to one person, whose quota is asked for."""
    codes: ClassVar[Mapping[str, CodeMeaning]] = {}
    """Errcodes that this endpoint has beside the shared ones, or means otherwise."""

    _account: WeChatAccount
    _rows: ClassVar[Mapping[str, Meaning]] = ROWS

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {
            code: Meaning(
                code,
                m.verdict,
                m.verdict,
                m.text,
                m.source,
                m.advice,
                m.retry_after,
                m.token_failed,
            )
            for code, m in cls.codes.items()
        }
        cls._rows = {**ROWS, **own} if own else ROWS

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
        hooks: GivenHooks = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        secret, wrong = as_secret(secret)  # out of this frame's locals
        token, wrong_token = _source(token)
        self._refuse(wrong, wrong_token)
        http = HttpSession(
            base_url,
            timeout=timeout,
            proxy=proxy,
            session=session,
            max_connections=max_connections,
            secrets=self._secrets,
        )
        self._http = http
        self._account = WeChatAccount(
            appid, secret, token, http, legacy=legacy_token, clock=clock, what=type(self).__name__
        )
        super().__init__(http, pace=pace, clock=clock, hooks=hooks)

    def with_account(
        self,
        appid: str,
        secret: str | Secret | None = None,
        *,
        token: TokenCallable | None = None,
        pace: Pace | None = None,
        legacy_token: bool = False,
    ) -> Self:
        """Another account on the same connection pool; closing it leaves the pool open.

        Time-out and proxy are this client's.

        Args:
            appid, secret, token, pace, legacy_token: see the class. A pace that is not given is what the
                quota of that account says, not this client's.

        Raises:
            UsageError: as the class.
        """
        secret, wrong = as_secret(secret)
        token, wrong_token = _source(token)
        self._refuse(wrong, wrong_token)
        account = WeChatAccount(
            appid,
            secret,
            token,
            self._http,
            legacy=legacy_token,
            clock=self._clock,
            what=type(self).__name__,
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
    ) -> Self:
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

    def _refuse(self, secret: str | None, token: str | None) -> None:
        """Raises UsageError; the arguments are the types of what is no secret, or no source of tokens."""
        if secret:
            raise UsageError(f"{type(self).__name__}(secret=…): give a str, not {secret}")
        if token:
            raise UsageError(
                f"{type(self).__name__}(token=…): give an async callable, (stale) -> str, not {token}"
            )

    def __repr__(self) -> str:
        # A client whose constructor raised is shown by crash reporters too.
        account, http = getattr(self, "_account", None), getattr(self, "_http", None)
        return (
            f"{type(self).__name__}({getattr(account, 'appid', None)!r}, "
            f"base_url={getattr(http, 'base_url', None)!r})"
        )

    def call(
        self, path: str, body: bytes, last_check: LastCheck | None
    ) -> Coroutine[Any, Any, Answer]:
        """One send call with the account's token. Never raises for what the provider or the connection
        does: errcode 0 is `SENT`, any other what `codes` and the shared table say.

        Args:
            path: the endpoint's.
            body: the JSON that is sent.
            last_check: as `deliver` got it.
        """
        return self._account.send(path, body, self._read_single, last_check)

    def _read_single(self, status: int, body: bytes, mask: Mask) -> Answer:
        return codec.read_single(status, body, mask, self._rows)

    async def get_quota(self, path: str | None = None) -> Quota:
        """What is left of an endpoint's daily quota, and its rate limit (`quota/get`).

        Args:
            path: the endpoint's; None: the one that sends to one person.
        """
        return await self._ask_quota(path or self.send_path)

    async def _ask_quota(self, path: str, **tries: int) -> Quota:
        return await self._account.ask(
            endpoints.QUOTA_GET, codec.quota_body(path), codec.read_quota, **tries
        )

    # The engine's interface.

    @property
    def account(self) -> str:
        """The appid."""
        return self._account.appid

    def share_token(self, store: TokenStore) -> None:
        self._account.share_token(store)

    async def prepare(self) -> None:
        await self._account.prepare()

    async def probe(self, earlier: int, msg_id: str | None) -> Answer:
        try:
            await self._read_something(earlier, msg_id)
        except ProviderError as error:
            there = error.verdict is not Verdict.UNKNOWN
            return Answer(
                Verdict(error.verdict),
                error.code,
                error.detail,
                error.rid,
                readable=there,
                status=error.status,
            )
        except UsageError as error:
            return Answer(Verdict.HALT, Code.CLIENT, str(error), readable=False)
        except (NotSent, OutcomeUnknown, Halted) as error:
            # A halt is of the token: who says that was there to say it, and the next send will halt.
            return failed_call(error)
        except PromoError as error:
            return Answer(Verdict.UNKNOWN, Code.NO_ANSWER, str(error), readable=False)
        return Answer(Verdict.SENT)

    async def _read_something(self, earlier: int, msg_id: str | None) -> None:
        """One read that harms nobody; see `Probing.probe`."""
        await self._ask_quota(self.send_path, tries=1)

    async def advise(self) -> Advice | None:
        try:
            quota = await self._ask_quota(self.send_path, tries=1)
        except PromoError:
            return None
        return Advice(
            calls=quota.call_count,
            per_seconds=quota.refresh_second,
            daily_limit=quota.daily_limit,
            daily_remaining=quota.remain,
        )

    @classmethod
    def read_account(cls, section: Section) -> dict[str, Any]:
        return {
            "appid": section.required("appid", '"wx…"'),
            "secret": section.secret_of("secret"),
        }


def _source(token: TokenCallable | None) -> tuple[TokenCallable | None, str | None]:
    """A token source, and the name of its type when it is none: a token itself, perhaps."""
    return (token, None) if token is None or callable(token) else (None, type(token).__name__)
