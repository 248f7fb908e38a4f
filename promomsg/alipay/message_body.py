"""A wallet message's request, encoded once: for each recipient only what differs is put in.

Its fields and their order are docs/facts/alipay.md, "Request".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from promomsg.alipay.codec import encode
from promomsg.alipay.models import SendRequest
from promomsg.model import Secret
from promomsg.placeholders import MessageText

__all__ = ["MessageBody"]

_MARK: Final = "\x80"
"""Around what is to be filled in. No text of a message may hold this control character, and JSON
has it as it is, in a text inside of a text too."""
_MARKED: Final = re.compile(f"{_MARK}([a-z]+)([0-9]*){_MARK}".encode())

_encode: Final = msgspec.json.Encoder().encode


class _Fill(NamedTuple):
    """Where a recipient's value goes.

    Attributes:
        at: the index of the part that it becomes.
        value: which of the recipient's values.
        kind: `text`, `url` (percent-encoded), or `nested` (a text in JSON that is a text itself).
    """

    at: int
    value: int
    kind: str


class MessageBody:
    """The body of `/v2/miniprogram/message/send`, for one message and any recipient.

    Args:
        template_code: as it is sent.
        url, templates, extend_info, extra: JSON values whose texts with placeholders are
            `MessageText`, free of control characters but for line ends and tabs. An `extend_info`
            that is no text is sent as one, the JSON of it.
    """

    def __init__(
        self,
        template_code: str,
        url: MessageText | None,
        templates: Sequence[Mapping[str, Any]],
        extend_info: Any,
        extra: Mapping[str, Any],
    ) -> None:
        if extend_info is not None and not isinstance(extend_info, str):
            extend_info = _encode(_marked(extend_info, "nested")).decode()
        request = SendRequest(
            app_id=f"{_MARK}app{_MARK}",
            access_token=Secret(f"{_MARK}token{_MARK}"),
            request_id=f"{_MARK}request{_MARK}",
            template_code=template_code,
            redirect_url=None if url is None else _marked(url, "url"),
            templates=[_marked(template, "text") for template in templates],
            extend_info=extend_info,
        )
        whole = encode(request, _encode(_marked(extra, "text")) if extra else b"")
        self._parts: list[bytes] = []
        self._ids: dict[str, int] = {}
        fills: list[_Fill] = []
        end = 0
        for mark in _MARKED.finditer(whole):
            kind, value = mark[1].decode(), mark[2]
            self._parts += (whole[end : mark.start()], b"")
            at, end = len(self._parts) - 1, mark.end()
            if value:
                fills.append(_Fill(at, int(value), kind))
            else:
                self._ids[kind] = at
        self._parts.append(whole[end:])
        self._fills = tuple(fills)
        self._app = ("", b"")
        """The app id that was filled in last, and its bytes: nearly always the same."""

    def fill(
        self, values: Sequence[str], app_id: str, access_token: Secret, request_id: str
    ) -> bytes:
        """The bytes to be signed and sent: raw UTF-8 JSON."""
        parts, ids = self._parts.copy(), self._ids
        for at, value, kind in self._fills:
            text = values[value]
            if kind == "text":
                parts[at] = _encode(text)[1:-1]
            elif kind == "url":
                parts[at] = quote(text, safe="").encode()
            else:
                parts[at] = _encode(_encode(text)[1:-1].decode())[1:-1]
        if app_id != self._app[0]:
            self._app = app_id, _encode(app_id)[1:-1]
        parts[ids["app"]] = self._app[1]
        parts[ids["request"]] = _encode(request_id)[1:-1]
        # The last one: whatever is raised before it shows these parts.
        parts[ids["token"]] = _encode(access_token.reveal())[1:-1]
        return b"".join(parts)


def _marked(node: Any, kind: str) -> Any:
    """A JSON value with a mark for each placeholder."""
    if isinstance(node, MessageText):
        return "".join(
            piece if isinstance(piece, str) else f"{_MARK}{kind}{piece}{_MARK}"
            for piece in node.pieces
        )
    if isinstance(node, Mapping):
        return {name: _marked(item, kind) for name, item in node.items()}
    if isinstance(node, list):
        return [_marked(item, kind) for item in node]
    return node
