"""A report as Parquet, and as a frame."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from promomsg.errors import UsageError
from promomsg.model import Outcome
from promomsg.private_files import replaced_file
from promomsg.report_formats.contents import COLUMNS
from promomsg.report_formats.typed_rows import batches, needs, record_batch

__all__ = ["save_parquet", "to_frame", "write_parquet"]


def _arrow(what: str) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise needs("pyarrow", "files", what) from None
    return pyarrow


def _schema(arrow: Any) -> Any:
    kinds = {"attempts": arrow.int64(), "at": arrow.timestamp("us", tz="UTC")}
    return arrow.schema([(name, kinds.get(name, arrow.string())) for name in COLUMNS])


def _record_batches(arrow: Any, schema: Any, outcomes: Iterable[Outcome]) -> Iterable[Any]:
    for rows in batches(outcomes):
        yield record_batch(arrow, schema, rows)


def write_parquet(outcomes: Iterable[Outcome], file: IO[bytes]) -> int:
    """Writes one row an outcome; memory does not grow with them. Returns how many.

    Raises:
        UsageError: pyarrow is not installed.
    """
    arrow = _arrow("a Parquet report")
    from pyarrow import parquet

    schema = _schema(arrow)
    written = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _record_batches(arrow, schema, outcomes):
            writer.write_batch(batch)
            written += batch.num_rows
    return written


def save_parquet(outcomes: Iterable[Outcome], path: str | os.PathLike[str]) -> int:
    """The same, to a file that only its owner can read; an earlier one is replaced when this one is
    complete.

    Raises:
        UsageError: pyarrow is not installed, or the file cannot be written.
    """
    try:
        with replaced_file(Path(path)) as file:
            return write_parquet(outcomes, file)
    except OSError as error:
        raise UsageError(f"{os.fspath(path)} cannot be written: {error.strerror}") from None


def to_frame(outcomes: Iterable[Outcome]) -> Any:
    """A pandas DataFrame, one row an outcome.

    Raises:
        UsageError: pyarrow or pandas is not installed.
    """
    arrow = _arrow("to_frame()")
    try:
        import pandas  # noqa: F401 - to_pandas needs it
    except ImportError:
        raise needs("pandas", "files] pandas", "to_frame()") from None
    schema = _schema(arrow)
    found = _record_batches(arrow, schema, outcomes)
    return arrow.Table.from_batches(found, schema=schema).to_pandas()
