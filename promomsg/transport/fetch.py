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
from promomsg.transport.address import is_loopback, is_public
from promomsg.transport.reading import inflate
from promomsg.transport.session import HttpSession

__all__ = ["MAX_FAILURE_FILE", "fetch_failure_file"]

MAX_FAILURE_FILE: Final = 64 * 1024 * 1024
"""Bytes; a million failures in the longest known form."""

_PLAIN: Final = re.compile(r"[!-~]+")


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
    resolver = _Resolver(local=session.loopback)
    error: Exception
    try:
        async with session.place(), asyncio.timeout(timeout):
            return await _download(target, resolver, session.proxy, limit)
    except TransportError as exc:
        error = TransportError(f"{place}: {exc}")
    except (aiohttp.ClientError, ValueError) as exc:
        # Only the class: the URL of a file is often a signed one, and a key to it.
        error = TransportError(f"{place}: cannot be read ({type(exc).__name__})")
    except TimeoutError:
        error = TransportError(f"{place}: not finished within {timeout:g} s")
    if resolver.refused:
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
            raise TransportError(f"answered {response.status}; redirects are not followed")
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
    return url


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
            raise TransportError(f"over {limit} bytes")
    try:
        return inflate(b"".join(parts), response.headers.get("Content-Encoding", ""), limit)
    except OutcomeUnknown as exc:
        raise TransportError(str(exc).partition(";")[0]) from None


class _Resolver(AbstractResolver):
    """Gives out only addresses of the open internet.

    aiohttp connects to exactly what it gets from here, so a name that changes its address between
    a check and the call (DNS rebinding) gains nothing.
    """

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._system = ThreadedResolver()
        self.refused = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
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
