"""Coverage-guided fuzzing of every decoder; atheris is no dependency of the project.

    pip install atheris
    python -m tests.chaos.fuzz_atheris -max_total_time=600 [CORPUS_FOLDER]

What follows goes to libFuzzer; an input that breaks a promise is written to `crash-…`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    """Fuzzes until told to stop."""
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["promomsg"]):
        from .fuzz_targets import HONEST, STATUSES, any_bytes

    def one(data: bytes) -> None:
        if data:
            any_bytes(STATUSES[data[0] % len(STATUSES)], data[1:])

    with tempfile.TemporaryDirectory() as seeds:
        for number, answer in enumerate(HONEST):
            body = json.dumps(answer, ensure_ascii=False).encode()
            Path(seeds, str(number)).write_bytes(b"\0" + body)
        # libFuzzer keeps what it finds in the first folder: the user's, else these seeds'.
        atheris.Setup([*sys.argv, seeds], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
