"""Who a request is from: their role, their language, and the session that their forms belong to."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from promomsg.console.console_types import Visitor
from promomsg.console.guard import Refused
from promomsg.console.sign_in import (
    LASTS,
    Attempts,
    Role,
    Sessions,
    Tokens,
    form_token,
    is_form_token,
    is_session_id,
    new_session_id,
)

__all__ = ["Visit", "Visits"]

_LANGUAGE: Final = "promomsg-language"
_A_YEAR: Final = 365 * 24 * 3600
_BEARER: Final = "bearer "
_WAIT: Final = "too many wrong tokens came from there: wait a minute, and try again"


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request's visitor.

    Attributes:
        visitor: as pages are shown to them.
        role: what their token is for; None: they have to sign in first.
        session: the id that their forms are bound to.
        is_new: whether the browser does not know that id yet.
    """

    visitor: Visitor
    role: Role | None
    session: str
    is_new: bool


class Visits:
    """Tells who requests are from.

    Args:
        tokens: of the roles; none at all: everybody who gets this far is an operator.
        languages: the tag of each language in HTML by its name; the first one is for who asks for none.
        read_only: whether nobody may act.
        cookie: the name of the session's cookie.
        secure: whether cookies are for TLS alone.
        behind_proxy: whether requests come from a proxy that says whom they are from.
    """

    def __init__(
        self,
        tokens: Tokens,
        languages: Mapping[str, str],
        *,
        read_only: bool,
        cookie: str,
        secure: bool,
        behind_proxy: bool,
    ) -> None:
        self._tokens = tokens
        self._languages = languages
        self._read_only = read_only
        self._cookie = cookie
        self._secure = secure
        self._behind_proxy = behind_proxy
        self._key = secrets.token_bytes(32)
        self._sessions = Sessions()
        self._attempts = Attempts()

    def of(self, request: web.Request) -> Visit:
        """Who a request is from.

        Raises:
            Refused: it brings a token that is none of ours.
        """
        session = request.cookies.get(self._cookie, "")
        is_new = not is_session_id(session)
        if is_new:
            session = new_session_id()
        role: Role | None = None if self._tokens else "operator"
        by_header = "Authorization" in request.headers and bool(self._tokens)
        if by_header:
            role = self._role_of_header(request)
        elif self._tokens:
            found = self._sessions.find(session)
            role = None if found is None else found.role
        visitor = Visitor(
            language=self._language(request),
            may_act=role == "operator" and not self._read_only and not by_header,
            signs_in=bool(self._tokens) and role is not None and not by_header,
            csrf=partial(form_token, self._key, session),
        )
        return Visit(visitor=visitor, role=role, session=session, is_new=is_new)

    def stranger(self, request: web.Request) -> Visitor:
        """Somebody who is refused before it is known who they are."""
        return Visitor(
            language=self._language(request), may_act=False, signs_in=False, csrf=lambda path: ""
        )

    def is_over(self, visit: Visit) -> bool:
        """Whether somebody who had signed in is not any more."""
        return visit.visitor.signs_in and self._sessions.find(visit.session) is None

    def keep(self, visit: Visit, response: web.StreamResponse) -> None:
        """Has the browser know the session that the forms of an answer are bound to."""
        if visit.is_new:
            self._set_session(response, visit.session)

    def check_form(self, visit: Visit, request: web.Request, csrf: str) -> None:
        """Looks whether a form was made for this visitor and this path.

        Raises:
            Refused: it was not.
        """
        if not is_form_token(csrf, self._key, visit.session, request.rel_url.raw_path):
            raise Refused(
                403,
                "this form is not valid any more: open the page anew, and send it from there",
                "form token",
            )

    def sign_in(self, request: web.Request, token: str, response: web.Response) -> Role | None:
        """Begins a session for who gives a token of ours; None: it is none.

        Args:
            response: gets the session's cookie.

        Raises:
            Refused: too many wrong ones came from there.
        """
        role = self._role_of_token(request, token)
        if role is not None:
            self._set_session(response, self._sessions.begin(role))
        return role

    def sign_out(self, visit: Visit, response: web.Response) -> None:
        """Ends a session; its cookie goes."""
        self._sessions.end(visit.session)
        response.del_cookie(
            self._cookie, path="/", secure=self._secure, httponly=True, samesite="Strict"
        )

    def speak(self, language: str, response: web.Response) -> bool:
        """Has the browser remember a language; False: there is none of this name."""
        if language not in self._languages:
            return False
        response.set_cookie(
            _LANGUAGE, language, max_age=_A_YEAR, path="/", secure=self._secure, httponly=True,
            samesite="Strict",
        )  # fmt: skip
        return True

    def _set_session(self, response: web.StreamResponse, session: str) -> None:
        response.set_cookie(
            self._cookie, session, max_age=int(LASTS), path="/", secure=self._secure, httponly=True,
            samesite="Strict",
        )  # fmt: skip

    def _role_of_header(self, request: web.Request) -> Role:
        header = request.headers["Authorization"]
        token = header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""
        role = self._role_of_token(request, token)
        if role is None:
            raise Refused(
                401,
                "that token is none of this console: send `Authorization: Bearer TOKEN`",
                "wrong token",
                {"WWW-Authenticate": "Bearer"},
            )
        if request.method == "POST":
            raise Refused(
                403, "a token in a header is for reading: to act, sign in with a browser", "bearer"
            )
        return role

    def _role_of_token(self, request: web.Request, token: str) -> Role | None:
        peer = self._peer(request)
        seconds = self._attempts.wait(peer)
        if seconds > 0:
            raise Refused(429, _WAIT, "attempts", {"Retry-After": str(int(seconds) + 1)})
        role = self._tokens.role_of(token)
        if role is None:
            self._attempts.failed(peer)
        return role

    def _peer(self, request: web.Request) -> str:
        if self._behind_proxy:
            # The last one was put there by the proxy itself; those before may be anybody's words.
            said = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            if said:
                return said
        return request.remote or ""

    def _language(self, request: web.Request) -> str:
        known = request.cookies.get(_LANGUAGE, "")
        if known in self._languages:
            return known
        return _preferred(request.headers.get("Accept-Language", ""), self._languages)


def _preferred(header: str, languages: Mapping[str, str]) -> str:
    """The language of ours that an `Accept-Language` likes best."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(",")[:20]:
        tag, _, weight = part.partition(";")
        try:
            liked = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        wanted.append((-liked, tag.strip().lower()))
    for _, tag in sorted(wanted, key=lambda one: one[0]):
        for name, full in languages.items():
            if tag.partition("-")[0] == full.partition("-")[0].lower():
                return name
    return next(iter(languages))
