"""Which requests are refused before anything is read, and what every answer says to browsers
(docs/console.md, "What was thought of")."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Final

from aiohttp import web
from anyio import to_thread

from promomsg.console.own_addresses import OwnAddresses
from promomsg.console.same_user import is_same_user

__all__ = ["HEADERS", "Guard", "Refused"]

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with it browsers say `Origin: null` of our own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Server": "promomsg",
}
"""Of every answer."""
_OWN: Final = ("same-origin", "none")
"""`Sec-Fetch-Site` of a page of ours, and of an address that somebody typed."""
_READING: Final = ("GET", "HEAD")


class Refused(Exception):
    """A request that is refused.

    Args:
        status: of HTTP.
        text: what is wrong and what to do, for a person.
        reason: for the log, in a word or two.
        headers: of the answer.
    """

    def __init__(
        self, status: int, text: str, reason: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.reason = reason
        self.headers = headers or {}


class Guard:
    """Looks at each request before anybody else does.

    Args:
        addresses: under which names the console is called.
        same_user: whether a connection from another user of this machine is refused.
        is_same: whether a connection is of this user, by its two ends.
    """

    def __init__(
        self,
        addresses: OwnAddresses,
        *,
        same_user: bool,
        is_same: Callable[[tuple[str, int], tuple[str, int]], bool] = is_same_user,
    ) -> None:
        self._addresses = addresses
        self._same_user = same_user
        self._is_same = is_same
        # Whose a connection is does not change.
        self._users: weakref.WeakKeyDictionary[object, bool] = weakref.WeakKeyDictionary()

    async def check(self, request: web.Request) -> str:
        """The origin of ours that a request came to.

        Raises:
            Refused: it is not for us, or from somewhere else.
        """
        await self._check_user(request)
        origin = self._addresses.origin_of(request.headers.get("Host", ""), _reached(request))
        if not origin:
            raise Refused(
                403,
                "this console is not called by that name: open the address that `promomsg console` printed",
                "host",
            )
        site = request.headers.get("Sec-Fetch-Site")
        if request.method in _READING:
            if site is not None and site not in _OWN:
                raise Refused(
                    403,
                    "another site sent you here: go on from the campaigns, if you meant to come",
                    "cross-site",
                )
            return origin
        if request.method != "POST":
            raise Refused(
                405,
                "a page is read, or a form of it is sent",
                "method",
                {"Allow": ", ".join((*_READING, "POST"))},
            )
        if request.headers.get("Origin") != origin or (site is not None and site != "same-origin"):
            raise Refused(
                403,
                "this form was not sent by a page of this console: open the page anew, and send it from there",
                "origin",
            )
        return origin

    async def _check_user(self, request: web.Request) -> None:
        transport = request.transport
        if not self._same_user:
            return
        # One that has gone is nobody's.
        known = False if transport is None else self._users.get(transport)
        if known is None:
            assert transport is not None
            theirs, ours = (
                transport.get_extra_info("peername"),
                transport.get_extra_info("sockname"),
            )
            ends = (theirs[0], theirs[1]), (ours[0], ours[1])
            known = await to_thread.run_sync(self._is_same, *ends)
            self._users[transport] = known
        if not known:
            raise Refused(
                403,
                "this console belongs to another user of this machine: start one of your own",
                "another user",
            )


def _reached(request: web.Request) -> str:
    """The address of this machine that a request came to."""
    found = None if request.transport is None else request.transport.get_extra_info("sockname")
    return "" if found is None else str(found[0])
