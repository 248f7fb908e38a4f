"""The records of a CSV file under its headings: which cell stands under which one, and which records
do not fit."""

from __future__ import annotations

from collections.abc import Sequence

from promomsg.addresses import parse_address
from promomsg.control_characters import excerpt, trimmed
from promomsg.errors import UsageError
from promomsg.intake.columns import Columns
from promomsg.intake.text import blocks_of_records as blocks
from promomsg.intake.text.dialect import DELIMITERS, delimiter_name, is_sep_line
from promomsg.intake.text.reading_notices import ReadingNotices
from promomsg.model import Code, Problem

__all__ = ["RecordsUnderHeadings"]


class RecordsUnderHeadings:
    """Brings records to the width of the headings, and marks those that do not fit.

    Args:
        columns: the headings.
        delimiter: what separates the cells of the file.
        where: the file, as errors name it.
        reading: counts what was left out.
    """

    def __init__(
        self, columns: Columns, delimiter: str, where: str, reading: ReadingNotices
    ) -> None:
        self._columns = columns
        self._delimiter = delimiter
        self._where = where
        self._reading = reading

    def cells(
        self, records: list[list[str]], lines: list[int], problems: dict[int, Problem]
    ) -> tuple[list[tuple[str, ...]], list[int]]:
        """The columns of these records, all of the headings' width, and the line of each row.

        Args:
            records: the cells of each record.
            lines: its line in the file.
            problems: the index of a record → what is wrong with it; afterwards of the rows.

        Raises:
            UsageError: a heading line of another table stands among them.
        """
        columns = self._columns
        if problems or set(map(len, records)) != {columns.width}:
            records, lines = self._even_out(records, lines, problems)
        cells = list(zip(*records, strict=True))
        if cells and columns.may_be_blank(cells):
            records, lines = self._even_out(records, lines, problems)
            cells = list(zip(*records, strict=True))
        if cells and columns.may_repeat_headings(cells):
            records, lines = self._without_headings(records, lines, problems)
            cells = list(zip(*records, strict=True))
        if cells and self._mark_other_delimiters(cells, records, problems):
            cells = list(zip(*records, strict=True))
        return cells, lines

    def _even_out(
        self,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
    ) -> tuple[list[list[str]], list[int]]:
        """Records of the headings' width: blank ones left out, surplus empty cells cut off.

        A record of another width is marked and emptied: which of its cells is whose is not known,
        so that none of them may become its key (it may be a user's token).
        """
        width = self._columns.width
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
                if self._columns.filled_width <= count <= width or (
                    count < self._columns.filled_width <= len(record)
                ):
                    cells = record[:width]
                elif self._columns.is_heading_line(record) is None:
                    raise self._other_headings(line)
                else:
                    found[len(kept)] = Problem(Code.BAD_ROW, self._width_detail(record))
                    cells = []
            kept.append(cells + [""] * (width - len(cells)))
            numbers.append(line)
        problems.clear()
        problems.update(found)
        return kept, numbers

    def _width_detail(self, record: list[str]) -> str:
        ours = self._delimiter
        other = next((d for d in DELIMITERS if d != ours and d in record[0]), None)
        if len(record) == 1 and other is not None:
            return f"is separated by {delimiter_name(other)}, and the headings by {delimiter_name(ours)}"
        detail = f"{len(record)} fields under {self._columns.width} headings; is "
        return detail + ("a comma" if ours == "," else delimiter_name(ours)) + " unquoted?"

    def _other_headings(self, line: int) -> UsageError:
        return UsageError(
            f"{self._where} line {line} is the heading line of another table, so that what "
            "follows would stand in the wrong columns; make a file of each"
        )

    def _without_headings(
        self,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
    ) -> tuple[list[list[str]], list[int]]:
        """Leaves out the heading line where it stands again: files were joined there."""
        kept: list[int] = []
        for i, record in enumerate(records):
            again = i not in problems and self._columns.is_heading_line(record)
            if again is None:
                raise self._other_headings(lines[i])
            if again:
                self._reading.headings += 1
                continue
            kept.append(i)
            for name, place in self._columns.addresses.items():
                if name not in ("key", "access_token") and self._columns.is_heading(record[place]):
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
    ) -> bool:
        """Marks and empties the rows of another delimiter that have the right width by chance.

        All of such a row is in one cell: that would be its key, with a user's token in it.
        """
        others = [d for d in DELIMITERS if d != self._delimiter]
        places = [i for name, i in self._columns.known.items() if name != "access_token"]
        token = self._columns.known.get("access_token")
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
                        records[i] = [""] * self._columns.width
                        marked = True
        return marked
