"""Recipients from Parquet files: a file, or a folder of them as one list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.intake.arrow.arrow_values import (
    blocks_of,
    first_line,
    import_arrow,
    import_or_say,
)
from promomsg.intake.columns import check_columns
from promomsg.intake.file_kinds import other_kind
from promomsg.intake.several_files import Paths, SeveralSources, one_or_several
from promomsg.intake.sources import Source
from promomsg.intake.tables import OpenTable, TableBlock, TableSource, end_if_cancelled
from promomsg.intake.text.textfile import check_file

__all__ = ["read_parquet"]

_SAMPLE: Final = 4096
_BUFFER: Final = 1 << 16
"""Bytes of a column that are read ahead. pyarrow would otherwise hold a whole row group, which is
all of a file that was written as one."""
_AT_ONCE: Final = 50_000
"""Rows of small row groups that are read in one go."""


def read_parquet(path: Paths, *, columns: Mapping[str, str] | None = None) -> Source:
    """Recipients from a Parquet file. Only the columns that are needed are read.

    Args:
        path: the file, a folder of them (its `.parquet` files by name, as one list), or a list of
            either.
        columns: our name → the file's heading.

    Raises:
        UsageError: pyarrow is not installed, or `columns` is no such mapping.
    """
    arrow = import_arrow("read_parquet")
    parquet = import_or_say("pyarrow.parquet", "read_parquet")
    ours = check_columns(columns)

    def build(one: str | os.PathLike[str]) -> Source:
        if not os.path.isdir(one):
            return _parquet(arrow, parquet, Path(one), ours)
        files = _files_in(Path(one))
        return SeveralSources([(str(f), _parquet(arrow, parquet, f, ours)) for f in files])

    return one_or_several(path, build)


def _files_in(folder: Path) -> list[Path]:
    """The Parquet files of a folder, as pyarrow, Spark and DuckDB write one."""
    files = [
        file
        for file in sorted(folder.rglob("*.parquet"))
        if not any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise UsageError(f"{folder} is a folder without any .parquet file; name a file")
    return files


def _parquet(arrow: Any, parquet: Any, where: Path, columns: Mapping[str, str]) -> TableSource:
    def open_table() -> OpenTable:
        check_file(where)
        with where.open("rb") as start:
            kind = other_kind(start.read(_SAMPLE), where)
        if kind is not None and kind != other_kind(b"PAR1"):
            raise UsageError(f"{where} is {kind}")
        try:
            with parquet.ParquetFile(where) as file:
                headings = list(file.schema_arrow.names)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise UsageError(f"{where} is not a Parquet file: {first_line(error)}") from None

        def blocks(wanted: Mapping[int, str], size: int) -> Iterator[TableBlock]:
            try:
                with parquet.ParquetFile(where, pre_buffer=False, buffer_size=_BUFFER) as file:
                    at = 1
                    for batch, places in _read_columns(arrow, file, list(wanted), size):
                        end_if_cancelled()
                        names = {places[i]: name for i, name in wanted.items()}
                        for block in blocks_of(arrow, batch, names, size, at):
                            at += len(block.where)
                            columns = {i: block.columns[places[i]] for i in wanted}
                            yield block._replace(columns=columns)
            except (arrow.ArrowException, OSError) as error:
                raise UsageError(f"{where} is damaged: {first_line(error)}") from None

        return OpenTable(headings, blocks)

    return TableSource("parquet", open_table, columns, path=where)


def _read_columns(
    arrow: Any, file: Any, wanted: list[int], size: int
) -> Iterator[tuple[Any, dict[int, int]]]:
    """The record batches of some columns, and where each of them is in a batch."""
    names = file.schema_arrow.names
    headings = [names[i] for i in wanted]
    for groups in _row_groups(file.metadata):
        batches = file.iter_batches(
            batch_size=size, row_groups=groups, columns=headings, use_threads=False
        )
        with closing(batches):
            for batch in batches:
                there = list(batch.schema.names)
                yield batch, {i: there.index(h) for i, h in zip(wanted, headings, strict=True)}
        # What the last row groups took is given back before the next ones take as much.
        arrow.default_memory_pool().release_unused()


def _row_groups(metadata: Any) -> Iterator[list[int]]:
    """The row groups in order, so many at a time that there are `_AT_ONCE` rows or more."""
    groups: list[int] = []
    rows = 0
    for i in range(metadata.num_row_groups):
        groups.append(i)
        rows += metadata.row_group(i).num_rows
        if rows >= _AT_ONCE:
            yield groups
            groups, rows = [], 0
    if groups:
        yield groups
