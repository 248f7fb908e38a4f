"""Where this user keeps what outlasts a campaign."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["VARIABLE", "state_folder"]

VARIABLE: Final = "PROMOMSG_STATE"
"""The environment variable that names another folder."""


def state_folder() -> Path:
    """`$PROMOMSG_STATE`, else `promomsg` in `$XDG_STATE_HOME`, in `~/Library/Application Support`
    (macOS) or in `~/.local/state`.

    Raises:
        OSError: the user has no home.
    """
    if own := os.environ.get(VARIABLE):
        return Path(own).absolute()
    base = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):  # a relative one is to be ignored, says XDG's rule
        return Path(base) / "promomsg"
    try:
        home = Path.home()
    except RuntimeError:
        raise OSError(f"this user has no home folder; set {VARIABLE}") from None
    if sys.platform == "darwin":  # pragma: no cover - the tests run on Linux
        return home / "Library" / "Application Support" / "promomsg"
    return home / ".local" / "state" / "promomsg"
