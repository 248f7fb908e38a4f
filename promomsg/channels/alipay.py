"""A Mini Program of an Alipay+ wallet as a channel: single sends, deduplicated by requestId.

Source of its rules: docs/facts/alipay.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import aiohttp
import msgspec
from msgspec import UNSET, UnsetType

from promomsg.alipay import codec
from promomsg.alipay.message import AlipayMessage, CompiledAlipayMessage
from promomsg.alipay.models import LIMITS, SEND_PATH, UserToken, UserTokens
from promomsg.alipay.signing import SignatureEncoding
from promomsg.channels.alipay_account import AlipayAccount, key_as_secret
from promomsg.channels.alipay_tokens import TOKEN_STORE, RefreshedTokens, StoreError
from promomsg.channels.base import CompiledMessage
from promomsg.channels.client import ChannelBase
from promomsg.channels.single_call import as_secret
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.control_characters import find_control, has_blank
from promomsg.errors import UsageError
from promomsg.model import Answer, Code, Problem, Secret, SingleSend, Verdict
from promomsg.transport.connections import MAX_CONNECTIONS
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.transport.pace import Pace
from promomsg.transport.session import HttpSession

if TYPE_CHECKING:
    from promomsg.telemetry.hooks import GivenHooks

__all__ = ["AlipayMiniProgram"]

_NO_STORE: Final = "with a token store (tokens = …) it would be refreshed"
_UNVERIFIED: Final = "verify = false: the wallet's answers are believed without their signatures"


class AlipayMiniProgram(ChannelBase[AlipayMessage]):
    """One Mini Program at one wallet.

    Args:
        client_id: the `Client-Id` that the portal gave.
        app_id: the Mini Program's, at most 32 characters.
        private_key: yours; PKCS#8 or PKCS#1 PEM, or the bare base64 of either.
        public_key: the wallet's, which its answers are checked with; required unless
            `verify=False`.
        verify: whether a success has to be signed to be believed.
        base_url: the wallet's, its prefix included (`"https://…/api"`); http for loopback only.
        key_version: of your key at the portal.
        signature_encoding: `"percent"` (default), `"base64"` or `"base64url"`.
        tokens: where refreshed user tokens are kept; a token in it goes before the recipient's own.
        session: your own `aiohttp.ClientSession`, for its resolver, TLS settings and pool; it is not
            closed here. Its calls are aiohttp's own, at nearly three times the processor time.
        pace: how fast to send; None: 50 singles a second.
        timeout: seconds for an answer, counted from the first byte of its request. A call that
            has to wait for a free connection waits as long at the most, and is not sent then.
        proxy: URL of an HTTP proxy; `"env"`: as HTTPS_PROXY and NO_PROXY say; None: straight.
        max_connections: calls out at once, over all campaigns and derived clients, which share them
            fairly; never over half of `ulimit -n`. A campaign with a higher concurrency raises it.
        clock: the machine's by default.
        extra: request fields of this wallet's own, by its names for them (`customerBelongsTo`,
            `authClientId`); a message's own go before them.
        hooks: told of all that goes through this client and those derived from it.
        random_id: gives the run id from which `send_one` derives a requestId.

    Raises:
        UsageError: a key that does not load, a missing public key, a bad base URL or option.
    """

    name: str = "alipay"
    message_type: ClassVar[type[AlipayMessage]] = AlipayMessage
    idempotent: bool = True
    needs_tokens: bool = True
    account_keys: ClassVar[tuple[str, ...]] = ("client_id", "app_id")
    send_path: ClassVar[str] = SEND_PATH

    _account: AlipayAccount

    def __init__(
        self,
        client_id: str,
        app_id: str,
        private_key: str | bytes | Secret,
        *,
        public_key: str | bytes | Secret | None = None,
        verify: bool = True,
        base_url: str,
        key_version: int | str = 1,
        signature_encoding: SignatureEncoding = "percent",
        tokens: UserTokens | None = None,
        session: aiohttp.ClientSession | None = None,
        pace: Pace | None = None,
        timeout: float = 30.0,
        proxy: str | None = None,
        max_connections: int = MAX_CONNECTIONS,
        clock: Clock = SYSTEM_CLOCK,
        extra: Mapping[str, Any] | None = None,
        hooks: GivenHooks = None,
        random_id: Callable[[], str] = secrets.token_hex,
    ) -> None:
        # Out of this frame's locals: an error here may be shown with them.
        private, public = key_as_secret(private_key), key_as_secret(public_key)
        del private_key, public_key
        self._http = HttpSession(
            base_url,
            timeout=timeout,
            proxy=proxy,
            session=session,
            max_connections=max_connections,
        )
        self._account = AlipayAccount(
            client_id,
            app_id,
            private,
            public,
            self._http,
            verify=verify,
            key_version=key_version,
            signature_encoding=signature_encoding,
            clock=clock,
        )
        self._extra = dict(extra or {})
        super().__init__(self._http, pace=pace, clock=clock, hooks=hooks, random_id=random_id)
        self._users = RefreshedTokens(tokens, self._refresh) if tokens is not None else None

    def with_options(
        self,
        *,
        pace: Pace | UnsetType | None = UNSET,
        timeout: float | UnsetType = UNSET,
        proxy: str | UnsetType | None = UNSET,
        extra: Mapping[str, Any] | UnsetType | None = UNSET,
        random_id: Callable[[], str] | UnsetType = UNSET,
    ) -> AlipayMiniProgram:
        """This Mini Program with other options, on the same pool, with its keys and users' tokens.

        What is not given stays as it is. It costs no call and no connection, may be made before the
        first call or after it, and closing it leaves the pool open.

        Args:
            pace: its own limiters, which share the account's quota as those of any two clients of it
                do; None: 50 singles a second. Not given: the same limiters.
            timeout, extra, random_id: see the class.
            proxy: see the class. Another one has connections of its own, within the same
                `max_connections`.

        Raises:
            UsageError: an option that cannot be right.
        """
        http = self._http.with_options(timeout=timeout, proxy=proxy)
        other = self._derive(self._account.over(http), http, pace=pace)
        if extra is not UNSET:
            other._extra = dict(extra or {})
        if random_id is not UNSET:
            other._random_id = random_id
        if self._users is not None:
            other._users = self._users.through(other._refresh)
        return other

    def __repr__(self) -> str:
        # A client whose constructor raised is shown by crash reporters too.
        account = getattr(self, "_account", None)
        client_id, app_id = getattr(account, "client_id", None), getattr(account, "app_id", None)
        base_url = getattr(getattr(self, "_http", None), "base_url", None)
        return f"AlipayMiniProgram({client_id!r}, {app_id!r}, base_url={base_url!r})"

    async def close(self) -> None:
        """Closes the connections, of derived clients too, and ends the threads that sign; a derived
        client's close does nothing."""
        try:
            await super().close()
        finally:
            if self._owns_pool:
                self._account.close()

    # The engine's interface.

    @property
    def account(self) -> str:
        """The client id and the app id, with a slash between."""
        return f"{self._account.client_id}/{self._account.app_id}"

    @property
    def notices(self) -> tuple[str, ...]:
        return () if self._account.verifies else (_UNVERIFIED,)

    def compile_message(self, message: AlipayMessage) -> CompiledAlipayMessage:
        return CompiledAlipayMessage(message, self._extra)

    def compile_snapshot(self, snapshot: Mapping[str, Any]) -> CompiledAlipayMessage:
        return CompiledAlipayMessage.from_snapshot(snapshot)

    def check_address(
        self,
        id: str | None,
        openid: str | None,
        unionid: str | None,
        token: str | None,
        request_id: str | None,
    ) -> Problem | None:
        if not token:
            if self._users is None:
                return Problem(Code.NO_ADDRESS, "the row has no access_token")
        else:
            # The token itself stands in no text.
            if len(token) > LIMITS["accessToken"]:
                return Problem(
                    Code.OVER_LIMIT,
                    f"accessToken: {len(token)} characters, at most {LIMITS['accessToken']}",
                )
            if find_control(token) or has_blank(token):
                return Problem(Code.BAD_ADDRESS, "access_token: a space or control character in it")
        if request_id is not None:
            if len(request_id) > LIMITS["requestId"]:
                return Problem(
                    Code.OVER_LIMIT,
                    f"requestId: {len(request_id)} characters, at most {LIMITS['requestId']}",
                )
            if not request_id or find_control(request_id) or has_blank(request_id):
                return Problem(
                    Code.BAD_ADDRESS, "request_id: empty, or a space or control character in it"
                )
        return None

    def are_addressed(
        self,
        ids: Sequence[str | None] | None,
        openids: Sequence[str | None] | None,
        unionids: Sequence[str | None] | None,
        tokens: Sequence[str | None] | None,
        request_ids: Sequence[str | None] | None,
    ) -> bool:
        return False

    async def prepare(self) -> None:
        self._account.check_signatures()

    def request_id(self, run_id: str, key: str, generation: int) -> str | None:
        return codec.derive_request_id(run_id, key, generation)

    @asks_last_check
    def deliver(
        self,
        compiled: CompiledMessage,
        single_send: SingleSend,
        last_check: LastCheck | None = None,
    ) -> Coroutine[Any, Any, Answer]:
        # Not a coroutine that awaits another: it would be resumed three times for each message.
        assert isinstance(compiled, CompiledAlipayMessage)  # made by this channel's compile
        users = self._users
        if users is None:
            return self._send(compiled, single_send, single_send.token, last_check, _NO_STORE)
        return self._send_with_stored(users, compiled, single_send, last_check)

    async def _send_with_stored(
        self,
        users: RefreshedTokens,
        compiled: CompiledAlipayMessage,
        single_send: SingleSend,
        last_check: LastCheck | None,
    ) -> Answer:
        try:
            stored = await users.get(single_send.key)
            token = stored.access_token if stored is not None else single_send.token
            answer = await self._send(compiled, single_send, token, last_check)
        except StoreError as error:
            return Answer(Verdict.HALT, TOKEN_STORE, str(error))
        if token is not None and answer.token_failed:
            return users.mark_refused(single_send.key, token, answer)
        if answer.verdict not in (Verdict.RETRY, Verdict.THROTTLED, Verdict.UNKNOWN):
            users.mark_final(single_send.key)
        return answer

    async def renew(self, single_send: SingleSend, answer: Answer) -> Answer | None:
        if self._users is None:
            return None
        try:
            refusal = await self._users.renew(single_send.key, single_send.token, answer)
        except StoreError as error:
            return Answer(Verdict.HALT, TOKEN_STORE, str(error))
        except UsageError as error:
            return Answer(Verdict.HALT, Code.CLIENT, str(error))
        if refusal is not None and refusal.verdict is Verdict.FAILED:
            self._users.mark_final(single_send.key)
        return refusal

    def _send(
        self,
        compiled: CompiledAlipayMessage,
        single_send: SingleSend,
        token: Secret | None,
        last_check: LastCheck | None,
        token_advice: str = "",
    ) -> Coroutine[Any, Any, Answer]:
        if not token or not single_send.request_id:
            return _not_addressed("requestId" if token else "access token")
        # The body, which holds the token in the clear, is in no variable of this frame.
        return self._account.send(
            compiled.body(
                single_send.values,
                app_id=self._account.app_id,
                access_token=token,
                request_id=single_send.request_id,
            ),
            single_send.request_id,
            token,
            last_check,
            token_advice,
        )

    # The endpoints, typed.

    async def apply_token(
        self,
        *,
        auth_code: str | Secret | None = None,
        refresh_token: str | Secret | None = None,
        auth_client_id: str | None = None,
        customer_belongs_to: str | None = None,
        extend_info: str | Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> UserToken:
        """A user's tokens (`/v2/authorizations/applyToken`).

        Args:
            auth_code: from the Mini Program, for the first time.
            refresh_token: from the last answer; it is probably used up by this.
            auth_client_id, customer_belongs_to: some wallets want them; the channel's `extra` by
                default.
            extend_info: text, or a mapping that is sent as a JSON string.
            key: the recipient's key: the tokens are saved under it before this returns, and no
                other refresh of that user runs meanwhile. With neither code nor refresh token,
                the saved one is refreshed.

        Raises:
            UsageError: not exactly one of code and refresh token; a key without a token store.
            ProviderError: refused. NotSent: nothing went out.
            OutcomeUnknown: no believable answer: the code or refresh token may be used up.
        """
        # First of all: an error from here on may be shown with this frame's variables.
        auth_code, wrong = as_secret(auth_code)
        refresh_token, wrong_too = as_secret(refresh_token)
        if wrong or wrong_too:
            name = "auth_code" if wrong else "refresh_token"
            raise UsageError(f"apply_token({name}=…): give a str, not {wrong or wrong_too}")
        if auth_code and refresh_token:
            raise UsageError("apply_token: give auth_code or refresh_token, not both")
        if not (auth_code or refresh_token or key is not None):
            raise UsageError("apply_token: give auth_code, refresh_token, or the key of a user")
        info = (
            msgspec.json.encode(extend_info).decode()
            if isinstance(extend_info, Mapping)
            else extend_info
        )
        more = {
            "auth_client_id": auth_client_id or self._extra.get("authClientId"),
            "customer_belongs_to": customer_belongs_to or self._extra.get("customerBelongsTo"),
            "extend_info": info,
        }
        if key is None:
            return await self._account.apply_token(auth_code, refresh_token, **more)
        if self._users is None:
            raise UsageError("apply_token(key=…): there is no token store; give tokens=…")
        async with self._users.exclusive(key):
            stored = await self._users.get(key)
            if auth_code is None and refresh_token is None:
                refresh_token = stored.refresh_token if stored is not None else None
                if refresh_token is None:
                    raise UsageError(f"apply_token: no refresh token is saved under {key!r}")
            token = await self._account.apply_token(auth_code, refresh_token, **more)
            # A new authorisation owes nothing to the one before it.
            return await self._users.replace(key, stored if auth_code is None else None, token)

    async def _refresh(self, refresh_token: Secret) -> UserToken:
        return await self.apply_token(refresh_token=refresh_token)


async def _not_addressed(what: str) -> Answer:
    return Answer(Verdict.FAILED, Code.NO_ADDRESS, f"there is no {what} for this recipient")
