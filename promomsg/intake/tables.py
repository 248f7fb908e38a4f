"""Recipients from tables that are no text: the part that Excel, Parquet and frames have in common."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from anyio import from_thread, to_thread
from anyio.lowlevel import checkpoint

from promomsg.errors import UsageError
from promomsg.intake.columns import Columns
from promomsg.intake.file_identity import check_unchanged, identity_of
from promomsg.intake.row_values import WordsForNothing
from promomsg.intake.rows import make_rows
from promomsg.intake.sources import ADDRESSES, Row
from promomsg.intake.text.textfile import check_file
from promomsg.model import Problem

__all__ = ["Piece", "Table", "TableSource", "end_if_cancelled"]


class Piece(NamedTuple):
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


class Table(NamedTuple):
    """An open table: its headings, a reader of its rows, and what the plan should say of it.

    `pieces` takes the places of the columns that are wanted, with our name for each, and about how
    many rows to give at a time. `notices` is asked for when the rows are read.
    """

    headings: Sequence[str]
    pieces: Callable[[Mapping[int, str], int], Iterator[Piece]]
    notices: Callable[[], list[str]] = list


class TableSource:
    """What `from_frame`, `read_parquet` and `read_excel` return: a `Source`.

    Args:
        kind: `"frame"`, `"parquet"` or `"excel"`.
        open_table: opens it; called once for each look and each reading.
        columns: our name → the table's heading.
        path: the file, when it is one. It is then read in a thread: parsing it would stop the
            event loop, and with it the calls that are out.
        repeatable: whether it can be read again.
    """

    def __init__(
        self,
        kind: str,
        open_table: Callable[[], Table],
        columns: Mapping[str, str],
        *,
        path: Path | None = None,
        repeatable: bool = True,
    ) -> None:
        self._kind = kind
        self._open = open_table
        self._columns = columns
        self._path = path
        self.repeatable = repeatable
        self._begun = False
        self._layout: Columns | None = None
        self._sha256: str | None = None
        self._optional: frozenset[str] = frozenset()
        self._said: list[str] = []
        self._later: Callable[[], list[str]] = list

    @property
    def notices(self) -> list[str]:
        """What the plan should say; see `Source.notices`."""
        return [*self._said, *self._later()]

    @property
    def parameters(self) -> frozenset[str]:
        """Its columns that are parameters; known after `check`."""
        return frozenset(self._layout.params) if self._layout is not None else frozenset()

    @property
    def _where(self) -> str:
        return str(self._path) if self._path is not None else "from_frame"

    def _lay_out(self, table: Table, names: frozenset[str]) -> Columns:
        certain = self._kind != "excel"  # there it is a sheet's first line
        layout = Columns(table.headings, self._columns, self._where, certain=certain)
        self._said = [*layout.check(names, self._optional), *layout.unused(names)]
        self._later = table.notices
        self._layout = layout
        return layout

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Looks at the headings. Raises UsageError as `Source.check` says."""
        self._optional = optional
        self._lay_out(self._open(), names)

    def describe(self) -> dict[str, Any]:
        """Kind and headings; path and sha256 of a file."""
        said: dict[str, Any] = {"kind": self._kind}
        if self._path is not None:
            said |= {"path": str(self._path.absolute()), "sha256": self._digest()}
        return said | {"columns": list(self._layout.headings) if self._layout else []}

    def _digest(self) -> str:
        if self._sha256 is None:
            assert self._path is not None
            check_file(self._path)
            with self._path.open("rb") as file:
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return self._sha256

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[list[Row]]:
        """Every row; see `Source.batches`."""
        if self._begun and not self.repeatable:
            raise UsageError(f"{self._where}: this was a stream and is used up; give a table")
        self._begun = True
        before = None
        if self._path is not None:
            check_file(self._path)
            before = identity_of(self._path)
            self._sha256 = None
            await to_thread.run_sync(self._digest)
            table = await to_thread.run_sync(self._open)
        else:
            table = self._open()
        layout = self._lay_out(table, names)
        params = {name: i for name, i in layout.params.items() if name in names}
        wanted = {i: name for name, i in (*params.items(), *layout.known.items())}
        words = WordsForNothing(self._where)
        blank = 0
        first = 1
        with closing(_generator(table.pieces(wanted, size))) as pieces:
            while (piece := await self._next(pieces)) is not None:
                blank += piece.blank
                known: dict[str, Sequence[Any]] = {
                    name: piece.columns[i] for name, i in layout.known.items()
                }
                values = {name: piece.columns[i] for name, i in params.items()}
                words.count(values)
                rows = make_rows(
                    _without_nan(known, len(piece.where)),
                    values,
                    piece.where,
                    first,
                    piece.problems,
                )
                first += len(rows)
                if rows:
                    yield rows
                await checkpoint()
        if self._path is not None and before is not None:
            check_unchanged(self._path, before)
        if blank:
            self._said.append(f"{self._where}: {blank} blank rows left out")
        self._said += words.notices()
        if first == 1:
            raise UsageError(f"{self._where} has headings but no rows: nobody to send to")

    async def _next(self, pieces: Iterator[Piece]) -> Piece | None:
        if self._path is None:
            return next(pieces, None)
        return await to_thread.run_sync(next, pieces, None)


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


def _generator(pieces: Iterator[Any]) -> Any:
    """The same, known to have `close`: readers are generators that hold a file open."""
    return pieces
