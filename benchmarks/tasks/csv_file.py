"""A file of recipients as a shop would export it: a key, a promoter id, a name."""

from __future__ import annotations

import csv
from pathlib import Path

__all__ = ["HEADINGS", "write_csv"]

HEADINGS = ("key", "id", "name")


def write_csv(path: Path, count: int) -> None:
    """Writes so many rows, ordered by id."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADINGS)
        writer.writerows(
            (f"C{number:08d}", 1_000_000_000 + number, f"客官{number % 977}")
            for number in range(count)
        )
