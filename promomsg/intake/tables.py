"""Recipients from tables that are no text: the part that Excel, Parquet and frames have in common."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from anyio import from_thread, to_thread

from promomsg.clock import let_others_run
from promomsg.errors import UsageError
from promomsg.intake.columns import Columns
from promomsg.intake.empty_cell_words import EmptyCellWords
from promomsg.intake.file_identity import check_unchanged, identity_of
from promomsg.intake.row_batch import RowBatch
from promomsg.intake.rows import make_rows
from promomsg.intake.sources import ADDRESSES, read_as
from promomsg.intake.text.textfile import check_file
from promomsg.model import Problem
from promomsg.plural import counted

__all__ = ["OpenTable", "TableBlock", "TableSource", "end_if_cancelled"]


class TableBlock(NamedTuple):
    """Some rows of a table, a column at a time.

    Attributes:
        columns: the columns that were asked for, by place.
        where: what a person calls each row, `row 7`.
        problems: what is wrong with a row already, by its place here.
        blank: blank rows that were left out.
    """

    columns: Mapping[int, Sequence[Any]]
    where: Sequence[str]
    problems: dict[int, Problem]
    blank: int = 0


class OpenTable(NamedTuple):
    """An open table: its headings, a reader of its rows, and what the plan should say of it.

    `blocks` takes the places of the columns that are wanted, with our name for each, and about how
    many rows to give at a time. `notices` is asked for when the rows are read. `hint` is added to what
    is wrong with the headings.
    """

    headings: Sequence[str]
    blocks: Callable[[Mapping[int, str], int], Iterator[TableBlock]]
    notices: Callable[[], list[str]] = list
    hint: str = ""


class TableSource:
    """What `from_frame`, `read_parquet` and `read_excel` return: a `Source`.

    Args:
        kind: `"frame"`, `"parquet"` or `"excel"`.
        open_table: opens it; called once for each look and each reading.
        columns: our name → the table's heading.
        path: the file, when it is one. It is then read in a thread: parsing it would stop the
            event loop, and with it the calls that are out.
        sheet: which of the file's sheets the caller named.
        repeatable: whether it can be read again.
    """

    def __init__(
        self,
        kind: str,
        open_table: Callable[[], OpenTable],
        columns: Mapping[str, str],
        *,
        path: Path | None = None,
        sheet: str | int | None = None,
        repeatable: bool = True,
    ) -> None:
        self._kind = kind
        self._open = open_table
        self._given_columns = columns
        self._path = path
        self._read_as = read_as(columns, sheet=sheet)
        self.repeatable = repeatable
        self._started = False
        self._columns: Columns | None = None
        self._sha256: str | None = None
        self._optional: frozenset[str] = frozenset()
        self._notices: list[str] = []
        self._notices_when_read: Callable[[], list[str]] = list

    @property
    def notices(self) -> list[str]:
        """What the plan should say; see `Source.notices`."""
        return [*self._notices, *self._notices_when_read()]

    @property
    def parameters(self) -> frozenset[str]:
        """Its columns that are parameters; known after `check`."""
        return frozenset(self._columns.params) if self._columns is not None else frozenset()

    @property
    def _where(self) -> str:
        return str(self._path) if self._path is not None else "from_frame"

    def _use_headings(self, table: OpenTable, names: frozenset[str]) -> Columns:
        certain = self._kind != "excel"  # there it is a sheet's first line
        try:
            columns = Columns(table.headings, self._given_columns, self._where, certain=certain)
            checked = columns.check(names, self._optional)
        except UsageError as error:
            if not table.hint:
                raise
            raise UsageError(f"{error}; {table.hint}") from None
        self._notices = [*checked, *columns.unused_notices(names)]
        self._notices_when_read = table.notices
        self._columns = columns
        return columns

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Looks at the headings. Raises UsageError as `Source.check` says."""
        self._optional = optional
        self._use_headings(self._open(), names)

    @property
    def file_path(self) -> Path | None:
        """See `FromFile`."""
        return None if self._path is None else self._path.absolute()

    def describe(self) -> dict[str, Any]:
        """Kind and headings; path and sha256 of a file."""
        description: dict[str, Any] = {"kind": self._kind}
        if self._path is not None:
            description |= {"path": str(self._path.absolute()), "sha256": self._digest()}
            description |= self._read_as
        return description | {"columns": self._columns.journal_headings if self._columns else []}

    def _digest(self) -> str:
        if self._sha256 is None:
            assert self._path is not None
            check_file(self._path)
            with self._path.open("rb") as file:
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return self._sha256

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[RowBatch]:
        """Every row; see `Source.batches`."""
        if self._started and not self.repeatable:
            raise UsageError(f"{self._where}: this was a stream and is used up; give a table")
        self._started = True
        before = None
        if self._path is not None:
            check_file(self._path)
            before = identity_of(self._path)
            self._sha256 = None
            await to_thread.run_sync(self._digest)
            table = await to_thread.run_sync(self._open)
        else:
            table = self._open()
        columns = self._use_headings(table, names)
        params = {name: i for name, i in columns.params.items() if name in names}
        wanted = {i: name for name, i in (*params.items(), *columns.known.items())}
        empty_words = EmptyCellWords(self._where)
        blank = 0
        first = 1
        with closing(_closable(table.blocks(wanted, size))) as blocks:
            while (block := await self._next(blocks)) is not None:
                blank += block.blank
                known: dict[str, Sequence[Any]] = {
                    name: block.columns[i] for name, i in columns.known.items()
                }
                values = {name: block.columns[i] for name, i in params.items()}
                empty_words.count(values)
                rows = make_rows(
                    _without_nan(known, len(block.where)),
                    values,
                    block.where,
                    first,
                    block.problems,
                )
                first += len(rows)
                if rows:
                    yield rows
                await let_others_run()
        if self._path is not None and before is not None:
            check_unchanged(self._path, before)
        if blank:
            self._notices.append(f"{self._where}: {counted(blank, 'blank row')} left out")
        self._notices += empty_words.notices()
        if first == 1:
            raise UsageError(f"{self._where} has headings but no rows: nobody to send to")

    async def _next(self, blocks: Iterator[TableBlock]) -> TableBlock | None:
        if self._path is None:
            return next(blocks, None)
        return await to_thread.run_sync(next, blocks, None)


def end_if_cancelled() -> None:
    """In a worker thread, ends the work when whoever waits for it was cancelled; else nothing."""
    with suppress(RuntimeError):  # no worker thread: a look at a list without an event loop
        from_thread.check_cancelled()


def _without_nan(known: dict[str, Sequence[Any]], count: int) -> dict[str, Sequence[Any]]:
    """NaN is a table's way to leave a cell empty: it is one when the row has another address."""
    addresses = [name for name in ADDRESSES if name in known]
    for name in known:
        column = known[name]
        if not any(map(_is_nan, column)):
            continue
        others = [known[n] for n in addresses if n != name]
        known[name] = [
            None
            if _is_nan(v)
            and (
                name not in addresses or any(o[i] is not None and not _is_nan(o[i]) for o in others)
            )
            else v
            for i, v in enumerate(column)
        ]
    return known


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _closable(blocks: Iterator[Any]) -> Any:
    """The same, known to have `close`: readers are generators that hold a file open."""
    return blocks
