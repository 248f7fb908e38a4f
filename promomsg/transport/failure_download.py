"""The failure file: a URL that an answer names, so nothing about it is trusted.

An answer could be forged or a provider's storage misused to make this program read something
inside its own network (SSRF), follow it elsewhere, or never end.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from promomsg.errors import OutcomeUnknown, TransportError, UsageError
from promomsg.transport.body import encoding_of, inflate
from promomsg.transport.session import HttpSession
from promomsg.transport.urls import is_loopback, is_public

__all__ = ["MAX_FAILURE_FILE", "fetch_failure_file"]

MAX_FAILURE_FILE: Final = 64 * 1024 * 1024
"""Bytes; a million failures in the longest known form."""

_PLAIN: Final = re.compile(r"[!-~]+")
_PRIVATE_DOMAINS: Final = (
    ".local", ".localhost", ".internal", ".intranet", ".lan", ".corp", ".home", ".private",
    ".home.arpa", ".test", ".invalid", ".onion",
)  # fmt: skip
"""Domains of networks of one's own (RFC 2606, 6761, 6762, 8375, and ICANN's .internal)."""


async def fetch_failure_file(
    session: HttpSession,
    url: str,
    *,
    limit: int = MAX_FAILURE_FILE,
    timeout: float = 300.0,  # noqa: ASYNC109  # of the whole download, mapped to our own error
) -> bytes:
    """Downloads a group's failure file; no redirects, no cookies, no credentials.

    Args:
        session: of the provider that named the URL: its proxy is used, its connections are not.
            Where its base URL is loopback (a sandbox), the file may be there too, by http://.
        url: `fail_info_url` as it stands in the answer.
        limit: the most bytes to take.
        timeout: seconds for all of it.

    Raises:
        UsageError: the URL is refused: not https, or not an address of the open internet.
        TransportError: it could not be read, is over the limit, or took too long.
    """
    target = _check(url, local=session.loopback)
    place = f"failure file at {target.scheme}://{target.host}"
    proxy = session.proxy
    looked_up = _Resolver(local=session.loopback)
    resolver = _Resolver(local=session.loopback, proxy=None if proxy is None else proxy.raw_host)
    error: Exception
    try:
        async with session.read_permit(), asyncio.timeout(timeout):
            if proxy is not None:
                await _check_beyond(target, looked_up)
            return await _download(target, resolver, session.proxy, limit)
    except TransportError as exc:
        error = TransportError(f"{place}: {exc}", status=exc.status)
    except (aiohttp.ClientError, ValueError) as exc:
        # Only the class: the URL of a file is often a signed one, and a key to it.
        error = TransportError(f"{place}: cannot be read ({type(exc).__name__})")
    except TimeoutError:
        error = TransportError(f"{place}: not finished within {timeout:g} s")
    except OSError:
        error = TransportError(f"{place}: its name cannot be looked up")
    if resolver.refused or looked_up.refused:
        error = _refusal(target, "its name leads to an address that is not of the open internet")
    del url, target  # a traceback that shows locals would show it
    raise error


async def _download(target: URL, resolver: _Resolver, proxy: URL | None, limit: int) -> bytes:
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver, use_dns_cache=False, force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "promomsg"},
            auto_decompress=False,
            proxy=proxy,
            timeout=aiohttp.ClientTimeout(connect=10.0),
        ) as client,
        client.get(target, allow_redirects=False) as response,
    ):
        if response.status != 200:
            text = f"answered {response.status}; redirects are not followed"
            raise TransportError(text, status=response.status)
        return await _read(response, limit)


def _check(text: str, *, local: bool) -> URL:
    try:
        # As it stands where it can stand so: a changed %2F would break the signature in it.
        url = URL(text, encoded=_PLAIN.fullmatch(text) is not None)
        host = (url.raw_host or "").rstrip(".").lower()
    except (TypeError, ValueError):
        raise UsageError("failure file: the provider's answer holds no usable URL for it") from None
    if not host or url.scheme not in ("http", "https"):
        raise _refusal(url, "give https")
    if url.raw_user or url.raw_password:
        raise _refusal(url, "it holds a user name")
    here = is_loopback(host)
    if here and local:
        return url
    if url.scheme != "https":
        raise _refusal(url, "it is not https")
    if here or (_is_numeric(host) and not is_public(host)):
        raise _refusal(url, "it is not an address of the open internet")
    if url.port != 443 and not local:
        raise _refusal(url, f"port {url.port} is not the one of https")
    return url


async def _check_beyond(target: URL, resolver: _Resolver) -> None:
    """Looks a name up that a proxy will look up for itself: what leads inside is not asked for.

    A name that only the proxy knows may be one of its own network: without a dot, or under a domain
    that no public server has, it is refused; any other is the proxy's to find.
    """
    host = (target.raw_host or "").rstrip(".").lower()
    if _is_numeric(host):
        return  # looked at already
    try:
        await resolver.resolve(host, target.port or 443, socket.AF_UNSPEC)
    except OSError:
        if resolver.refused:
            raise
        if "." not in host or host.endswith(_PRIVATE_DOMAINS):
            resolver.refused = True
            raise


def _is_numeric(host: str) -> bool:
    """Whether the system would read it as an address: `10.1`, `0x7f000001` and `2130706433` too."""
    if ":" in host:
        return True
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


def _refusal(url: URL, why: str) -> UsageError:
    return UsageError(
        f"failure file at {url.scheme}://{url.host}: not fetched: {why}; fetch it by hand if you "
        "trust it"
    )


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise TransportError(f"over {limit} bytes", status=response.status)
    try:
        return inflate(b"".join(parts), encoding_of(response.headers), limit)
    except OutcomeUnknown as exc:
        raise TransportError(str(exc).partition(";")[0], status=response.status) from None


class _Resolver(AbstractResolver):
    """Gives out only addresses of the open internet.

    aiohttp connects to exactly what it gets from here, so a name that changes its address between
    a check and the call (DNS rebinding) gains nothing. The proxy is the user's own word: it may be
    anywhere.
    """

    def __init__(self, *, local: bool, proxy: str | None = None) -> None:
        self._local = local
        self._proxy = proxy
        self._system = ThreadedResolver()
        self.refused = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if self._proxy is not None and host == self._proxy:
            return found
        good = [
            address
            for address in found
            if is_public(address["host"]) or (self._local and is_loopback(address["host"]))
        ]
        if len(good) < len(found):
            self.refused = True
            raise OSError(None, "an address that is not of the open internet")
        return good

    async def close(self, **_: Any) -> None:
        await self._system.close()
