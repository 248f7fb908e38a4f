"""The files below `/static/`, each at an address that changes with what is in it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

from promomsg.report_formats.page_environment import style_sheet

__all__ = ["StaticFile", "static_files"]

_KINDS: Final = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "console.svg": "image/svg+xml",
}


class StaticFile(NamedTuple):
    """One file.

    Attributes:
        kind: its media type.
        data: what is in it.
        version: `?v=` of its address; another one when anything in it is another.
        url: its address.
    """

    kind: str
    data: bytes
    version: str
    url: str


@lru_cache(maxsize=1)
def static_files() -> dict[str, StaticFile]:
    """All of them, by name."""
    folder = resources.files("promomsg.console").joinpath("static")
    return {
        name: _file(name, kind, folder.joinpath(name).read_bytes()) for name, kind in _KINDS.items()
    }


def _file(name: str, kind: str, data: bytes) -> StaticFile:
    if name == "console.css":
        data = style_sheet().encode() + data
    version = hashlib.blake2s(data, digest_size=8).hexdigest()
    return StaticFile(kind, data, version, f"/static/{name}?v={version}")
