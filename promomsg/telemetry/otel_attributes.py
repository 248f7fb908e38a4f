"""The attributes of spans and metrics, by the semantic conventions for messaging and HTTP clients."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = [
    "GOOD",
    "CallAttributes",
    "attributes_of",
    "operation_name",
    "system_and_server",
]

GOOD: Final = ("SENT", "ACCEPTED", "OK")
"""Verdicts of calls that did what they were made for."""


class CallAttributes:
    """What is said of every call to an endpoint that came to the same.

    Attributes:
        span_name, of_span: its span's.
        of_request: its HTTP metric's.
        of_operation: its messaging metrics'; None: it was no send.
    """

    __slots__ = ("of_operation", "of_request", "of_span", "span_name")

    def __init__(
        self,
        span_name: str,
        of_span: dict[str, Any],
        of_request: dict[str, Any],
        of_operation: dict[str, Any] | None,
    ) -> None:
        self.span_name = span_name
        self.of_span = of_span
        self.of_request = of_request
        self.of_operation = of_operation


@lru_cache(maxsize=1024)
def attributes_of(
    kind: str,
    channel: str,
    server: str,
    method: str,
    endpoint: str,
    status: int | None,
    verdict: str,
    code: str,
) -> CallAttributes:
    """The attributes of a call; made once for all that came to the same.

    Args:
        kind, channel, server, method, endpoint, status, verdict, code: as `CallFinished`.
    """
    where = _address(server)
    request: dict[str, Any] = {"http.request.method": method, **where}
    if endpoint:
        request["url.template"] = endpoint
    if status is not None:
        request["http.response.status_code"] = status
    error = "" if verdict in GOOD else code or verdict
    if status is not None and status >= 400:
        request["error.type"] = str(status)
    elif status is None:
        request["error.type"] = error or "NO_ANSWER"
    if kind not in ("single", "group"):
        span = {**request, "error.type": error} if error else request
        return CallAttributes(f"{method} {endpoint}".rstrip(), span, request, None)
    operation = {
        "messaging.system": channel,
        "messaging.operation.name": operation_name(kind),
        "messaging.operation.type": "send",
        **where,
    }
    if error:
        operation["error.type"] = error
    span_name = f"{operation_name(kind)} {where['server.address']}:{where['server.port']}"
    return CallAttributes(span_name, {**request, **operation}, request, operation)


def operation_name(kind: str) -> str:
    """What the conventions call the operation: its name in this system."""
    return "send" if kind == "single" else "send_group"


@lru_cache(maxsize=64)
def _address(server: str) -> dict[str, Any]:
    parts = urlsplit(server)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


def system_and_server(channel: str, server: str) -> dict[str, Any]:
    """What is said of a run, and of a quota."""
    return {"messaging.system": channel, **_address(server)}
