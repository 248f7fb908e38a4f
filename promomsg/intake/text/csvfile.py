"""Recipients from a CSV file, read as a stream: a million rows take no more memory than one batch."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from promomsg.clock import let_others_run
from promomsg.errors import UsageError
from promomsg.intake.columns import Columns, check_columns
from promomsg.intake.row_batch import NumberedPlaces, RowBatch
from promomsg.intake.rows import make_rows
from promomsg.intake.several_files import Paths, one_or_several
from promomsg.intake.sources import Source, read_as
from promomsg.intake.text import blocks_of_records as blocks
from promomsg.intake.text.dialect import COMMA, Dialect, find_dialect
from promomsg.intake.text.even_lines import EvenLines
from promomsg.intake.text.multiline_records import row_inside_quotes
from promomsg.intake.text.reading_notices import ReadingNotices
from promomsg.intake.text.records_under_headings import RecordsUnderHeadings
from promomsg.intake.text.textfile import Record, TextFile, read_records
from promomsg.model import Problem

__all__ = ["CsvSource", "read_csv"]

_NO_ROWS: Final = RowBatch((), {}, {}, (), {})


def read_csv(
    path: Paths,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str = "auto",
) -> Source:
    """Recipients from a CSV file with a heading line, separated by commas, semicolons, tabs or bars.

    The columns key, id, openid, unionid, access_token and request_id have a meaning, also as
    `Open ID` or `OPENID`; any other is a parameter of the message. Nothing is read yet.

    Args:
        path: the file, `"-"` for standard input, or a list of files. One that gzip packed is
            unpacked.
        columns: our name → the file's heading, `{"id": "推广员ID", "name": "姓名"}`.
        encoding: `"auto"` is UTF-8 with or without BOM, UTF-16 with one, else GB18030; or a
            codec's name.

    Raises:
        UsageError: there is no such encoding, or `columns` is no such mapping. (The file is looked
            at when planning begins.)
    """

    def build(one: str | os.PathLike[str]) -> Source:
        source = CsvSource(one, columns, encoding)  # says what is wrong with the arguments
        if one == "-":
            # Few lists are piped in.
            from promomsg.intake.text.standard_input import StandardInput

            return StandardInput(lambda spooled: CsvSource(spooled, columns, encoding))
        return source

    return one_or_several(path, build)


class CsvSource:
    """What `read_csv` returns: a `Source`."""

    repeatable = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Mapping[str, str] | None,
        encoding: str,
    ) -> None:
        self._file = TextFile(path, encoding)
        self.file_path = self._file.path.absolute()
        self._given_columns = check_columns(columns)
        self._read_as = read_as(
            self._given_columns, encoding=None if encoding == "auto" else encoding
        )
        self._columns: Columns | None = None
        self._dialect: Dialect | None = None
        self._optional: frozenset[str] = frozenset()
        self._column_notices: list[str] = []
        self._reading = ReadingNotices(str(self._file.path))

    @property
    def notices(self) -> list[str]:
        self._file.scan_now()
        where = str(self._file.path)
        notices = [*self._column_notices, *self._reading.notices()]
        said = f"{where} is read as {self._file.label}"
        if self._file.encoding != "utf-8-sig":
            notices.insert(0, said)
        elif self._file.is_detected:
            notices.append(said)
        return notices

    @property
    def parameters(self) -> frozenset[str]:
        """Its columns that are parameters; known after `check`."""
        return frozenset(self._columns.params) if self._columns is not None else frozenset()

    @property
    def expected_rows(self) -> int | None:
        """See `ForeseesRows`: a line each, but for the headings."""
        skipped = self._dialect.skip_lines if self._dialect is not None else 0
        return self._file.line_ends - skipped - 1 if self._file.encoding is not None else None

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Looks at the headings. Raises UsageError as `Source.check` says."""
        self._optional = optional
        head, dialect = self._first_look()
        self._use_headings(blocks.headings_of(head, dialect, self._file.path), names)

    def _first_look(self) -> tuple[str, Dialect]:
        """The first look at the file: how it begins, and what separates its cells."""
        head = self._file.head()
        try:
            self._dialect = find_dialect(head, self._given_columns.values())
        except UsageError as error:
            raise UsageError(f"{self._file.path}: {error}") from None
        return head, self._dialect

    def _use_headings(self, headings: list[str], names: frozenset[str]) -> Columns:
        where = str(self._file.path)
        if not headings:
            raise UsageError(f"{where} is empty; it needs a heading line, such as: id,name")
        columns = Columns(headings, self._given_columns, where)
        self._column_notices = [
            *columns.check(names, self._optional),
            *columns.unused_notices(names),
        ]
        self._columns = columns
        return columns

    def describe(self) -> dict[str, Any]:
        """Kind, path, sha256, encoding and headings.

        Raises:
            UsageError: the file changed since it was read.
        """
        self._file.scan_now()
        self._file.check_unchanged()
        return {
            "kind": "csv",
            "path": str(self._file.path.absolute()),
            "sha256": self._file.sha256,
            "encoding": self._file.label,
            "columns": self._columns.journal_headings if self._columns is not None else [],
            **self._read_as,
        }

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[RowBatch]:
        """Every row; see `Source.batches`."""
        dialect = self._dialect if self._dialect is not None else self._first_look()[1]
        if self._file.encoding is None:
            for _ in self._file.scan():
                await let_others_run()
        self._reading = ReadingNotices(str(self._file.path))
        columns: Columns | None = None
        first = 1
        with self._file.open() as file:
            for block in read_records(file, size, dialect, even=True):
                problems: dict[int, Problem] = {}
                if isinstance(block, EvenLines):
                    even = (
                        None if columns is None else self._even_rows(columns, block, names, first)
                    )
                    if even is not None:
                        first += len(even)
                        yield even
                        await let_others_run()
                        continue
                records, lines = blocks.records_of(block, problems)
                if columns is None:
                    columns = self._take_headings(records, lines, problems, names)
                if columns is None:
                    continue
                if isinstance(block, list):
                    self._refuse_open_quotes(block, columns, dialect)
                rows = self._rows(columns, records, lines, problems, names, first)
                first += len(rows)
                if rows:
                    yield rows
                await let_others_run()
        if columns is None:
            self._use_headings([], names)
        if first == 1:
            raise UsageError(f"{self._file.path} has headings but no rows: nobody to send to")

    def _take_headings(
        self,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
        names: frozenset[str],
    ) -> Columns | None:
        """Takes the heading line off the first records."""
        at = next((i for i, r in enumerate(records) if r or i in problems), None)
        if at is None:
            return None
        if at in problems:
            raise UsageError(
                f"{self._file.path}: the heading line (line {lines[at]}) {problems[at].detail}"
            )
        headings = records[at]
        del records[: at + 1], lines[: at + 1]
        moved = {i - at - 1: p for i, p in problems.items()}
        problems.clear()
        problems.update(moved)
        return self._use_headings(headings, names)

    def _refuse_open_quotes(self, block: list[Record], columns: Columns, dialect: Dialect) -> None:
        """Raises UsageError when a quoted cell holds what looks like somebody else's row."""
        for record in block:
            if not record.inner:
                continue
            addresses = columns.addresses
            inside = row_inside_quotes(
                record.fields, record.inner, dialect.delimiter, columns.filled_width, addresses
            )
            if inside is not None:
                raise UsageError(
                    f"{self._file.path}: a quote is left open in line {record.line}, or the lines "
                    f"up to {record.line + len(record.inner)} are one cell, and line "
                    f"{record.line + inside} in it looks like a row of its own; close the quote, "
                    "or take the line ends out of that cell"
                )
            self._reading.several_lines(record.line)

    def _rows(
        self,
        columns: Columns,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
        names: frozenset[str],
        first: int,
    ) -> RowBatch:
        if not records:
            return _NO_ROWS
        under = RecordsUnderHeadings(columns, self._delimiter, str(self._file.path), self._reading)
        cells, lines = under.cells(records, lines, problems)
        if not cells:
            return _NO_ROWS
        return self._made(columns, cells, lines, problems, names, first)

    def _even_rows(
        self, columns: Columns, block: EvenLines, names: frozenset[str], first: int
    ) -> RowBatch | None:
        """The same of whole columns; None: a record has to be looked at by itself."""
        cells = block.columns
        if (
            len(cells) != columns.width
            or columns.may_be_blank(cells)
            or columns.may_repeat_headings(cells)
            or blocks.may_have_other_delimiters(cells, columns, self._delimiter)
        ):
            return None
        lines = range(block.line, block.line + len(cells[0]))
        return self._made(columns, cells, lines, {}, names, first)

    def _made(
        self,
        columns: Columns,
        cells: Sequence[Sequence[str]],
        lines: Sequence[int],
        problems: dict[int, Problem],
        names: frozenset[str],
        first: int,
    ) -> RowBatch:
        params = {name: cells[i] for name, i in columns.params.items() if name in names}
        self._reading.empty_words.count(params)
        return make_rows(
            {name: cells[i] for name, i in columns.known.items()},
            params,
            NumberedPlaces("line", lines),
            first,
            problems,
            trusted=True,
            guards=self._reading.guards,
        )

    @property
    def _delimiter(self) -> str:
        return (self._dialect or COMMA).delimiter
