"""The lowest versions that pyproject admits, for pip: `python .ci/lowest.py [EXTRA…]`."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_FLOOR = re.compile(r"([A-Za-z0-9._-]+(?:\[[^\]]*\])?)>=([0-9][0-9.]*)")


def main() -> None:
    """Prints one `name==version` a line."""
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in sys.argv[1:]:
        wanted += project["optional-dependencies"][extra]
    for requirement in wanted:
        floor = _FLOOR.match(requirement)
        if floor is None:
            raise SystemExit(f"{requirement}: no lowest version is named")
        print(f"{floor[1]}=={floor[2]}")


if __name__ == "__main__":
    main()
