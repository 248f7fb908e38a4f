"""`python -m promomsg`: the same as `promomsg`."""

from __future__ import annotations

import sys

from promomsg.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
