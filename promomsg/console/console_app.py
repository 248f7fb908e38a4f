"""The web application: what every request goes through, and what becomes of one that fails."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

import anyio
from aiohttp import web

from promomsg.console.guard import HEADERS, Guard, Refused
from promomsg.console.one_look import log_failure
from promomsg.console.pages import Pages
from promomsg.console.requests import keep_visit, known_visit, page_answer, visit_of
from promomsg.console.routes import Routes
from promomsg.console.visits import Visits
from promomsg.errors import PromoError, UsageError
from promomsg.log_events import log_event

__all__ = ["make_app"]

_MOST_BODY: Final = 64 * 1024
"""Bytes of a form."""
_ANSWERS_IN: Final = 30.0
"""Seconds after which an answer that is not there is given up; events take as long as they take."""
_STATIC: Final = "/static/"
_OPEN: Final = ("/sign-in", "/language/", _STATIC)
"""What somebody sees who has not signed in."""
_TEXTS: Final = {
    404: "it may have gone, or the address is not quite right: look for it among the campaigns",
    405: "a page is read, or a form of it is sent",
    413: "the form is too large",
}
_FAILED: Final = "what failed is in the console's log: try again, and tell whoever runs it"
_log: Final = logging.getLogger("promomsg.console")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(guard: Guard, visits: Visits, pages: Pages, routes: Routes) -> web.Application:
    """The application of a console.

    Args:
        guard: refuses before anything is read.
        visits: who asks.
        pages: says why something did not work.
        routes: everything else.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await guard.check(request)
            keep_visit(request, visits.of(request))
            response = _sign_in_first(request) or await _in_time(request, handler)
        except Refused as refused:
            log_event(
                _log, "console.refused", "refused with %(status)s: %(reason)s",
                level=logging.WARNING, status=refused.status, reason=refused.reason,
            )  # fmt: skip
            response = _problem(request, visits, pages, refused.status, refused.text)
            response.headers.update(refused.headers)
        except web.HTTPException as wrong:
            response = _problem(request, visits, pages, wrong.status, _TEXTS.get(wrong.status, ""))
        except UsageError as error:
            response = _problem(request, visits, pages, 400, str(error))
        except PromoError as error:
            response = _problem(request, visits, pages, 503, str(error))
        except ConnectionError:
            raise  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - no traceback reaches a page
            log_failure("page", error)
            response = _problem(request, visits, pages, 500, _FAILED)
        visit = known_visit(request)
        # What is kept for a year has nobody's cookie.
        if visit is not None and not response.prepared and not request.path.startswith(_STATIC):
            visits.keep(visit, response)
        return response

    app = web.Application(middlewares=[answer], client_max_size=_MOST_BODY)
    app.on_response_prepare.append(_add_headers)
    routes.add_to(app.router)
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        if name == "Cache-Control" and request.path.startswith(_STATIC):
            response.headers.setdefault(name, value)
        else:
            response.headers[name] = value


async def _in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    # What is done to a campaign of millions takes as long as it takes: given up half way, it would be told
    # wrongly. The form itself has its time.
    if request.method == "POST" or request.path.endswith("/live"):
        return await handler(request)
    try:
        with anyio.fail_after(_ANSWERS_IN):
            return await handler(request)
    except TimeoutError:
        raise PromoError("it takes too long: try again in a moment") from None


def _sign_in_first(request: web.Request) -> web.StreamResponse | None:
    """Where somebody without a role is sent; None: they may go on."""
    if visit_of(request).role is not None or request.path.startswith(_OPEN):
        return None
    if request.method == "POST" or "text/event-stream" in request.headers.get("Accept", ""):
        raise Refused(401, "sign in first", "not signed in")
    here = request.rel_url.raw_path_qs
    back = "" if here == "/" else f"?back={quote(here, safe='')}"
    return web.Response(status=303, headers={"Location": f"/sign-in{back}"})


def _problem(
    request: web.Request, visits: Visits, pages: Pages, status: int, text: str
) -> web.Response:
    visit = known_visit(request)
    visitor = visits.stranger(request) if visit is None else visit.visitor
    return page_answer(pages.problem(visitor, status, text), status=status)
