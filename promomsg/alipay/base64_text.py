"""Base64 as the portals write it: in either alphabet."""

from __future__ import annotations

from binascii import Error, a2b_base64

__all__ = ["decode_base64"]


def decode_base64(text: str) -> bytes | None:
    """The bytes of a base64 text with its padding, of the plain or the URL-safe alphabet; None when
    it is not one."""
    text = text.replace("-", "+").replace("_", "/")
    if len(text) % 4 or text.endswith("==="):  # which Python 3.11 takes
        return None
    try:
        return a2b_base64(text, strict_mode=True) or None
    except (Error, ValueError):  # other characters, or too little padding; not ASCII
        return None
