"""Recipients from frames, by the Arrow PyCapsule interface, and from Parquet files."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.intake.columns import clean_columns
from promomsg.intake.file_kinds import other_kind
from promomsg.intake.row_values import rounded_away
from promomsg.intake.several import Paths, SeveralSources, one_or_several
from promomsg.intake.sources import ADDRESSES, Source
from promomsg.intake.tables import Piece, Table, TableSource, end_if_cancelled
from promomsg.intake.text.textfile import check_file
from promomsg.model import Code, Problem
from promomsg.parameters import rounded

__all__ = ["from_frame", "is_frame", "read_parquet"]

_SAMPLE: Final = 4096
_NAN: Final = float("nan")
_EXTENSIONS: Final = ("arrow.uuid", "arrow.json", "arrow.bool8")
_INDEX: Final = "__index_level_"
"""pandas' own name of an index without one: no column that anybody wrote."""


def is_frame(value: Any) -> bool:
    """Whether this is a table of columns, rather than one column or a list of rows."""
    kind = type(value)
    has = {name for name in ("columns", "schema", "collect_schema") if hasattr(kind, name)}
    if hasattr(kind, "__arrow_c_stream__") or hasattr(kind, "__arrow_c_array__"):
        return bool(has)
    if hasattr(kind, "to_batches") or hasattr(kind, "collect_schema"):
        return True
    return hasattr(value, "columns") and hasattr(value, "shape")


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

    def __call__(self) -> Table:
        frame = self._frame
        if hasattr(type(frame), "collect_schema") and hasattr(frame, "collect"):
            if self._kept is None:  # a polars LazyFrame: the query runs once
                self._kept = frame.collect()
            frame = self._kept
        arrow = _need("pyarrow", "from_frame")
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
            raise UsageError(f"from_frame: it cannot be read: {_first_line(error)}") from None
        headings = [str(name) for name in reader.schema.names]
        nan = _places_of_nan(frame) if hasattr(frame, "iloc") else None

        def pieces(wanted: Mapping[int, str], size: int) -> Iterator[Piece]:
            at = 1
            try:
                for batch in reader:
                    for piece in _pieces_of(arrow, batch, wanted, size, at):
                        at += len(piece.where)
                        yield piece if nan is None else _with_nan(piece, wanted, nan)
            except arrow.ArrowException as error:
                raise UsageError(f"from_frame: it cannot be read: {_first_line(error)}") from None

        shown = ["" if h.startswith(_INDEX) else h for h in headings]
        return Table(shown, pieces)

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


def _pandas(frame: Any) -> Table:
    """A pandas frame by its own values."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]

    def pieces(wanted: Mapping[int, str], size: int) -> Iterator[Piece]:
        for at in range(0, len(frame), size):
            part = frame.iloc[at : at + size]
            problems: dict[int, Problem] = {}
            columns = {
                i: _pandas_values(part.iloc[:, i], name, problems) for i, name in wanted.items()
            }
            yield Piece(columns, _numbered(at + 1, len(part)), problems)

    return Table(names, pieces)


def _pandas_values(column: Any, name: str, problems: dict[int, Problem]) -> list[Any]:
    kind = column.dtype.name
    if kind in ("float32", "float16"):
        short = [float(str(value)) for value in column.to_numpy()]
        return _without_rounded(kind, short, name, problems)
    values: list[Any] = column.astype(object).tolist()
    return values


def _without_rounded(
    kind: str, values: list[Any], name: str, problems: dict[int, Problem]
) -> list[Any]:
    """An address or key that a short float may have rounded to somebody else's is a problem."""
    if name not in (*ADDRESSES, "key"):
        return values
    for i, value in enumerate(values):
        if rounded(kind, value):
            problems.setdefault(i, rounded_away(name))
            values[i] = None
    return values


def _places_of_nan(frame: Any) -> frozenset[int]:
    """The columns of a pandas frame whose empty cells are NaN: Arrow has them as null."""
    return frozenset(i for i, kind in enumerate(frame.dtypes) if kind.kind in "fO")


def _with_nan(piece: Piece, wanted: Mapping[int, str], places: frozenset[int]) -> Piece:
    """An address that is NaN fails its row (DESIGN §5), which one that is not there need not."""
    columns = {
        i: [_NAN if v is None else v for v in column]
        if i in places and wanted[i] in ADDRESSES
        else column
        for i, column in piece.columns.items()
    }
    return piece._replace(columns=columns)


def _numbered(first: int, count: int) -> list[str]:
    return [f"row {n}" for n in range(first, first + count)]


def _pieces_of(
    arrow: Any, batch: Any, wanted: Mapping[int, str], size: int, first: int
) -> Iterator[Piece]:
    for at in range(0, batch.num_rows, size):
        part = batch.slice(at, size)
        problems: dict[int, Problem] = {}
        columns = {i: _values(arrow, part.column(i), name, problems) for i, name in wanted.items()}
        yield Piece(columns, _numbered(first + at, part.num_rows), problems)


def _values(arrow: Any, column: Any, name: str, problems: dict[int, Problem]) -> Sequence[Any]:
    """A column's values as Python's own; one that Python has none for fails its row alone."""
    kind = column.type
    if isinstance(kind, arrow.BaseExtensionType) and kind.extension_name not in _EXTENSIONS:
        # What it holds is not what it says: a pandas Period of 2026 is the number 56.
        for i in range(len(column)):
            if column[i].is_valid:
                detail = f"{name} is a {kind.extension_name}; give text, a number or a date"
                problems.setdefault(i, Problem(Code.BAD_ROW, detail))
        return [None] * len(column)
    types = arrow.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(arrow.timestamp("us", kind.tz), safe=False)
    elif types.is_float32(kind) or types.is_float16(kind):
        # 0.1, as it was written, and not 0.10000000149011612
        texts = column.cast(arrow.float32()).cast(arrow.string()).to_pylist()
        short = [None if text is None else float(text) for text in texts]
        return _without_rounded(
            "float32" if types.is_float32(kind) else "float16", short, name, problems
        )
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, TypeError, LookupError, UnicodeError, arrow.ArrowException):
        values = []
        for i in range(len(column)):
            try:
                values.append(column[i].as_py())
            except (
                ValueError, OverflowError, TypeError, LookupError, UnicodeError,
                arrow.ArrowException,
            ) as error:  # fmt: skip
                detail = f"{name} cannot be read: {_first_line(error)}"
                problems.setdefault(i, Problem(Code.BAD_ROW, detail))
                values.append(None)
    return values


def read_parquet(path: Paths, *, columns: Mapping[str, str] | None = None) -> Source:
    """Recipients from a Parquet file. Only the columns that are needed are read.

    Args:
        path: the file, a folder of them (its `.parquet` files by name, as one list), or a list of
            either.
        columns: our name → the file's heading.

    Raises:
        UsageError: pyarrow is not installed, or `columns` is no such mapping.
    """
    arrow = _need("pyarrow", "read_parquet")
    parquet = _need("pyarrow.parquet", "read_parquet")
    ours = clean_columns(columns)

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
    def open_table() -> Table:
        check_file(where)
        with where.open("rb") as start:
            kind = other_kind(start.read(_SAMPLE), where)
        if kind is not None and kind != other_kind(b"PAR1"):
            raise UsageError(f"{where} is {kind}")
        try:
            with parquet.ParquetFile(where) as file:
                headings = list(file.schema_arrow.names)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise UsageError(f"{where} is not a Parquet file: {_first_line(error)}") from None

        def pieces(wanted: Mapping[int, str], size: int) -> Iterator[Piece]:
            try:
                with parquet.ParquetFile(where) as file:
                    at = 1
                    for batch, places in _read_columns(file, list(wanted), size):
                        end_if_cancelled()
                        names = {places[i]: name for i, name in wanted.items()}
                        for piece in _pieces_of(arrow, batch, names, size, at):
                            at += len(piece.where)
                            columns = {i: piece.columns[places[i]] for i in wanted}
                            yield piece._replace(columns=columns)
            except (arrow.ArrowException, OSError) as error:
                raise UsageError(f"{where} is damaged: {_first_line(error)}") from None

        return Table(headings, pieces)

    return TableSource("parquet", open_table, columns, path=where)


def _read_columns(file: Any, wanted: list[int], size: int) -> Iterator[tuple[Any, dict[int, int]]]:
    """The record batches of some columns, and where each of them is in a batch."""
    names = file.schema_arrow.names
    headings = [names[i] for i in wanted]
    batches = file.iter_batches(batch_size=size, columns=headings)
    with closing(batches):
        for batch in batches:
            there = list(batch.schema.names)
            yield batch, {i: there.index(h) for i, h in zip(wanted, headings, strict=True)}


def _need(module: str, caller: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{caller} needs {module.partition('.')[0]}: pip install 'promomsg[files]'"
        ) from None


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
