"""What came back from a provider, before anybody reads meaning into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["HttpAnswer"]


class HttpAnswer(NamedTuple):
    """An answer, whatever it says.

    Attributes:
        status: the HTTP status; a redirect is an answer like any other.
        headers: its headers; names in any case.
        body: its body, not compressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:  # the body of a token answer is a token
        return f"HttpAnswer(status={self.status}, body=<{len(self.body)} bytes>)"
