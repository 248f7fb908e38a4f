"""Base64 as the portals write it: in either alphabet."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final

__all__ = ["decode_base64"]

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def decode_base64(text: str) -> bytes | None:
    """The bytes of a base64 text with its padding, of the plain or the URL-safe alphabet; None when
    it is not one."""
    text = text.replace("-", "+").replace("_", "/")
    return b64decode(text) if _BASE64.fullmatch(text) and len(text) % 4 == 0 else None
