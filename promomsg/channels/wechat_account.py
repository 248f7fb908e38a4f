"""One WeChat account's calls: its access token, its addresses, and no secret in what goes wrong."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import yarl

from promomsg.channels.read_retries import READ_TRIES, retry_read
from promomsg.channels.single_call import TOKENS_TRIED, failed_call, waiting_as_asked
from promomsg.clock import Clock
from promomsg.errors import (
    Halted,
    NotSent,
    OutcomeUnknown,
    PromoError,
    ProviderError,
    UsageError,
)
from promomsg.masking import LiveMasker, Mask, printable
from promomsg.model import Answer, Secret, Verdict
from promomsg.pasted_secret import pasted_secret
from promomsg.telemetry.in_force import in_force, put_in_force, time_call
from promomsg.traceback_locals import clear_traceback_locals, raised_at
from promomsg.transport.access_token import AccessTokenCache, FetchedToken, refused_again
from promomsg.transport.last_check import LastCheck
from promomsg.transport.retry_after import retry_after
from promomsg.transport.session import HttpAnswer, HttpSession
from promomsg.transport.token_store import TokenStore
from promomsg.wechat import codec, endpoints

if TYPE_CHECKING:
    from promomsg.telemetry.hook_events import CallKind
    from promomsg.telemetry.observed_calls import CallTimer

__all__ = ["TokenCallable", "WeChatAccount"]

_JSON: Final = {"Content-Type": "application/json"}
_READ_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of one read's answer: `getmsg` names up to 10,000 ids, `getpromoter` 2,000 promoters."""
_TOKEN_HOLD: Final = 60.0
"""Seconds until the token is asked for again after a 45011, or a 429 that names no time: a minute's
limit (docs/facts/wechat.md, "Access token")."""
_SHOWN: Final = 200
"""Characters of an unexpected error's text."""
_BY_CHANCE: Final = 15
"""Characters of a secret that may stand in an answer by chance; a longer one is masked there."""

T = TypeVar("T")
TokenCallable = Callable[[str | None], Awaitable[str]]


class WeChatAccount:
    """An appid's calls over a pool of connections.

    Args:
        appid, secret, source, legacy: as `WeChatPromoter` has them; either a secret or a source.
        http: the pool, which other accounts may share.
        what: the class of the client, for messages.

    Raises:
        UsageError: no appid; neither or both of a secret and a token source.
    """

    def __init__(
        self,
        appid: str,
        secret: Secret | None,
        source: TokenCallable | None,
        http: HttpSession,
        *,
        legacy: bool,
        clock: Clock,
        what: str = "WeChatPromoter",
    ) -> None:
        if not isinstance(appid, str) or not appid.strip():
            raise UsageError(f"{what}(appid): the appid is empty; it looks like 'wx0123…'")
        if (not secret) == (source is None):
            raise UsageError(
                f"{what}: give either the appsecret (secret=…) or a token source (token=…)"
            )
        self.appid = appid.strip()
        self.http = http
        self._secret = None if secret is None else pasted_secret(f"{what}(secret=…)", secret)
        self._source = source
        self._legacy_token = legacy
        self._clock = clock
        self.tokens = AccessTokenCache(self._fetch_token, clock)
        self._hold = _TokenHold()
        self._mask = LiveMasker(self.secrets)
        self._urls: dict[str, yarl.URL] = {}
        self._urls_of: str | None = None

    def over(self, http: HttpSession) -> WeChatAccount:
        """The same account, its token with it, whose calls go through another session of its pool."""
        other = copy(self)
        other.http = http
        other._mask = LiveMasker(other.secrets)
        return other

    async def prepare(self) -> None:
        """Has a token at hand. Raises as `token` does."""
        if self.tokens.current() is None:
            await self.token()

    @property
    def loopback(self) -> bool:
        """Whether its provider is on this machine: a stand-in."""
        return self.http.loopback

    def share_token(self, store: TokenStore) -> None:
        """Has the token in a store that other processes have too; a caller's own source of tokens
        stays that of this process."""
        if self._source is None:
            self.tokens.share(store)

    def secrets(self) -> Iterable[str]:
        if self._secret is not None:
            yield self._secret.reveal()
        yield from self.tokens.known_tokens()

    def mask(self, text: str) -> str:
        """A provider's text without our secrets, should it say them back."""
        return self.http.mask(self._mask(text))

    def _error_without_answer(
        self, error: ProviderError | OutcomeUnknown, answer: HttpAnswer
    ) -> ProviderError | OutcomeUnknown:
        """A copy of the error: the old one keeps the answer alive, by a decoder's text or a frame."""
        if isinstance(error, OutcomeUnknown):
            text = f"{self.http.base_url}: {error}"
            return OutcomeUnknown(text, status=answer.status, rid=error.rid)
        wait = error.retry_after
        if error.verdict == Verdict.THROTTLED:
            asked = retry_after(answer.headers, self._clock.time())
            wait = wait if asked is None else asked
        return ProviderError(
            error.code, error.detail, error.rid, error.verdict, wait, status=answer.status
        )

    async def _fetch_token(self, stale: str | None) -> FetchedToken:
        if self._source is not None:
            pending: Any = self._source(stale)
            if not inspect.isawaitable(pending):
                del pending, stale  # a token, perhaps
                raise UsageError(
                    "token=…: the callable is not async; give an async one, (stale) -> str"
                )
            return FetchedToken(await pending, None)
        method, path = (
            ("GET", endpoints.TOKEN) if self._legacy_token else ("POST", endpoints.STABLE_TOKEN)
        )
        timer = self._time("token", path, method)
        try:
            answer = await self._ask_for_token()
        except BaseException as error:
            if timer is not None:
                timer.fail(error)
            clear_traceback_locals(error)
            raise
        failure: PromoError
        try:
            token, expires_in = codec.read_token(answer.status, answer.body, self.mask)
            if timer is not None:
                timer.finish(answer.status)
            return FetchedToken(token.reveal(), expires_in)
        except (ProviderError, OutcomeUnknown) as error:
            failure = self._error_without_answer(error, answer)
        if timer is not None:
            timer.fail(failure)
        raise failure

    def _time(self, kind: CallKind, path: str, method: str = "POST") -> CallTimer | None:
        return time_call(
            kind, "wechat", self.http.base_url, path, self.http.observers, method=method
        )

    async def _ask_for_token(self) -> HttpAnswer:
        assert self._secret is not None
        if self._legacy_token:
            query = {
                "grant_type": "client_credential",
                "appid": self.appid,
                "secret": self._secret.reveal(),
            }
            return await self.http.get(self.http.url(endpoints.TOKEN, query))
        body = codec.stable_token_body(self.appid, self._secret.reveal(), force=False)
        return await self.http.post(self.http.url(endpoints.STABLE_TOKEN), body, _JSON)

    async def token(self) -> str:
        """A token to try.

        Raises:
            NotSent: it could not be had now; with `retry_after` nobody asks for it until then.
            Halted: it never will be; 45009 says that the day's token calls are used up.
        """
        token = self.tokens.current()
        if token is not None:
            return token
        seconds = self._hold.until - self._clock.monotonic()
        if seconds > 0:
            raise self._hold.refusal(seconds)
        try:
            with put_in_force(in_force() or self.http.observers):
                return await self.tokens.get(self._fetch_token)
        except OutcomeUnknown as error:
            clear_traceback_locals(error)
            raise NotSent(f"no access token: {error}", status=error.status, rid=error.rid) from None
        except ProviderError as error:
            clear_traceback_locals(error)
            if error.verdict == Verdict.THROTTLED:
                raise self._refuse_until(error) from None
            if codec.is_transient(error):
                where = self.http.base_url
                raise NotSent(
                    f"no access token: {where}: {error}", status=error.status, rid=error.rid
                ) from None
            raise Halted(
                error.code,
                f"no access token: {error.detail}",
                status=error.status,
                rid=error.rid,
            ) from None
        except (PromoError, asyncio.CancelledError) as error:
            clear_traceback_locals(error)
            raise
        except Exception as error:  # noqa: BLE001 - whatever the user's own token source raises
            why = self._failure(error)
            clear_traceback_locals(error)
            raise NotSent(f"no access token: {why}") from None

    def _failure(self, error: Exception) -> str:
        """What is said of an error that nobody expects: of a caller's own source, whose text may hold what
        it should not, where it was raised."""
        if self._source is not None:
            return f"the token source raised {raised_at(error)}"
        text = printable(str(error), _SHOWN, self.mask)
        return f"the call for it ended in {type(error).__name__}: {text}"

    def _refuse_until(self, error: ProviderError) -> NotSent:
        """The token call was refused for now: it is not asked again before its time."""
        seconds = _TOKEN_HOLD if error.retry_after is None else error.retry_after
        until = self._clock.monotonic() + seconds
        self._hold.extend(until, error)
        return self._hold.refusal(seconds)

    def _url(self, path: str, token: str) -> yarl.URL:
        if token != self._urls_of:
            self._urls = {}
            self._urls_of = token
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self.http.url(path, {"access_token": token})
        return url

    async def send(
        self,
        path: str,
        body: bytes,
        read: Callable[[int, bytes, Mask], Answer],
        last_check: LastCheck | None = None,
    ) -> Answer:
        """One send call. Never raises for what the provider or the connection does.

        The caller holds a permit of the connections for it.
        """
        token = self.tokens.current()
        if token is None:
            try:
                async with self.http.permit_yielded():
                    token = await self.token()
            except (NotSent, Halted, UsageError) as error:
                return failed_call(error)
        try:
            status, headers, content = await self.http.post(
                self._url(path, token), body, _JSON, has_permit=True, last_check=last_check
            )
        except (NotSent, OutcomeUnknown, UsageError) as error:
            return failed_call(error)
        except BaseException as error:
            clear_traceback_locals(error)
            del token
            raise
        answer = read(status, content, self.mask)
        if answer.token_failed:
            self.tokens.mark_failed(token)
        if answer.verdict is Verdict.THROTTLED:
            return waiting_as_asked(answer, headers, self._clock.time())
        return answer

    async def _read(self, path: str, body: bytes, timer: CallTimer | None) -> HttpAnswer:
        """One read, tried again with each newer token.

        Args:
            timer: of the last of its calls, and told of those before it.

        Raises:
            ProviderError, TransportError.
            Halted: there is no token; with `TOKEN_REFUSED` the same one may be tried later.
        """
        refused: tuple[Secret, Halted] | None = None
        for _ in range(TOKENS_TRIED):
            # A Secret, since an error passes through here and tracebacks may show locals.
            token = Secret(await self.token())
            if refused is not None and token == refused[0]:
                raise refused[1]
            if timer is not None:
                timer.start()
            answer = await self.http.post(
                self._url(path, token.reveal()), body, _JSON, limit=_READ_LIMIT
            )
            if not codec.token_refused(answer.body):
                break
            self.tokens.mark_stale(token.reveal())
            if timer is not None:
                timer.finish(answer.status, Verdict.RETRY, "TOKEN_REFUSED")
            rid = codec.rid_of_answer(answer.body, self.mask)
            refused = token, refused_again(answer.status, rid)
        return answer

    async def ask(
        self,
        path: str,
        body: bytes,
        read: Callable[[int, bytes, Mask], T],
        *,
        tries: int = READ_TRIES,
    ) -> T:
        """One read's value; tried again while its errors are transient, see `retry_read`.

        Raises:
            ProviderError, TransportError, Halted.
        """
        return await retry_read(
            lambda: self._ask_once(path, body, read), self._clock, codec.is_transient, tries=tries
        )

    async def _ask_once(self, path: str, body: bytes, read: Callable[[int, bytes, Mask], T]) -> T:
        timer = self._time("poll" if path == endpoints.GETMSG else "read", path)
        try:
            answer = await self._read(path, body, timer)
        except BaseException as error:
            if timer is not None:
                timer.fail(error)
            clear_traceback_locals(error)
            raise
        failure: PromoError
        try:
            value = read(answer.status, self._without_secrets(answer.body), self.mask)
            if timer is not None:
                timer.finish(answer.status)
            return value
        except (ProviderError, OutcomeUnknown) as error:
            failure = self._error_without_answer(error, answer)
        if timer is not None:
            timer.fail(failure)
        raise failure

    def _without_secrets(self, body: bytes) -> bytes:
        """An answer whose values are shown and stored as they are: names, ids, addresses.

        A provider that says a token back in one of them is a rare one, so the whole answer is
        looked through quickly, and taken apart only when there is something to take out.
        """
        if not any(
            secret.encode() in body for secret in self.secrets() if len(secret) > _BY_CHANCE
        ):
            return body
        return self.mask(body.decode("utf-8", "replace")).encode("utf-8", "replace")


class _TokenHold(msgspec.Struct):
    """A token call that was refused for now, and the monotonic time until which it stays so."""

    until: float = -math.inf
    code: str = ""
    detail: str = ""
    status: int | None = None
    rid: str | None = None

    def extend(self, until: float, error: ProviderError) -> None:
        """What was refused last counts, when it is for longer."""
        if until > self.until:
            self.until, self.code, self.detail = until, error.code, error.detail
            self.status, self.rid = error.status, error.rid

    def refusal(self, seconds: float) -> NotSent:
        text = f"no access token: {self.code}: {self.detail}; asked again in {seconds:.0f} s"
        return NotSent(text, code=self.code, retry_after=seconds, status=self.status, rid=self.rid)
