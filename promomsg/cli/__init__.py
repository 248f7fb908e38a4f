"""The terminal: `promomsg` and its commands. Nothing here is imported before it is needed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from promomsg.cli.output.standard_streams import guarded_streams
from promomsg.standard_descriptors import open_standard_descriptors

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the terminal; returns the exit status (see `promomsg.cli.exit_status`).

    Args:
        argv: the arguments without the program's name; the process's own by default.
    """
    # Before anything else is opened: a file opened at a closed stdout would be printed into.
    open_standard_descriptors()
    with guarded_streams(), _signals_as_before(argv is not None):
        if find_spec("click") is None or find_spec("rich") is None:
            from promomsg.cli.language.terminal_language import language_for, speak, translated

            speak(language_for(sys.argv[1:] if argv is None else argv, os.environ))
            needed = (
                "the terminal needs click and rich; install them with "
                "python -m pip install 'promomsg[cli]'"
            )
            print(f"promomsg: {translated(needed)}", file=sys.stderr)
            speak("en")
            return 1
        from promomsg.cli.app import run

        return run(sys.argv[1:] if argv is None else list(argv))


@contextmanager
def _signals_as_before(wanted: bool) -> Iterator[None]:
    """Gives a caller in this process its signal handlers back.

    The `promomsg` process itself keeps those that `run_async` left: the second of two signals that
    were sent together must not change the exit status that the first one has led to.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if wanted and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
