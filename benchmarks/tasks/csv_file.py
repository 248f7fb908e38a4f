"""Files of recipients as a shop would export them: a key, a promoter id, a name."""

from __future__ import annotations

import csv
import random
from pathlib import Path

__all__ = ["HEADINGS", "write_csv", "write_parquet"]

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


def write_parquet(path: Path, count: int) -> None:
    """Writes so many rows, each with another name, as one row group. It needs pyarrow."""
    import pyarrow
    import pyarrow.parquet

    columns = (
        [f"C{number:08d}" for number in range(count)],
        [str(1_000_000_000 + number) for number in range(count)],
        [f"客官{number}" for number in range(count)],
    )
    table = pyarrow.table(dict(zip(HEADINGS, columns, strict=True)))
    pyarrow.parquet.write_table(table, path, row_group_size=count)
