"""Draws the pictures of the documentation, from the code and from a real run.

python docs/site/make_pictures.py              # the layers and the states, from pyproject.toml and states.py
python docs/site/make_pictures.py --terminal   # the terminal too: runs campaigns against the sandbox
python docs/site/make_pictures.py --console    # the console too: the same, in a Chromium
python docs/site/make_pictures.py --check      # exit 1 when one of the first is not current
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from layers_picture import architecture
from states_picture import group_states, recipient_states

FOLDER: Final = Path(__file__).parents[1] / "pictures"
FROM_CODE: Final[dict[str, Callable[[], str]]] = {
    "layers.svg": architecture,
    "recipient-states.svg": recipient_states,
    "group-states.svg": group_states,
}


def main() -> int:
    """Writes or checks the pictures; returns the exit status."""
    drawn = {FOLDER / name: draw() for name, draw in FROM_CODE.items()}
    if "--check" in sys.argv[1:]:
        old = [
            path
            for path, svg in drawn.items()
            if not path.is_file() or path.read_text("utf-8") != svg
        ]
        for path in old:
            print(f"docs/pictures/{path.name} is not current; run: python docs/site/make_pictures.py",
                  file=sys.stderr)  # fmt: skip
        return 1 if old else 0
    if "--terminal" in sys.argv[1:]:
        from terminal_picture import terminal

        drawn |= {FOLDER / name: svg for name, svg in terminal().items()}
    if "--console" in sys.argv[1:]:
        from console_pictures import console

        for name, png in console().items():
            (FOLDER / name).write_bytes(png)
    FOLDER.mkdir(exist_ok=True)
    for path, svg in drawn.items():
        path.write_text(svg, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
