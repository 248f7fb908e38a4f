"""`python -m tests.messages` lists the texts of the terminal that have no Chinese, and Chinese that is not
needed any more; `--update` writes the first into the catalogue, to be filled in, and takes the others out."""

from __future__ import annotations

import sys

from .chinese import PO, problems, update


def main(arguments: list[str]) -> int:
    """Returns the exit status: 0 when nothing is missing."""
    if arguments == ["--update"]:
        print(f"{update()} texts to be filled in: {PO}")
    found = problems()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
