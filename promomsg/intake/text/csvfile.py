"""Recipients from a CSV file, read as a stream: a million rows take no more memory than one batch."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from promomsg.addresses import parse_address
from promomsg.clock import let_others_run
from promomsg.control_characters import excerpt, trimmed
from promomsg.errors import UsageError
from promomsg.intake.columns import Columns, check_columns
from promomsg.intake.row_batch import NumberedPlaces, RowBatch
from promomsg.intake.rows import make_rows
from promomsg.intake.several_files import Paths, one_or_several
from promomsg.intake.sources import Source
from promomsg.intake.text import blocks_of_records as blocks
from promomsg.intake.text.dialect import (
    COMMA,
    DELIMITERS,
    Dialect,
    delimiter_name,
    find_dialect,
    is_sep_line,
)
from promomsg.intake.text.even_lines import EvenLines
from promomsg.intake.text.multiline_records import row_inside_quotes
from promomsg.intake.text.reading_notices import ReadingNotices
from promomsg.intake.text.textfile import Record, TextFile, read_records
from promomsg.model import Code, Problem

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
        self._columns: Columns | None = None
        self._dialect: Dialect | None = None
        self._optional: frozenset[str] = frozenset()
        self._column_notices: list[str] = []
        self._reading = ReadingNotices(str(self._file.path))

    @property
    def notices(self) -> list[str]:
        self._file.scan_now()
        where = str(self._file.path)
        notices = list(self._column_notices)
        if self._file.encoding != "utf-8-sig":
            notices.insert(0, f"{where} is read as {self._file.label}")
        return notices + self._reading.notices()

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
        width = columns.width
        if problems or set(map(len, records)) != {width}:
            records, lines = self._even_out(records, lines, problems, columns)
        cells = list(zip(*records, strict=True))
        if cells and columns.may_be_blank(cells):
            records, lines = self._even_out(records, lines, problems, columns)
            cells = list(zip(*records, strict=True))
        if cells and columns.may_repeat_headings(cells):
            records, lines = self._without_headings(records, lines, problems, columns)
            cells = list(zip(*records, strict=True))
        if cells and self._mark_other_delimiters(cells, records, problems, columns):
            cells = list(zip(*records, strict=True))
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

    def _even_out(
        self,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
        columns: Columns,
    ) -> tuple[list[list[str]], list[int]]:
        """Records of the headings' width: blank ones left out, surplus empty cells cut off.

        A record of another width is marked and emptied: which of its cells is whose is not known,
        so that none of them may become its key (it may be a user's token).
        """
        width = columns.width
        kept: list[list[str]] = []
        numbers: list[int] = []
        found: dict[int, Problem] = {}
        for i, (record, line) in enumerate(zip(records, lines, strict=True)):
            cells = record
            if i in problems:
                found[len(kept)] = problems[i]
                cells = []
            elif not any(map(trimmed, record)):
                self._reading.blank += bool(record)
                continue
            elif len(record) != width:
                count = blocks.filled_width(record)
                if is_sep_line(record, self._delimiter):
                    continue
                if columns.filled_width <= count <= width or (
                    count < columns.filled_width <= len(record)
                ):
                    cells = record[:width]
                elif columns.is_heading_line(record) is None:
                    raise self._other_headings(line)
                else:
                    found[len(kept)] = Problem(Code.BAD_ROW, self._width_detail(record, columns))
                    cells = []
            kept.append(cells + [""] * (width - len(cells)))
            numbers.append(line)
        problems.clear()
        problems.update(found)
        return kept, numbers

    def _width_detail(self, record: list[str], columns: Columns) -> str:
        ours = self._delimiter
        other = next((d for d in DELIMITERS if d != ours and d in record[0]), None)
        if len(record) == 1 and other is not None:
            return f"is separated by {delimiter_name(other)}, and the headings by {delimiter_name(ours)}"
        detail = f"{len(record)} fields under {columns.width} headings; is "
        return detail + ("a comma" if ours == "," else delimiter_name(ours)) + " unquoted?"

    @property
    def _delimiter(self) -> str:
        return (self._dialect or COMMA).delimiter

    def _other_headings(self, line: int) -> UsageError:
        return UsageError(
            f"{self._file.path} line {line} is the heading line of another table, so that what "
            "follows would stand in the wrong columns; make a file of each"
        )

    def _without_headings(
        self,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
        columns: Columns,
    ) -> tuple[list[list[str]], list[int]]:
        """Leaves out the heading line where it stands again: files were joined there."""
        kept: list[int] = []
        for i, record in enumerate(records):
            again = i not in problems and columns.is_heading_line(record)
            if again is None:
                raise self._other_headings(lines[i])
            if again:
                self._reading.headings += 1
                continue
            kept.append(i)
            for name, place in columns.addresses.items():
                if name not in ("key", "access_token") and columns.is_heading(record[place]):
                    detail = f"{name} {excerpt(record[place])} is not an address: it is a heading"
                    problems.setdefault(i, Problem(Code.BAD_ADDRESS, detail))
                    records[i] = [*record[:place], "", *record[place + 1 :]]
        moved = {new: problems[i] for new, i in enumerate(kept) if i in problems}
        problems.clear()
        problems.update(moved)
        return [records[i] for i in kept], [lines[i] for i in kept]

    def _mark_other_delimiters(
        self,
        cells: Sequence[Sequence[str]],
        records: list[list[str]],
        problems: dict[int, Problem],
        columns: Columns,
    ) -> bool:
        """Marks and empties the rows of another delimiter that have the right width by chance.

        All of such a row is in one cell: that would be its key, with a user's token in it.
        """
        others = [d for d in DELIMITERS if d != self._delimiter]
        places = [i for name, i in columns.known.items() if name != "access_token"]
        token = columns.known.get("access_token")
        marked = False
        for place in places:
            joined = "".join(cells[place])
            for other in [d for d in others if d in joined]:
                for i, cell in enumerate(cells[place]):
                    if other not in cell or i in problems:
                        continue
                    alone = len(cells) > 1 and not any(
                        trimmed(c) for at, c in enumerate(records[i]) if at != place
                    )
                    lost = token is not None and not isinstance(
                        parse_address("access_token", records[i][token]), str
                    )
                    if alone or lost:
                        detail = (
                            f"is separated by {delimiter_name(other)}, and the headings by "
                            f"{delimiter_name(self._delimiter)}"
                        )
                        problems[i] = Problem(Code.BAD_ROW, detail)
                        records[i] = [""] * columns.width
                        marked = True
        return marked
