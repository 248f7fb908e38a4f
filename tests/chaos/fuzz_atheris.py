"""Coverage-guided fuzzing of every decoder; atheris is no dependency of the project.

    pip install atheris
    python -m tests.chaos.fuzz_atheris -max_total_time=600 [CORPUS_FOLDER]

What follows goes to libFuzzer; an input that breaks a promise is written to `crash-…`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Fuzzes until told to stop."""
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["promomsg.wechat", "promomsg.alipay"]):
        from .targets import STATUSES, any_bytes

    def one(data: bytes) -> None:
        if data:
            any_bytes(STATUSES[data[0] % len(STATUSES)], data[1:])

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
