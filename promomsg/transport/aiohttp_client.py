"""aiohttp's own client: how its session is set up, and one request made by it.

It makes what `http_client` does not: calls over a session that was passed in, and everything where
tracing tools or mocks watch aiohttp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from promomsg.transport.aiohttp_internals import HEADER_LIMITS, Body, Request, Response
from promomsg.transport.body import ENCODED, read_rest
from promomsg.transport.timeouts import HttpCall

__all__ = ["HEADERS", "KEEPALIVE", "open_client_session", "request_by_aiohttp"]

KEEPALIVE: Final = 4.0
"""Seconds after which an idle connection is not used again. A server that closes it while a request
is on its way costs an `unknown`, so it has to be under the shortest usual limit: 5 s in Node,
Apache and uvicorn, 60 s and more in load balancers and nginx. A handshake more is cheap."""
HEADERS: Final = {
    # Answers are small: compressing them saves nothing, and a compressed one could be a bomb.
    "Accept-Encoding": "identity",
    "User-Agent": "promomsg",
}


def open_client_session(connector: aiohttp.BaseConnector | None) -> aiohttp.ClientSession:
    """A session with no cookies, no redirects of its own, and nothing from the environment.

    Args:
        connector: somebody else's pool, which stays open; None: a new one, closed with the session.
    """
    owned = connector is None
    if connector is None:
        # No limit of its own: whoever waited there would do so in no fair order.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE)
    return aiohttp.ClientSession(
        connector=connector,
        connector_owner=owned,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        request_class=Request,
        response_class=Response,
        auto_decompress=False,
        trust_env=False,
        **HEADER_LIMITS,
    )


async def request_by_aiohttp(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    call: HttpCall,
    headers: Mapping[str, str] | None,
    limit: int,
    proxy: URL | None,
) -> tuple[int, Mapping[str, str], bytes]:
    """One request made by aiohttp itself: status, headers and body of its answer, as it came.

    A connection has as long as the call's timer says; nothing else is timed here.

    Raises:
        aiohttp's errors; `Body.started` says whether anything may have left.
    """
    body = call if isinstance(call, Body) else None
    connecting = None if call.timer is None else call.timer.connect_timeout
    response = await session.request(
        method,
        url,
        data=body,
        headers=headers,
        allow_redirects=False,
        proxy=proxy,
        timeout=aiohttp.ClientTimeout(connect=connecting, sock_connect=connecting),
    )
    try:
        if body is not None and body.protocol is not None and not body.started:
            # The answer was there before the request, which never left.
            raise aiohttp.ServerDisconnectedError("an answer that nobody asked for")
        call.status = response.status
        if response.status == 429:
            call.refused = response.status, response.headers
        content = response.content
        part = await content.readany()
        # Nearly every answer is complete with its first packet; then aiohttp has already given
        # the connection back.
        if not content.at_eof() or len(part) > limit or ENCODED in response.headers:
            part = await read_rest(response.headers, content, part, limit)
    except BaseException:
        response.close()
        raise
    return response.status, response.headers, part
