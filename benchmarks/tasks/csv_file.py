"""A file of recipients as a shop would export it: a key, a promoter id, a name."""

from __future__ import annotations

import csv
import random
from pathlib import Path

__all__ = ["HEADINGS", "write_csv"]

HEADINGS = ("key", "id", "name")


def write_csv(path: Path, count: int, *, names: int = 977, shuffled: bool = False) -> None:
    """Writes so many rows.

    Args:
        names: how many different ones there are.
        shuffled: neither key nor id rises; else both do.
    """
    numbers = list(range(count))
    if shuffled:
        random.Random(5).shuffle(numbers)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADINGS)
        writer.writerows(
            (f"C{number:08d}", 1_000_000_000 + number, f"客官{number % names}")
            for number in numbers
        )
