"""What handlers read of a request, and how a page is answered."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import unquote_to_bytes

from aiohttp import web

from promomsg.console.visits import Visit

__all__ = ["VISIT", "form_field", "named", "page_answer"]

VISIT: Final = web.RequestKey("visit", Visit)
"""Who a request is from, once that is known."""


def page_answer(text: str, *, status: int = 200) -> web.Response:
    """A page."""
    # The name of a file may be bytes that are no text.
    body = text.encode("utf-8", "backslashreplace")
    return web.Response(body=body, content_type="text/html", charset="utf-8", status=status)


def named(request: web.Request) -> tuple[str, str]:
    """The place and the name in a URL. The name may be of any bytes, as a file's can; it is only looked up
    among those that are there."""
    _, _, place, name, *_ = request.rel_url.raw_path.split("/")
    return place, os.fsdecode(unquote_to_bytes(name))


def form_field(form: object, name: str) -> str:
    """A text of a form; a file that was sent in its place is none."""
    found = form.get(name) if hasattr(form, "get") else None
    return found if isinstance(found, str) else ""
