"""Recipients from tables of other tools: DataFrames, Parquet and Excel files.

Their packages are the extra `files`, and are imported only when such a table is read.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

from anyio.lowlevel import checkpoint

from promomsg.errors import UsageError
from promomsg.intake.base import ADDRESSES, Row
from promomsg.intake.layout import Layout, clean_columns, make_rows
from promomsg.intake.textfile import check_file
from promomsg.model import Code, Problem

__all__ = ["TableSource", "from_frame", "read_excel", "read_parquet"]

Columns = dict[str, Sequence[Any]]
Pieces = Iterator[tuple[Columns, int, Sequence[int]]]
"""Rows a batch at a time: the columns that were asked for, by heading, how many rows there are, and
which of them are blank in every column of a sheet."""

_EXCEL_DIGITS: Final = 10**15
"""Excel keeps 15 digits of a number: a longer whole number is not what was typed."""


class _Table:
    """Headings, and the columns' values batch by batch."""

    def __init__(
        self, headings: Sequence[str], pieces: Callable[[Sequence[str], int], Pieces]
    ) -> None:
        self.headings = headings
        self.pieces = pieces


class TableSource:
    """What `from_frame`, `read_parquet` and `read_excel` return: a `Source`.

    Args:
        kind: `"frame"`, `"parquet"` or `"excel"`.
        open_table: opens it; called once for each reading.
        columns: our name → the table's heading.
        path: the file, when it is one.
        row_name: what a row is called, `"row"`; Excel's numbers count the heading line.
        first_row: the number of the first row.
    """

    repeatable = True

    def __init__(
        self,
        kind: str,
        open_table: Callable[[], _Table],
        columns: Mapping[str, str],
        *,
        path: Path | None = None,
        first_row: int = 1,
    ) -> None:
        self._kind = kind
        self._open = open_table
        self._columns = columns
        self._path = path
        self._first_row = first_row
        self._layout: Layout | None = None
        self._sha256: str | None = None
        self._spare: frozenset[str] = frozenset()
        self.notices: list[str] = []

    @property
    def _where(self) -> str:
        return str(self._path) if self._path is not None else "from_frame"

    def _lay_out(self, table: _Table, names: frozenset[str]) -> Layout:
        layout = Layout(table.headings, self._columns, self._where)
        self.notices = [*layout.check(names, self._spare), *layout.unused(names)]
        self._layout = layout
        return layout

    def check(self, names: frozenset[str], spare: frozenset[str] = frozenset()) -> None:
        """Looks at the headings. Raises UsageError as `Source.check` says."""
        self._spare = spare
        self._lay_out(self._open(), names)

    def describe(self) -> dict[str, Any]:
        """Kind and headings; path and sha256 of a file."""
        said: dict[str, Any] = {"kind": self._kind}
        if self._path is not None:
            if self._sha256 is None:
                check_file(self._path)
                with self._path.open("rb") as file:
                    self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            said |= {"path": str(self._path.absolute()), "sha256": self._sha256}
        return said | {"columns": list(self._layout.headings) if self._layout else []}

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[list[Row]]:
        """Every row; see `Source.batches`."""
        table = self._open()
        layout = self._lay_out(table, names)
        # By place, as `Layout` counts: a heading may need trimming to be ours.
        known = {name: table.headings[i] for name, i in layout.known.items()}
        params = {n: table.headings[i] for n, i in layout.params.items() if n in names}
        wanted = list(dict.fromkeys([*known.values(), *params.values()]))
        at, first = self._first_row, 1
        with closing(_generator(table.pieces(wanted, size))) as pieces:
            for columns, count, blank in pieces:
                where = [f"row {n}" for n in range(at, at + count)]
                at += count
                if blank:
                    left = sorted(set(range(count)).difference(blank))
                    columns = {h: [column[i] for i in left] for h, column in columns.items()}
                    where = [where[i] for i in left]
                problems: dict[int, Problem] = {}
                rows = make_rows(
                    self._known({n: columns[h] for n, h in known.items()}, len(where), problems),
                    {n: _without_nan(columns[h]) for n, h in params.items()},
                    where,
                    first,
                    problems,
                )
                first += len(rows)
                if rows:
                    yield rows
                await checkpoint()
        if blanks := at - self._first_row - (first - 1):
            self.notices.append(f"{self._where}: {blanks} blank rows left out")
        if first == 1:
            raise UsageError(f"{self._where} has headings but no rows: nobody to send to")

    def _known(
        self, columns: dict[str, Sequence[Any]], count: int, problems: dict[int, Problem]
    ) -> dict[str, Sequence[Any]]:
        """NaN is a table's way to leave a cell empty: it is one when the row has another address."""
        for name in ("key", "request_id"):
            if name in columns:
                columns[name] = _without_nan(columns[name])
        addresses = [name for name in ADDRESSES if name in columns]
        for name in addresses:
            column = columns[name]
            if any(_is_nan(v) for v in column):
                others = [columns[n] for n in addresses if n != name]
                columns[name] = [
                    None
                    if _is_nan(v) and any(o[i] is not None and not _is_nan(o[i]) for o in others)
                    else v
                    for i, v in enumerate(column)
                ]
            if self._kind == "excel":
                long = [isinstance(v, int) and v >= _EXCEL_DIGITS for v in columns[name]]
                for i in range(count):
                    if long[i]:
                        detail = f"{name}: Excel keeps 15 digits of a number; type it as text"
                        problems.setdefault(i, Problem(Code.BAD_ADDRESS, detail))
                if any(long):
                    kept = zip(columns[name], long, strict=True)
                    columns[name] = [None if gone else v for v, gone in kept]
        return columns


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
    """Recipients from a pandas or polars DataFrame, or a pyarrow Table.

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
    if not (hasattr(df, "shape") and hasattr(df, "columns")):
        raise UsageError(
            f"from_frame: {type(df).__name__} is not a DataFrame; give it as recipients"
        )
    columns = {name: str(column) for name, column in given.items() if column is not None}
    return TableSource("frame", lambda: _frame(df), columns)


def _frame(df: Any) -> _Table:
    names = list(getattr(df, "column_names", None) or df.columns)
    if hasattr(df, "iloc"):  # pandas

        def cut(name: Any, at: int, size: int) -> list[Any]:
            values: list[Any] = df[name].iloc[at : at + size].astype(object).tolist()
            return [None if type(v).__name__ in ("NAType", "NaTType") else v for v in values]
    else:  # polars and pyarrow

        def cut(name: Any, at: int, size: int) -> list[Any]:
            column = df[name].slice(at, size)
            values: list[Any] = (
                column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
            )
            return values

    by_heading = {str(n): n for n in names}

    def pieces(wanted: Sequence[str], size: int) -> Pieces:
        total = int(df.shape[0])
        for at in range(0, total, size):
            # A row of NaN is no blank one: a NaN address fails its row (DESIGN §5).
            yield {h: cut(by_heading[h], at, size) for h in wanted}, min(size, total - at), ()

    return _Table([str(n) for n in names], pieces)


def read_parquet(
    path: str | os.PathLike[str], *, columns: Mapping[str, str] | None = None
) -> TableSource:
    """Recipients from a Parquet file. Only the columns that are needed are read.

    Args:
        path: the file.
        columns: our name → the file's heading.

    Raises:
        UsageError: pyarrow is not installed, or `columns` is no such mapping.
    """
    parquet = _need("pyarrow.parquet", "read_parquet")
    where = Path(path)

    def open_table() -> _Table:
        check_file(where)
        try:
            with parquet.ParquetFile(where) as file:
                headings = list(file.schema_arrow.names)
        except ValueError as error:  # pyarrow's ArrowInvalid
            raise UsageError(f"{where} is not a Parquet file: {_first_line(error)}") from None

        def pieces(wanted: Sequence[str], size: int) -> Pieces:
            with parquet.ParquetFile(where) as file:
                for batch in file.iter_batches(batch_size=size, columns=list(wanted)):
                    yield {h: batch.column(h).to_pylist() for h in wanted}, batch.num_rows, ()

        return _Table(headings, pieces)

    return TableSource("parquet", open_table, clean_columns(columns), path=where)


def read_excel(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    sheet: str | None = None,
) -> TableSource:
    """Recipients from a sheet of an Excel workbook (.xlsx), its first line being the headings.

    Args:
        path: the file.
        columns: our name → the sheet's heading.
        sheet: its name; the one that was open when it was saved, without one.

    Raises:
        UsageError: openpyxl is not installed, or `columns` is no such mapping.
    """
    openpyxl = _need("openpyxl", "read_excel")
    broken = _need("zipfile", "read_excel").BadZipFile
    where = Path(path)

    def lines() -> Iterator[tuple[Any, ...]]:
        check_file(where)
        try:
            with where.open("rb") as file:
                book = openpyxl.load_workbook(file, read_only=True, data_only=True)
                with closing(book):
                    if sheet is not None and sheet not in book.sheetnames:
                        raise UsageError(f"{where} has no sheet {sheet!r}, but {book.sheetnames}")
                    page = book[sheet] if sheet is not None else book.active
                    yield from page.iter_rows(values_only=True)
        except (broken, KeyError, openpyxl.utils.exceptions.InvalidFileException) as error:
            raise UsageError(f"{where} is not an .xlsx workbook: {_first_line(error)}") from None

    def open_table() -> _Table:
        with closing(_generator(lines())) as rows:
            top = next(rows, ())
        headings = ["" if v is None else str(v) for v in top]

        def pieces(wanted: Sequence[str], size: int) -> Pieces:
            at = {h: headings.index(h) for h in wanted}
            with closing(_generator(lines())) as rows:
                next(rows)
                while block := list(islice(rows, size)):
                    # Excel counts a row that was only given a colour or a border.
                    blank = [i for i, r in enumerate(block) if all(v is None or v == "" for v in r)]
                    yield {h: [r[i] for r in block] for h, i in at.items()}, len(block), blank

        return _Table(headings, pieces)

    return TableSource("excel", open_table, clean_columns(columns), path=where, first_row=2)


def _need(module: str, caller: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{caller} needs {module.partition('.')[0]}: pip install 'promomsg[files]'"
        ) from None


def _generator(pieces: Iterator[Any]) -> Any:
    """The same, known to have `close`: readers are generators that hold a file open."""
    return pieces


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _without_nan(column: Sequence[Any]) -> Sequence[Any]:
    return [None if _is_nan(v) else v for v in column]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
