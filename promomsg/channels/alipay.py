"""A Mini Program of an Alipay+ wallet as a channel: single sends, deduplicated by requestId.

Source of its rules: docs/facts/alipay.md.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NamedTuple, Self

import aiohttp
import msgspec
import yarl

from promomsg.alipay import codec, signing
from promomsg.alipay.keys import refuse_own_key
from promomsg.alipay.message import AlipayMessage, CompiledAlipayMessage
from promomsg.alipay.models import (
    APPLY_PATH,
    LIMITS,
    SEND_PATH,
    TokenRequest,
    UserToken,
    UserTokens,
)
from promomsg.alipay.signing import Signature, SignatureEncoding
from promomsg.channels.alipay_tokens import TOKEN_STORE, RefreshedTokens, StoreError
from promomsg.channels.base import Advice, CompiledMessage, UserFacing
from promomsg.channels.single_call import (
    as_secret,
    call_at_pace,
    not_sent,
    outcome_of,
    recipient_type_error,
    single_send_for,
    waiting_as_asked,
)
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.control_characters import find_control, has_blank
from promomsg.errors import Halted, NotSent, OutcomeUnknown, ProviderError, UsageError
from promomsg.model import Answer, Code, Outcome, Problem, Recipient, Secret, SingleSend, Verdict
from promomsg.traceback_locals import clear_traceback_locals
from promomsg.transport.connections import MAX_CONNECTIONS, Connections
from promomsg.transport.pace import Pace, Pacer
from promomsg.transport.retry_after import retry_after
from promomsg.transport.session import HttpAnswer, HttpSession

__all__ = ["AlipayMiniProgram"]

_DISTRUST: Final = 20
"""Recipients with answers that no signature proves, with none ever proved, from which on sending
stops: the public key is not this wallet's, and each further send would end unknown as well. They
are kept as they are; with the right key their outcomes are asked for by the same requestId."""
_WRONG_KEY: Final = 3
"""Answers signed with another key than public_key, with none ever proved, from which on sending
stops: no waiting mends that, and by the same requestIds the outcomes are asked for with the right
key."""
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")
_NO_STORE: Final = "with a token store (tokens = …) it would be refreshed"
_UNVERIFIED: Final = "verify = false: the wallet's answers are believed without their signatures"


class _Endpoint(NamedTuple):
    url: yarl.URL
    path: str
    """As it goes on the wire, the wallet's prefix included: it is part of what is signed."""


class AlipayMiniProgram(UserFacing):
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
        session: your own `aiohttp.ClientSession`; it is not closed here.
        pace: how fast to send; None: 50 singles a second.
        timeout: seconds for an answer, counted from the first byte of its request. A call that
            has to wait for a free connection waits as long at the most, and is not sent then.
        proxy: URL of an HTTP proxy; `"env"`: as HTTPS_PROXY and NO_PROXY say; None: straight.
        max_connections: calls out at once, over all campaigns of the client, which share them
            fairly; never over half of `ulimit -n`. A campaign with a higher concurrency raises it.
        clock: the machine's by default.
        extra: request fields of this wallet's own, by their wire names (`customerBelongsTo`,
            `authClientId`); a message's own go before them.
        random_id: gives the run id from which `send_one` derives a requestId.

    Raises:
        UsageError: a key that does not load, a missing public key, a bad base URL or option.
    """

    name: ClassVar[str] = "alipay"
    idempotent: ClassVar[bool] = True
    needs_tokens: ClassVar[bool] = True
    groups: ClassVar[bool] = False
    probes_by_reading: ClassVar[bool] = False
    daily_quota_codes: ClassVar[frozenset[str]] = frozenset()

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
        random_id: Callable[[], str] = secrets.token_hex,
    ) -> None:
        # Out of this frame's locals: an error here may be shown with them.
        private, public = _hidden_key(private_key), _hidden_key(public_key)
        del private_key, public_key
        self._client_id = _option("client_id", client_id)
        self._app_id = _option("app_id", app_id)
        if len(self._app_id) > LIMITS["appId"]:
            raise UsageError(
                f"app_id: {len(self._app_id)} characters, at most {LIMITS['appId']} are allowed"
            )
        self._key_version = _option("key_version", str(key_version))
        if signature_encoding not in signing.ENCODINGS:
            raise UsageError(
                f"signature_encoding: {signature_encoding!r} is not one of "
                + ", ".join(signing.ENCODINGS)
            )
        self._encoding: SignatureEncoding = signature_encoding
        if not isinstance(verify, bool):
            raise UsageError(f"verify: give True or False, not {verify!r}")
        if verify and not public:
            raise UsageError(
                "public_key: missing; give the wallet's public key (it is on the portal), or "
                "verify = false to believe unsigned answers"
            )
        try:
            self._key = signing.load_private_key(private)
            self._public_key = signing.load_public_key(public) if verify and public else None
            if self._public_key is not None:
                refuse_own_key(self._key, self._public_key)
        except UsageError as error:
            clear_traceback_locals(error)
            raise
        self._http = HttpSession(
            base_url,
            timeout=timeout,
            proxy=proxy,
            session=session,
            max_connections=max_connections,
        )
        self._single_calls = self._http.connections.calls.share()
        self._send_to = self._endpoint(SEND_PATH)
        self._apply_at = self._endpoint(APPLY_PATH)
        self._extra = dict(extra or {})
        self._clock = clock
        self._pacer = Pacer(pace, clock)
        self._random_id = random_id
        self._users = RefreshedTokens(tokens, self._refresh) if tokens is not None else None
        self._proved = False
        self._badly_signed = 0
        self._doubted: set[str] = set()
        """requestIds of unproved answers; a few recipients may be asked for again and again."""

    def __repr__(self) -> str:
        # A client whose constructor raised is shown by crash reporters too.
        client_id, app_id = getattr(self, "_client_id", None), getattr(self, "_app_id", None)
        base_url = getattr(getattr(self, "_http", None), "base_url", None)
        return f"AlipayMiniProgram({client_id!r}, {app_id!r}, base_url={base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections that are its own."""
        await self._http.close()

    def _endpoint(self, path: str) -> _Endpoint:
        url = self._http.url(path)
        return _Endpoint(url, url.raw_path)

    async def _post(self, endpoint: _Endpoint, body: bytes) -> tuple[HttpAnswer, Signature]:
        """One attempt: signed afresh, with its own Request-Time. The caller holds its place among
        the connections, since a wait for one would age that time.

        Raises:
            NotSent, OutcomeUnknown: see `HttpSession.post`.
        """
        now = datetime.fromtimestamp(self._clock.time(), UTC).isoformat(timespec="milliseconds")
        signature = signing.sign(
            self._key, endpoint.path, self._client_id, now, body, self._encoding
        )
        answer = await self._http.post(
            endpoint.url,
            body,
            {
                "Content-Type": "application/json; charset=UTF-8",
                "Client-Id": self._client_id,
                "Request-Time": now,
                "Signature": signing.signature_header(signature, self._key_version),
            },
            has_permit=True,
        )
        return answer, signing.check_answer(
            self._public_key, endpoint.path, self._client_id, answer.headers, answer.body
        )

    # The engine's interface.

    @property
    def account(self) -> str:
        return f"{self._client_id}/{self._app_id}"

    @property
    def loopback(self) -> bool:
        return self._http.loopback

    @property
    def base_url(self) -> str:
        return self._http.base_url

    @property
    def pacer(self) -> Pacer:
        return self._pacer

    @property
    def connections(self) -> Connections:
        return self._http.connections

    @property
    def notices(self) -> tuple[str, ...]:
        return () if self._public_key is not None else (_UNVERIFIED,)

    def expect(self, concurrency: int) -> None:
        self._http.expect(concurrency)

    def compile(self, message: Any) -> CompiledAlipayMessage:
        if not isinstance(message, AlipayMessage):
            raise UsageError(
                f"an Alipay campaign sends an AlipayMessage, not {type(message).__name__}"
            )
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

    async def prepare(self) -> None:
        if self._badly_signed >= _WRONG_KEY and not self._proved:
            raise Halted(
                Code.UNSIGNED,
                f"{self._badly_signed} answers are signed with another key than public_key, and "
                "none with it: give this wallet's key, then resume (nobody is sent to twice)",
            )
        if len(self._doubted) >= _DISTRUST and not self._proved:
            raise Halted(
                Code.UNSIGNED,
                f"of {len(self._doubted)} recipients' answers none was signed with public_key: "
                "it is not this wallet's, or the wallet does not sign; nothing more is sent",
            )

    def request_id(self, run_id: str, key: str, generation: int) -> str | None:
        return codec.derive_request_id(run_id, key, generation)

    async def deliver(self, compiled: CompiledMessage, single_send: SingleSend) -> Answer:
        assert isinstance(compiled, CompiledAlipayMessage)  # made by this channel's compile
        if self._users is None:
            answer = await self._send(compiled, single_send, single_send.token)
            if answer.token_failed:
                detail = f"{answer.detail}; {_NO_STORE}"
                answer = msgspec.structs.replace(answer, detail=detail)
            return answer
        try:
            stored = await self._users.get(single_send.key)
            token = stored.access_token if stored is not None else single_send.token
            answer = await self._send(compiled, single_send, token)
        except StoreError as error:
            return Answer(Verdict.HALT, TOKEN_STORE, str(error))
        if token is not None and answer.token_failed:
            return self._users.refused(single_send.key, token, answer)
        if answer.verdict not in (Verdict.RETRY, Verdict.THROTTLED, Verdict.UNKNOWN):
            self._users.settled(single_send.key)
        return answer

    async def renew(self, single_send: SingleSend, answer: Answer) -> Answer | None:
        if self._users is None:
            return None
        try:
            ruling = await self._users.renew(single_send.key, single_send.token, answer)
        except StoreError as error:
            return Answer(Verdict.HALT, TOKEN_STORE, str(error))
        except UsageError as error:
            return Answer(Verdict.HALT, Code.CLIENT, str(error))
        if ruling is not None and ruling.verdict is Verdict.FAILED:
            self._users.settled(single_send.key)
        return ruling

    async def _send(
        self, compiled: CompiledAlipayMessage, single_send: SingleSend, token: Secret | None
    ) -> Answer:
        if not token or not single_send.request_id:
            what = "requestId" if token else "access token"
            return Answer(Verdict.FAILED, Code.NO_ADDRESS, f"there is no {what} for this recipient")
        body = compiled.body(
            single_send.values,
            app_id=self._app_id,
            access_token=token,
            request_id=single_send.request_id,
        )
        try:
            answer, signature = await self._post(self._send_to, body)
        except NotSent as error:
            return not_sent(error)
        except OutcomeUnknown as error:
            return Answer(Verdict.UNKNOWN, Code.NO_ANSWER, str(error), readable=False)
        except UsageError as error:
            # The client was closed, or is used from another event loop: nothing left.
            return Answer(Verdict.HALT, Code.CLIENT, str(error))
        except BaseException as error:
            clear_traceback_locals(error)
            del body
            raise
        reply = codec.read_send(answer.status, answer.body, codec.masking(token))
        judged = codec.judge(reply, signature)
        if judged.msg_id is not None:
            judged = msgspec.structs.replace(judged, extra=codec.answer_extra(judged))
        if judged.verdict is Verdict.THROTTLED:
            judged = waiting_as_asked(judged, answer.headers, self._clock.time())
        if signature is Signature.GOOD:
            self._proved = True
            self._doubted.clear()
        elif signature is Signature.BAD:
            self._badly_signed += 1
        if judged.code == Code.UNSIGNED and not self._proved and len(self._doubted) < _DISTRUST:
            self._doubted.add(single_send.request_id)
        return judged

    async def advise(self) -> Advice | None:
        return None

    # The endpoints, typed.

    async def send_one(self, message: AlipayMessage, to: Recipient) -> Outcome:
        """One send, at the channel's pace; nothing is tried again but a refreshed token.

        Returns the outcome: `sent`, `failed`, or `unknown` when the answer was lost. Its
        recipient has the `request_id` that was used: sending to it again is safe, the wallet
        answers for the same message.

        Raises:
            UsageError: no access token, a missing parameter, a message over a limit, or a client
                that is closed or another event loop's.
            ProviderError: nobody can be reached (credentials, traffic). NotSent: nothing went out.
        """
        if (wrong := recipient_type_error(to)) is not None:
            del to  # it may be a token, and this frame is shown with the error
            raise wrong
        compiled = self.compile(message)
        if not (to.request_id or "").strip():
            request_id = codec.derive_request_id(self._random_id(), to.key or "", 0)
            to = msgspec.structs.replace(to, request_id=request_id)
        single_send = single_send_for(self, compiled, to)

        answer = await call_at_pace(
            self._pacer.singles,
            self._http,
            self._single_calls,
            lambda: self.deliver(compiled, single_send),
            lambda answer: self.renew(single_send, answer),
        )
        return outcome_of(to, answer, self._clock.time())

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
            return await self._apply(auth_code, refresh_token, **more)
        if self._users is None:
            raise UsageError("apply_token(key=…): there is no token store; give tokens=…")
        async with self._users.alone(key):
            stored = await self._users.get(key)
            if auth_code is None and refresh_token is None:
                refresh_token = stored.refresh_token if stored is not None else None
                if refresh_token is None:
                    raise UsageError(f"apply_token: no refresh token is saved under {key!r}")
            token = await self._apply(auth_code, refresh_token, **more)
            # A new authorisation owes nothing to the one before it.
            return await self._users.replace(key, stored if auth_code is None else None, token)

    async def _refresh(self, refresh_token: Secret) -> UserToken:
        return await self.apply_token(refresh_token=refresh_token)

    async def _apply(
        self, auth_code: Secret | None, refresh_token: Secret | None, **more: str | None
    ) -> UserToken:
        request = TokenRequest(
            app_id=self._app_id,
            grant_type="AUTHORIZATION_CODE" if auth_code else "REFRESH_TOKEN",
            auth_code=auth_code,
            refresh_token=refresh_token,
            **more,
        )
        try:
            async with self._http.read_permit():
                answer, signature = await self._post(self._apply_at, codec.encode(request))
            mask = codec.masking(auth_code, refresh_token)
            return codec.read_token(answer.status, answer.body, signature, mask)
        except ProviderError as error:
            clear_traceback_locals(error)
            if error.verdict == Verdict.THROTTLED:
                error.retry_after = retry_after(answer.headers, self._clock.time())
            raise
        except BaseException as error:
            clear_traceback_locals(error)
            raise


def _hidden_key(key: Any) -> Any:
    """A key as a Secret of its text; what is neither text nor bytes is the loader's to refuse."""
    if isinstance(key, (bytes, bytearray)):
        # A DER's bare base64 is a key's text too.
        is_der = key[:1] == b"\x30"
        key = b64encode(key).decode() if is_der else key.decode("utf-8-sig", "replace")
    return Secret(key) if isinstance(key, str) else key


def _option(name: str, value: Any) -> str:
    """A setting that goes into a header or the body as it is."""
    if not isinstance(value, str) or not _HEADER_SAFE.fullmatch(value):
        raise UsageError(f"{name}: {value!r} is not one word of plain characters")
    return value
