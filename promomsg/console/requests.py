"""What handlers read of a request, and how a page is answered."""

from __future__ import annotations

from typing import Any, Final

import anyio
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from promomsg.console.guard import Refused
from promomsg.console.page_models import campaign_at
from promomsg.console.visits import Visit

__all__ = [
    "form_field",
    "keep_visit",
    "known_visit",
    "named",
    "page_answer",
    "sent_form",
    "visit_of",
]

_FORM_IN: Final = 20.0
"""Seconds for a form of 64 KiB at most."""
# aiohttp before 3.14 takes texts, and from then on warns of them.
_VISIT: Final[Any] = web.RequestKey("visit", Visit) if hasattr(web, "RequestKey") else "visit"


def keep_visit(request: web.Request, visit: Visit) -> None:
    """Who a request is from is known."""
    request[_VISIT] = visit


def known_visit(request: web.Request) -> Visit | None:
    """Who a request is from; None: that is not known yet."""
    found: Visit | None = request.get(_VISIT)
    return found


def visit_of(request: web.Request) -> Visit:
    """The same in a handler, where it is known."""
    found: Visit = request[_VISIT]
    return found


def page_answer(text: str, *, status: int = 200) -> web.Response:
    """A page."""
    # The name of a file may be bytes that are no text.
    body = text.encode("utf-8", "backslashreplace")
    return web.Response(body=body, content_type="text/html", charset="utf-8", status=status)


def named(request: web.Request) -> tuple[str, str]:
    """The place and the name of a campaign in a URL."""
    return campaign_at(request.rel_url.raw_path)


async def sent_form(request: web.Request) -> object:
    """The form that a request brings.

    Raises:
        Refused: it cannot be read, or does not come in time.
        HTTPException: it is too large.
    """
    try:
        with anyio.fail_after(_FORM_IN):
            return await request.post()
    except TimeoutError:
        raise Refused(408, "the form did not come in time: send it again", "form") from None
    except (ValueError, LookupError, web.RequestPayloadError, HttpProcessingError):
        # Nobody's browser sends such a one; its text says what strangers sent.
        raise Refused(400, "this is no form of this console", "form") from None


def form_field(form: object, name: str) -> str:
    """A text of a form; a file that was sent in its place is none."""
    found = form.get(name) if hasattr(form, "get") else None
    return found if isinstance(found, str) else ""
