"""The terminal: `promomsg` and its commands. Nothing here is imported before it is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the terminal; returns the exit status (see `promomsg.cli.exits`).

    Args:
        argv: the arguments without the program's name; the process's own by default.
    """
    if find_spec("click") is None or find_spec("rich") is None:
        print(
            "promomsg: the terminal needs click and rich; install them with "
            "python -m pip install 'promomsg[cli]'",
            file=sys.stderr,
        )
        return 1
    from promomsg.cli.app import run

    return run(sys.argv[1:] if argv is None else list(argv))
