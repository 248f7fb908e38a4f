"""Which Chromium the tests of the console are in."""

from __future__ import annotations

import os
import shutil
from typing import Final

__all__ = ["MISSING", "find_chromium", "flags"]

MISSING: Final = (
    "there is no Chromium: apt-get install -y chromium, or PROMOMSG_CHROMIUM=PATH of another one"
)


def find_chromium() -> str | None:
    """The path of the one of `PROMOMSG_CHROMIUM`, or else of the machine's; None: there is none."""
    named = os.environ.get("PROMOMSG_CHROMIUM")
    if named:
        return named
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def flags() -> list[str]:
    """`evil.test` is this machine, as an attacker's own DNS may say; root has no sandbox."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [
        "--host-resolver-rules=MAP evil.test 127.0.0.1",
        *(["--no-sandbox"] if root else []),
    ]
