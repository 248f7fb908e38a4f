"""A file of recipients by its name's ending: for the terminal and its campaign files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from promomsg.intake.arrow import read_parquet
from promomsg.intake.base import Source
from promomsg.intake.csvfile import read_csv
from promomsg.intake.excel import read_excel
from promomsg.intake.jsonl import read_jsonl

__all__ = ["read_file"]


def read_file(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str = "auto",
) -> Source:
    """Recipients from `.jsonl`/`.ndjson`, `.parquet`, `.xlsx`, and CSV under any other name.

    Args:
        path: the file.
        columns: our name → the file's heading.
        encoding: of a CSV file.

    Raises:
        UsageError: there is no such encoding, or the package for such a file is not installed.
    """
    match Path(path).suffix.lower():
        case ".jsonl" | ".ndjson":
            return read_jsonl(path, columns=columns)
        case ".parquet":
            return read_parquet(path, columns=columns)
        case ".xlsx":
            return read_excel(path, columns=columns)
        case _:
            return read_csv(path, columns=columns, encoding=encoding)
