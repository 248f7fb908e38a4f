"""The session manager: bytes out, bytes in, and whether anything was sent.

One call is one attempt. A POST is tried again only where its connection turned out to be dead
before the first byte: everything else is the caller's decision, since it may be a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import aiohttp
from msgspec import UNSET, UnsetType
from yarl import URL

from promomsg.errors import NotSent, UsageError
from promomsg.masking import LiveMasker
from promomsg.transport.aiohttp_client import request_by_aiohttp
from promomsg.transport.aiohttp_internals import Body
from promomsg.transport.connections import MAX_CONNECTIONS
from promomsg.transport.fair_semaphore import SemaphoreShare
from promomsg.transport.http_answer import HttpAnswer
from promomsg.transport.http_client import HttpClient
from promomsg.transport.http_errors import is_call_failure, is_dead_connection, to_promo_error
from promomsg.transport.http_pool import HttpPool
from promomsg.transport.last_check import LastCheck, Withheld
from promomsg.transport.proxies import choose_proxy
from promomsg.transport.timeouts import DeadlineTimer, HttpCall, check_seconds
from promomsg.transport.urls import check_base_url, is_loopback

if TYPE_CHECKING:
    from promomsg.telemetry.observers import Observers

__all__ = ["HttpAnswer", "HttpSession"]

_DEAD_CONNECTION_TRIES: Final = 3
"""Times that a call is made again because its pooled connection turned out to be dead."""


class HttpSession:
    """Calls to one provider, over a pool of connections that sessions derived from it share.

    Args:
        base_url: where the provider is, `https://host[:port][/prefix]`; http:// for loopback only.
        timeout: seconds from a request's first byte to the last one of its answer. A call waits
            as long again, at the most, for one of the `max_connections` permits.
        connect_timeout: seconds for DNS, connect and TLS.
        proxy: `http://[user:password@]host:port` of a proxy to go through; `"env"`: as
            HTTPS_PROXY and NO_PROXY say.
        session: an aiohttp session whose connections to use. Only its connector is used (pool, TLS
            settings, resolver), so its cookies, headers, redirects and time-outs stay out of it;
            it is never closed from here. aiohttp makes the calls then, at three times the CPU.
        max_connections: calls out at once, never over half of `ulimit -n`; clients on one
            `session` share one limit.
        secrets: gives the strings that must not appear in an error's text.

    Attributes:
        base_url: as given, without the trailing slash.
        loopback: whether base_url's host is this machine.
        connections: the limit of calls that are out at once, and who shares it.
        observers: who is told of calls outside of campaigns; None: nobody.

    Raises:
        UsageError: base_url or another argument cannot be right.

    It belongs to the event loop of its first call, and opens nothing before that.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        proxy: str | None = None,
        session: aiohttp.ClientSession | None = None,
        max_connections: int = MAX_CONNECTIONS,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._base = check_base_url(base_url)
        self.base_url = str(self._base).rstrip("/")
        self.loopback = is_loopback(self._base.raw_host or "")
        self._timeout = check_seconds("timeout", timeout)
        self._most_connect_timeout = check_seconds("connect_timeout", connect_timeout)
        self._connect_timeout = min(self._most_connect_timeout, self._timeout)
        self._proxy = choose_proxy(proxy, self._base)
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise UsageError(
                f"session=…: give an aiohttp.ClientSession, not {type(session).__name__}"
            )
        self._secrets = secrets
        self._mask = LiveMasker(self._known_secrets)
        self._pool = HttpPool(self._base, session, max_connections)
        self.connections = self._pool.connections
        self.observers: Observers | None = None
        self._timer: DeadlineTimer | None = None
        """None: this session has made no call yet."""
        self._http: HttpClient | None = None

    def with_options(
        self,
        *,
        timeout: float | UnsetType = UNSET,
        proxy: str | UnsetType | None = UNSET,
    ) -> HttpSession:
        """A session on the same pool, with another time-out or proxy; what is not given stays.

        It makes its calls over the same connections where its proxy is the same, and within the same
        permits in any case. Closing any session of a pool closes the pool.

        Raises:
            UsageError: a time-out or a proxy that cannot be right.
        """
        other = copy(self)
        if timeout is not UNSET:
            other._timeout = check_seconds("timeout", timeout)
            other._connect_timeout = min(self._most_connect_timeout, other._timeout)
        if proxy is not UNSET:
            other._proxy = choose_proxy(proxy, self._base)
        other._mask = LiveMasker(other._known_secrets)
        other._timer = other._http = None
        return other

    def __repr__(self) -> str:
        return f"HttpSession({getattr(self, 'base_url', None)!r})"

    @property
    def proxy(self) -> URL | None:
        """The proxy in use; its password is in it."""
        return self._proxy

    def expect(self, concurrency: int) -> None:
        """Lets at least so many calls be out at once, as far as `ulimit -n` allows.

        Raises:
            UsageError: no call could be made: it was closed, or is another event loop's.
        """
        self._pool.check(asyncio.get_running_loop())
        self.connections.raise_to(concurrency)

    def idle_connections(self) -> int | None:
        """Open connections that no call uses now; None: it is not known (aiohttp makes the calls).

        Raises:
            UsageError: no call could be made: it was closed, or is another event loop's.
        """
        http = self._own_client()
        return None if http is None else http.idle_connections()

    async def connect_ahead(self, calls: int) -> int:
        """Has connections open for so many calls; returns how many of these will find one.

        Waits until at least one of those that are being opened can be used, or has failed. All of
        them where it failed (the calls find out why, and say it), where it is not known (aiohttp
        makes the calls), where as many as may be are open (they follow the calls on these), or no
        call can be made (it was closed, or is another event loop's).
        """
        try:
            http, idle = self._own_client(), self.idle_connections()
        except UsageError:
            return calls
        if http is None or idle is None or idle >= calls:
            return calls
        most = self.connections.most
        if not await http.connect_ahead(calls - idle, most, self._connect_timeout):
            return calls
        return min(calls, http.idle_connections()) or calls

    def _own_client(self) -> HttpClient | None:
        """What makes the calls; None: aiohttp does."""
        self._open()
        return self._http if HttpClient.is_allowed() else None

    @asynccontextmanager
    async def read_permit(self) -> AsyncIterator[None]:
        """Holds the permit of a call that is no send and does not go through this session.

        Raises:
            NotSent: no permit was free within the time-out.
        """
        await self.acquire_permit(self.connections.reads)
        try:
            yield
        finally:
            self.connections.reads.release()

    @asynccontextmanager
    async def permit_yielded(self) -> AsyncIterator[None]:
        """Lets others use a send's permit while it waits for another call (its token).

        That call needs a permit too: a hundred such sends would hold all of them and wait for ever.

        Raises:
            NotSent: no permit was free again within the time-out.
        """
        calls = self.connections.calls
        calls.yield_permit()
        try:
            yield
            await self.acquire_permit(self.connections.reads)
        except BaseException:
            calls.reclaim_permit()  # its holder's `release` follows
            raise

    async def acquire_permit(self, share: SemaphoreShare) -> None:
        """Acquires the permit of one call; the caller releases it.

        Raises:
            NotSent: none was free within the time-out.
        """
        if share.try_acquire():
            return
        try:
            async with asyncio.timeout(self._timeout):
                await share.acquire()
        except TimeoutError:
            raise NotSent(
                f"{self.base_url}: no free connection within {self._timeout:g} s: "
                f"{self.connections.most} calls of this client were out all the time "
                "(max_connections); nothing was sent"
            ) from None

    def url(self, path: str, query: Mapping[str, str] | None = None) -> URL:
        """The address of an endpoint, encoded once; build it once for each token, not each call.

        Args:
            path: `"/cgi-bin/token"`, below the prefix of base_url, not encoded.
            query: names and values, not encoded.
        """
        text = f"{self.base_url}/{quote(path.lstrip('/'))}"
        if not query:
            return URL(text, encoded=True)
        # Spaces and plus signs as %20 and %2B: providers differ in what a bare + means.
        pairs = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query.items())
        return URL(f"{text}?{pairs}", encoded=True)

    def mask(self, text: str) -> str:
        """The text without any known secret or piece of one: see `masking.Masker`."""
        return self._mask(text)

    def _known_secrets(self) -> Iterable[str]:
        yield from self._secrets()
        if self._proxy is not None and self._proxy.password:
            yield self._proxy.password

    def post(
        self,
        url: URL,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        limit: int = 1_048_576,
        has_permit: bool = False,
        last_check: LastCheck | None = None,
    ) -> Coroutine[Any, Any, HttpAnswer]:
        """One POST.

        Args:
            url: from `url()`.
            body: sent as it is; the content type is JSON unless `headers` says another.
            headers: more headers.
            limit: the most bytes of answer to take.
            has_permit: the caller has acquired a permit of `connections` for it, as sends do.
            last_check: asked with the connection in hand, right before the first byte (earlier
                where a tool that watches or mocks aiohttp makes the call).

        Raises:
            Withheld: the last check said no; a `NotSent`.
            NotSent: nothing left (DNS, connect, TLS, no free connection); safe to try again.
            OutcomeUnknown: it may have arrived (time-out, reset, truncated, over the limit).
            UsageError: used from another event loop, after it was closed, or with a bad header.
        """
        # Not a coroutine that awaits another: its frame would keep the URL in a traceback.
        return self._call("POST", url, body, headers, limit, has_permit, last_check)

    def get(self, url: URL, *, limit: int = 1_048_576) -> Coroutine[Any, Any, HttpAnswer]:
        """One GET, for reads alone: raises as `post` does, and both kinds are worth another try."""
        return self._call("GET", url, None, None, limit, False, None)

    async def close(self) -> None:
        """Closes the pool; a session that was passed in stays open."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _call(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        limit: int,
        has_permit: bool,
        last_check: LastCheck | None,
    ) -> HttpAnswer:
        share = None if has_permit else self.connections.reads
        pool = self._pool
        if share is not None:
            self._open()  # raises when no call can be made, before any wait
            try:
                await self.acquire_permit(share)
            except BaseException:
                del url, body, headers
                raise
        tries = 1 + _DEAD_CONNECTION_TRIES
        try:
            # All in one coroutine: another one below it would cost each call several resumptions.
            while tries:
                session, http, timer = pool.session, self._http, self._timer
                if session is None or timer is None or asyncio.get_running_loop() is not pool.loop:
                    session = self._open()
                    http, timer = self._http, self._timer
                    assert timer is not None
                if not HttpClient.is_allowed():
                    http = None
                read = body is None
                call = HttpCall() if read and http is None else Body(body or b"", last_check)
                timer.start(call)
                try:
                    # By its class alone: an instance check of an abstract class is slow.
                    if http is not None and type(call) is Body:
                        answer = await http.request(method, url, call, headers, limit)
                    else:
                        if isinstance(call, Body) and not HttpClient.is_allowed():
                            await call.wait_to_leave()  # a mock would never ask
                        answer = await request_by_aiohttp(
                            session, method, url, call, headers, limit, self._proxy
                        )
                    timer.finish(call)
                    if answer[0] == 407:
                        self._refuse_proxy(url)
                    return HttpAnswer(*answer)
                except BaseException as error:
                    timed_out = timer.finish(call)
                    cancelled = isinstance(error, asyncio.CancelledError)
                    if not (timed_out if cancelled else is_call_failure(error)):
                        raise
                    if isinstance(error, Withheld):
                        raise
                    if call.refused is not None:
                        return HttpAnswer(*call.refused, b"")
                    failure = error
                tries = tries - 1 if self._may_repeat(failure, call, read) else 0
        finally:
            if share is not None:
                share.release()
        # Raised out here, without its cause: the text, the attributes and the frames of aiohttp's
        # exception hold the URL, and WeChat's has the access token in it. So do these locals.
        raised = to_promo_error(
            failure, call, timeout=self._timeout, connect_timeout=self._connect_timeout
        ).with_traceback(None)
        raised.args = (self.mask(f"{self.base_url}: {raised}"),)
        del url, body, headers, call, failure
        raise raised

    def _may_repeat(self, failure: BaseException, call: HttpCall, read: bool) -> bool:
        """Whether the call may be made again at once: nothing of it was sent, or it is a read, and
        another connection mends it."""
        assert self._timer is not None
        if is_dead_connection(failure, call, read=read):
            return True
        return self._timer.process_stood_still(call, failure)

    def _refuse_proxy(self, url: URL) -> None:
        """A 407 that no far end can have answered: of the proxy that a plain call goes through.

        Raises:
            NotSent: always, unless the 407 came through a tunnel, or there is no proxy of ours.
        """
        if self._proxy is not None and url.scheme == "http":
            raise NotSent(
                "cannot connect (the proxy answered 407; give its name and password, "
                "http://user:password@host:port); nothing was sent",
                permanent=True,
                status=407,
            )

    def _open(self) -> aiohttp.ClientSession:
        """Has all that a call needs; raises UsageError when none can be made in this event loop."""
        session = self._pool.open()
        if self._timer is None:
            self._timer = self._pool.timer(self._timeout, self._connect_timeout)
            self._http = self._pool.client(self._proxy)
        return session
