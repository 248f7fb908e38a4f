"""Recipients from frames (pandas, polars, DuckDB, pyarrow), by the Arrow PyCapsule interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.intake.arrow.arrow_values import (
    blocks_of,
    first_line,
    import_arrow,
    numbered_rows,
    without_rounded,
)
from promomsg.intake.python.objects import is_frame
from promomsg.intake.sources import ADDRESSES
from promomsg.intake.tables import OpenTable, TableBlock, TableSource
from promomsg.model import Problem

__all__ = ["from_frame"]

_NAN: Final = float("nan")
_INDEX: Final = "__index_level_"
"""pandas' own name of an index without one: no column that anybody wrote."""


def from_frame(
    df: Any,
    *,
    key: str | None = None,
    id: str | None = None,
    openid: str | None = None,
    unionid: str | None = None,
    access_token: str | None = None,
    request_id: str | None = None,
) -> TableSource:
    """Recipients from a frame: pandas, polars, DuckDB, a pyarrow Table, RecordBatchReader, Dataset.

    Whatever has the Arrow PyCapsule interface (`__arrow_c_stream__`) is read by it.

    Args:
        df: the frame; it must not be changed while the campaign is planned.
        key, id, openid, unionid, access_token, request_id: the frame's column for each; without
            one, the column of that very name. Any other column is a parameter.

    Raises:
        UsageError: it is no frame.
    """
    given = {
        "key": key,
        "id": id,
        "openid": openid,
        "unionid": unionid,
        "access_token": access_token,
        "request_id": request_id,
    }
    if not is_frame(df):
        raise UsageError(
            f"from_frame: {type(df).__name__} is not a DataFrame; give it as recipients"
        )
    columns = {name: str(column) for name, column in given.items() if column is not None}
    opener = _FrameOpener(df)
    return TableSource("frame", opener, columns, repeatable=opener.repeatable)


class _FrameOpener:
    """Opens a frame as a stream of record batches; a stream that is one already is opened once."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self._kept: Any = None
        kind = type(frame)
        self.repeatable = not hasattr(kind, "read_next_batch")

    def __call__(self) -> OpenTable:
        frame = self._frame
        if hasattr(type(frame), "collect_schema") and hasattr(frame, "collect"):
            if self._kept is None:  # a polars LazyFrame: the query runs once
                self._kept = frame.collect()
            frame = self._kept
        arrow = import_arrow("from_frame")
        if hasattr(frame, "iloc") and any(kind.name == "object" for kind in frame.dtypes):
            # A pandas column of mixed kinds is Python's own values already. Arrow would make one
            # kind of them: bytes of text beside bytes, a date of a date and time beside dates.
            return _pandas(frame)
        try:
            reader = self._reader(arrow, frame)
        except (
            TypeError, ValueError, OverflowError, ImportError, arrow.ArrowException,
        ) as error:  # fmt: skip
            if hasattr(frame, "iloc"):
                return _pandas(frame)  # a kind that Arrow has none for
            raise UsageError(f"from_frame: it cannot be read: {first_line(error)}") from None
        headings = [str(name) for name in reader.schema.names]
        nan = _places_of_nan(frame) if hasattr(frame, "iloc") else None

        def blocks(wanted: Mapping[int, str], size: int) -> Iterator[TableBlock]:
            at = 1
            try:
                for batch in reader:
                    for block in blocks_of(arrow, batch, wanted, size, at):
                        at += len(block.where)
                        yield block if nan is None else _with_nan(block, wanted, nan)
            except arrow.ArrowException as error:
                raise UsageError(f"from_frame: it cannot be read: {first_line(error)}") from None

        shown = ["" if h.startswith(_INDEX) else h for h in headings]
        return OpenTable(shown, blocks)

    def _reader(self, arrow: Any, frame: Any) -> Any:
        if not self.repeatable:
            return frame
        if hasattr(frame, "scanner"):  # a Dataset, which has no capsule of its own
            return frame.scanner().to_reader()
        if hasattr(type(frame), "__arrow_c_stream__"):
            return arrow.RecordBatchReader.from_stream(frame)
        if hasattr(type(frame), "to_reader"):  # a Scanner
            return frame.to_reader()
        table = arrow.table(frame)
        return table.to_reader()


def _pandas(frame: Any) -> OpenTable:
    """A pandas frame by its own values."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]

    def blocks(wanted: Mapping[int, str], size: int) -> Iterator[TableBlock]:
        for at in range(0, len(frame), size):
            part = frame.iloc[at : at + size]
            problems: dict[int, Problem] = {}
            columns = {
                i: _pandas_values(part.iloc[:, i], name, problems) for i, name in wanted.items()
            }
            yield TableBlock(columns, numbered_rows(at + 1, len(part)), problems)

    return OpenTable(names, blocks)


def _pandas_values(column: Any, name: str, problems: dict[int, Problem]) -> list[Any]:
    kind = column.dtype.name
    if kind in ("float32", "float16"):
        short = [float(str(value)) for value in column.to_numpy()]
        return without_rounded(kind, short, name, problems)
    values: list[Any] = column.astype(object).tolist()
    return values


def _places_of_nan(frame: Any) -> frozenset[int]:
    """The columns of a pandas frame whose empty cells are NaN: Arrow has them as null."""
    return frozenset(i for i, kind in enumerate(frame.dtypes) if kind.kind in "fO")


def _with_nan(block: TableBlock, wanted: Mapping[int, str], places: frozenset[int]) -> TableBlock:
    """An address that is NaN fails its row (docs/design.md, "Addresses"), which one that is not
    there need not."""
    columns = {
        i: [_NAN if v is None else v for v in column]
        if i in places and wanted[i] in ADDRESSES
        else column
        for i, column in block.columns.items()
    }
    return block._replace(columns=columns)
