"""One Mini Program's signed calls: its keys, its two endpoints, and what its answers' signatures prove."""

from __future__ import annotations

import re
from base64 import b64encode
from copy import copy
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import yarl

from promomsg.alipay import codec, signing
from promomsg.alipay.keys import refuse_own_key
from promomsg.alipay.models import APPLY_PATH, LIMITS, SEND_PATH, TokenRequest, UserToken
from promomsg.alipay.signing import Signature, SignatureEncoding
from promomsg.channels.alipay_signing import SigningThreads
from promomsg.channels.single_call import failed_call, waiting_as_asked
from promomsg.clock import Clock
from promomsg.errors import Halted, NotSent, OutcomeUnknown, ProviderError, UsageError
from promomsg.model import Answer, Code, Secret, Verdict
from promomsg.plural import counted
from promomsg.telemetry.in_force import time_call
from promomsg.traceback_locals import clear_traceback_locals
from promomsg.transport.header_lines import HeaderLines
from promomsg.transport.last_check import LastCheck
from promomsg.transport.retry_after import retry_after
from promomsg.transport.session import HttpAnswer, HttpSession

__all__ = ["AlipayAccount", "key_as_secret"]

_MOST_UNPROVED: Final = 20
"""Recipients with answers that no signature proves, with none proved since, from which on sending
stops: the public key is not this wallet's, or no longer, and each further send would end unknown as
well. They are kept as they are; with the right key their outcomes are asked for by the same
requestId."""
_MOST_BADLY_SIGNED: Final = 3
"""Answers signed with another key than public_key, with none ever proved, from which on sending
stops: no waiting mends that, and by the same requestIds the outcomes are asked for with the right
key."""
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")


class _SignedEndpoint(msgspec.Struct, frozen=True):
    url: yarl.URL
    path: str
    """As it is sent, the wallet's prefix included: it is part of what is signed."""


class AlipayAccount:
    """A Mini Program's calls over a pool of connections.

    Args:
        client_id, app_id, verify, key_version, signature_encoding: as `AlipayMiniProgram` has them.
        private_key, public_key: from `key_as_secret`.
        http: the pool.

    Raises:
        UsageError: a key that does not load, a missing public key, or a bad option.
    """

    def __init__(
        self,
        client_id: str,
        app_id: str,
        private_key: Any,
        public_key: Any,
        http: HttpSession,
        *,
        verify: bool,
        key_version: int | str,
        signature_encoding: SignatureEncoding,
        clock: Clock,
    ) -> None:
        self.client_id = _option("client_id", client_id)
        self.app_id = _option("app_id", app_id)
        if len(self.app_id) > LIMITS["appId"]:
            raise UsageError(
                f"app_id: {len(self.app_id)} characters, at most {LIMITS['appId']} are allowed"
            )
        key_version = _option("key_version", str(key_version))
        if signature_encoding not in signing.ENCODINGS:
            raise UsageError(
                f"signature_encoding: {signature_encoding!r} is not one of "
                + ", ".join(signing.ENCODINGS)
            )
        if not isinstance(verify, bool):
            raise UsageError(f"verify: give True or False, not {verify!r}")
        if verify and not public_key:
            raise UsageError(
                "public_key: missing; give the wallet's public key (it is on the portal), or "
                "verify = false to believe unsigned answers"
            )
        try:
            key = signing.load_private_key(private_key)
            self._public_key = signing.load_public_key(public_key) if verify else None
            if self._public_key is not None:
                refuse_own_key(key, self._public_key)
        except UsageError as error:
            clear_traceback_locals(error)
            raise
        self._http = http
        self._clock = clock
        signer = _RequestSigner(key, self.client_id, key_version, signature_encoding, clock)
        self._signing = SigningThreads(signer)
        self._send_to = self._endpoint(SEND_PATH)
        self._apply_to = self._endpoint(APPLY_PATH)
        self._signatures = _SignatureCount()

    def over(self, http: HttpSession) -> AlipayAccount:
        """The same Mini Program, keys and threads with it, whose calls go through another session of
        its pool."""
        other = copy(self)
        other._http = http
        return other

    @property
    def verifies(self) -> bool:
        """Whether a success has to be signed to be believed."""
        return self._public_key is not None

    def check_signatures(self) -> None:
        """Refuses to go on when it is clear that public_key proves none of the answers.

        Raises:
            Halted: it is not this wallet's key, or the wallet does not sign.
        """
        badly_signed, unproved = self._signatures.bad, len(self._signatures.unproved)
        proved = self._signatures.proved
        if not proved and badly_signed >= _MOST_BADLY_SIGNED:
            raise Halted(
                Code.UNSIGNED,
                f"{counted(badly_signed, 'answer is', 'answers are')} signed with another key than public_key, and "
                "none with it: give this wallet's key, then resume (nobody is sent to twice)",
            )
        if unproved < _MOST_UNPROVED:
            return
        if proved:
            raise Halted(
                Code.UNSIGNED,
                f"of the last {unproved} recipients' answers none was signed with public_key, as "
                "earlier ones were: the wallet has a new key, or does not sign any more; give the "
                "new one, then resume (nobody is sent to twice)",
            )
        raise Halted(
            Code.UNSIGNED,
            f"of {unproved} recipients' answers none was signed with public_key: "
            "it is not this wallet's, or the wallet does not sign; nothing more is sent",
        )

    def close(self) -> None:
        """Ends the threads that sign."""
        self._signing.close()

    async def send(
        self,
        body: bytes,
        request_id: str,
        token: Secret,
        last_check: LastCheck | None = None,
        token_advice: str = "",
    ) -> Answer:
        """One send call. Never raises for what the provider or the connection does.

        The caller holds a permit of the connections for it.

        Args:
            request_id, token: those in the body.
            token_advice: added to the detail where the token is refused.
        """
        to = self._send_to
        try:
            # Not by `_post`: another coroutine would be resumed twice for each message.
            headers = await self._signing.sign(to.path, body)
            answer = await self._http.post(
                to.url, body, headers, has_permit=True, last_check=last_check
            )
        except (NotSent, OutcomeUnknown, UsageError) as error:
            return failed_call(error)
        except BaseException as error:
            clear_traceback_locals(error)
            del body
            raise
        signature = self._check(to, answer)
        parsed = codec.read_send(
            answer.status, answer.body, lambda text: codec.masking(token)(text)
        )
        judged = codec.judge(parsed, signature)
        if judged.msg_id is not None:
            judged = msgspec.structs.replace(judged, extra=codec.answer_extra(judged))
        if judged.token_failed and token_advice:
            detail = f"{judged.detail}; {token_advice}"
            judged = msgspec.structs.replace(judged, detail=detail)
        if judged.verdict is Verdict.THROTTLED:
            judged = waiting_as_asked(judged, answer.headers, self._clock.time())
        self._signatures.count(signature, judged, request_id)
        return judged

    async def apply_token(
        self, auth_code: Secret | None, refresh_token: Secret | None, **more: str | None
    ) -> UserToken:
        """One applyToken call, with a code or a refresh token.

        Args:
            more: further fields of `TokenRequest`.

        Raises:
            ProviderError: refused. NotSent: nothing went out.
            OutcomeUnknown: no believable answer: the code or refresh token may be used up.
        """
        request = TokenRequest(
            app_id=self.app_id,
            grant_type="AUTHORIZATION_CODE" if auth_code else "REFRESH_TOKEN",
            auth_code=auth_code,
            refresh_token=refresh_token,
            **more,
        )
        timer = time_call("token", "alipay", self._http.base_url, APPLY_PATH, self._http.observers)
        try:
            async with self._http.read_permit():
                if timer is not None:
                    timer.start()
                answer, signature = await self._post(self._apply_to, codec.encode(request))
            mask = codec.masking(auth_code, refresh_token)
            token = codec.read_token(answer.status, answer.body, signature, mask)
            if timer is not None:
                timer.finish(answer.status)
            return token
        except ProviderError as error:
            if timer is not None:
                timer.fail(error)
            clear_traceback_locals(error)
            if error.verdict == Verdict.THROTTLED:
                error.retry_after = retry_after(answer.headers, self._clock.time())
            raise
        except BaseException as error:
            if timer is not None:
                timer.fail(error)
            clear_traceback_locals(error)
            raise

    def _endpoint(self, path: str) -> _SignedEndpoint:
        url = self._http.url(path)
        return _SignedEndpoint(url, url.raw_path)

    async def _post(self, endpoint: _SignedEndpoint, body: bytes) -> tuple[HttpAnswer, Signature]:
        """One attempt: signed afresh, with its own Request-Time. The caller holds a permit of the
        connections already, since a wait for one would age that time.

        Raises:
            NotSent, OutcomeUnknown: see `HttpSession.post`.
            UsageError: the client was closed, is another event loop's, or cannot sign; nothing left.
        """
        headers = await self._signing.sign(endpoint.path, body)
        answer = await self._http.post(endpoint.url, body, headers, has_permit=True)
        return answer, self._check(endpoint, answer)

    def _check(self, endpoint: _SignedEndpoint, answer: HttpAnswer) -> Signature:
        return signing.check_answer(
            self._public_key, endpoint.path, self.client_id, answer.headers, answer.body
        )


class _SignatureCount:
    """What the answers' signatures say of public_key, over all clients of the account.

    Attributes:
        proved: an answer was signed with it: it is, or was, the right one.
        bad: answers signed with another key.
        unproved: requestIds of unproved answers since then; a few recipients may be asked for again
            and again.
    """

    def __init__(self) -> None:
        self.proved = False
        self.bad = 0
        self.unproved: set[str] = set()

    def count(self, signature: Signature, judged: Answer, request_id: str) -> None:
        if signature is Signature.GOOD:
            self.proved = True
            self.unproved.clear()
            return
        if signature is Signature.BAD:
            self.bad += 1
        if judged.code == Code.UNSIGNED and len(self.unproved) < _MOST_UNPROVED:
            self.unproved.add(request_id)


class _RequestSigner:
    """Signs the requests of one client with its one key.

    Args:
        key: the private key.
        key_version, encoding: as `AlipayMiniProgram` has them.
    """

    def __init__(
        self,
        key: Any,
        client_id: str,
        key_version: str,
        encoding: SignatureEncoding,
        clock: Clock,
    ) -> None:
        self._key = key
        self._client_id = client_id
        self._encoding: SignatureEncoding = encoding
        self._clock = clock
        self._lines = (
            "Content-Type: application/json; charset=UTF-8\r\n"
            f"Client-Id: {client_id}\r\nRequest-Time: "
        )
        """Of every request the same, up to the time."""
        self._signature = "\r\nSignature: " + signing.signature_header("", key_version)
        """The same again, up to the signature."""
        self._second = (0, "1970-01-01T00:00:00")
        """The last whole second that was written, and how."""
        self._milli = (0, "1970-01-01T00:00:00.000+00:00")
        """The last millisecond that was written, and how."""

    def content(self, path: str, body: bytes) -> tuple[str, bytes]:
        """See `Signer`."""
        now = self._request_time()
        return now, signing.content_to_sign(path, self._client_id, now, body)

    def sign(self, content: bytes) -> bytes:
        """See `Signer`. (Only the kind of a failure is said: its text is anybody's.)"""
        try:
            return signing.sign_content(self._key, content)
        except Exception as error:  # noqa: BLE001  # nothing left, whatever the key's library says
            failure = type(error).__name__
        raise UsageError(f"the request cannot be signed: {failure}")

    def headers(self, time: str, signature: bytes) -> HeaderLines:
        """See `Signer`."""
        written = signing.write_signature(signature, self._encoding)
        return HeaderLines(f"{self._lines}{time}{self._signature}{written}\r\n")

    def _request_time(self) -> str:
        """Now, to the millisecond, as ISO 8601 in UTC."""
        now = round(self._clock.time() * 1_000_000) // 1000
        milli, written = self._milli
        if now == milli:  # requests are signed in bunches
            return written
        seconds, rest = divmod(now, 1000)
        second, text = self._second
        if seconds != second:  # once a second: it takes longer than all the other headers
            text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = seconds, text
        written = f"{text}.{rest:03d}+00:00"
        self._milli = now, written
        return written


def key_as_secret(key: Any) -> Any:
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
