"""Recipients from a sheet of an Excel workbook, its cells as a person reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.intake.columns import check_columns
from promomsg.intake.excel.cells import Cell, SheetRow
from promomsg.intake.excel.number_formats import NumberFormat
from promomsg.intake.excel.workbook import Sheet, Workbook
from promomsg.intake.file_identity import FileIdentity, identity_of
from promomsg.intake.file_kinds import XLSX_PARTS, other_kind, zip_kind
from promomsg.intake.headings import REPORT_HEADINGS
from promomsg.intake.several_files import Paths, one_or_several
from promomsg.intake.sources import ADDRESSES, KNOWN, Source
from promomsg.intake.spreadsheet_guards import SpreadsheetGuards
from promomsg.intake.tables import OpenTable, TableBlock, TableSource, end_if_cancelled
from promomsg.intake.text.textfile import check_file
from promomsg.model import Code, Problem
from promomsg.plural import counted
from promomsg.suggest import quoted

__all__ = ["read_excel"]

_EXCEL_DIGITS: Final = 10**15
"""Excel keeps 15 digits of a number: a longer whole number is not what was typed."""
_SAMPLE: Final = 4096
_OF_A_REPORT: Final = 5
"""Headings by which a report of promomsg is known."""
_GENERAL: Final = NumberFormat(0, None)


def read_excel(
    path: Paths,
    *,
    columns: Mapping[str, str] | None = None,
    sheet: str | int | None = None,
) -> Source:
    """Recipients from a sheet of an Excel workbook (.xlsx, .xlsm), its first line being the headings.

    Cells are taken as a person reads them: a number padded or shown as percent by its format is
    so, and a midnight is its date. An error (`#N/A`) and a formula whose result was never saved
    fail their row.

    Args:
        path: the file, or a list of files.
        columns: our name → the sheet's heading.
        sheet: its name, or its number from 1; the one that was open when it was saved, without one.

    Raises:
        UsageError: `sheet` or `columns` is nothing of the kind. (The file is looked at when
            planning begins.)
    """
    if isinstance(sheet, bool) or not isinstance(sheet, (str, int, type(None))):
        raise UsageError(f"sheet is a {type(sheet).__name__}; give a name, or a number from 1")
    if isinstance(sheet, int) and sheet < 1:
        raise UsageError(f"sheet = {sheet}: sheets are counted from 1")
    ours = check_columns(columns)

    def build(one: str | os.PathLike[str]) -> Source:
        return TableSource(
            "excel", _SheetOpener(Path(one), sheet), ours, path=Path(one), sheet=sheet
        )

    return one_or_several(path, build)


class _SheetOpener:
    """Opens the sheet; what was parsed of the workbook is kept as long as the file is the same."""

    def __init__(self, path: Path, sheet: str | int | None) -> None:
        self._path = path
        self._sheet = sheet
        self._kept: tuple[FileIdentity, Workbook] | None = None

    def __call__(self) -> OpenTable:
        check_file(self._path)
        with self._path.open("rb") as file:
            kind = other_kind(file.read(_SAMPLE), self._path)
        if kind is not None and kind != zip_kind(frozenset((XLSX_PARTS,))):
            raise UsageError(f"{self._path} is {kind}")
        identity = identity_of(self._path)
        if self._kept is None or self._kept[0] != identity:
            self._kept = (identity, Workbook(self._path, end_if_cancelled))
        book = self._kept[1]
        if self._sheet is None and (report := self._report(book)) is not None:
            return report._replace(hint="")
        table = _SheetReader(self._path, book, _choose_sheet(book, self._sheet, self._path)).table()
        return table if self._sheet is None else table._replace(hint="")

    def _report(self, book: Workbook) -> OpenTable | None:
        """The people of a report of promomsg, which stand behind a summary: whoever reads them says what they
        are."""
        if [sheet.name for sheet in book.sheets[:2]] != ["summary", "recipients"]:
            return None
        table = _SheetReader(self._path, book, book.sheets[1]).table()
        begins = REPORT_HEADINGS[:_OF_A_REPORT]
        return table if tuple(table.headings[:_OF_A_REPORT]) == begins else None


def _choose_sheet(book: Workbook, wanted: str | int | None, path: Path) -> Sheet:
    names = [sheet.name for sheet in book.sheets]
    if isinstance(wanted, int):
        if wanted > len(names):
            raise UsageError(f"{path} has no sheet {wanted}, but {len(names)}: {quoted(names)}")
        sheet = book.sheets[wanted - 1]
    elif wanted is not None:
        found = [s for s in book.sheets if s.name == wanted] or [
            s for s in book.sheets if s.name.strip().casefold() == wanted.strip().casefold()
        ]
        if not found:
            raise UsageError(f"{path} has no sheet {wanted!r}, but {quoted(names)}")
        sheet = found[0]
    elif not names:
        raise UsageError(f"{path} has no sheet; save the list as .xlsx once more")
    else:
        sheet = book.sheets[book.active]
    if not sheet.has_cells:
        tables = [s.name for s in book.sheets if s.has_cells]
        hint = f"; say sheet = {tables[0]!r}" if tables else ""
        raise UsageError(
            f"{path}: the sheet {sheet.name!r} is a chart or macro sheet and has no cells{hint}"
        )
    return sheet


class _SheetReader:
    """One reading of one sheet."""

    def __init__(self, path: Path, book: Workbook, sheet: Sheet) -> None:
        self._path = path
        self._book = book
        self._sheet = sheet
        self._hidden = 0
        self._guards = SpreadsheetGuards()
        self._formats = [NumberFormat(n, code, book.epoch_1904) for n, code in book.formats]

    def table(self) -> OpenTable:
        """The sheet with its headings: the first row that is not blank."""
        headings: list[str] = []
        top = next((row for row in self._rows() if _is_filled(row)), None)
        if top is not None:
            headings = [""] * (max(top.cells) + 1)
            for place, cell in top.cells.items():
                headings[place] = self._heading(cell, f"{_letters(place)}{top.number}")
        elif len(self._book.sheets) > 1:
            others = [s.name for s in self._book.sheets if s.name != self._sheet.name]
            raise UsageError(
                f"{self._path}: the sheet {self._sheet.name!r} is empty; "
                f"say which one to read, as in sheet = {others[0]!r}"
            )
        return OpenTable(headings, self._blocks, self._notices, self._hint())

    def _hint(self) -> str:
        """Perhaps the list is on another sheet."""
        others = [s.name for s in self._book.sheets if s is not self._sheet and s.has_cells]
        if not others:
            return ""
        return f"or read another sheet than {self._sheet.name!r}: say sheet = {others[0]!r}"

    def _rows(self) -> Iterator[SheetRow]:
        for rows in self._book.rows(self._sheet):
            yield from rows

    def _heading(self, cell: Cell, at: str) -> str:
        if cell.kind in "ef":
            raise UsageError(f"{self._path}: the heading in cell {at} {_why_unreadable(cell)}")
        return str(self._value(cell, ""))

    def _notices(self) -> list[str]:
        book, sheet = self._book, self._sheet
        notices = []
        if len(book.sheets) > 1:
            others = [f"{s.name!r}" + " (hidden)" * s.hidden for s in book.sheets if s is not sheet]
            shown = ", ".join(others[:5]) + ", …" * (len(others) > 5)
            notices.append(f"{self._path}: the sheet {sheet.name!r} is read, and not {shown}")
        if sheet.hidden:
            notices.append(f"{self._path}: the sheet {sheet.name!r} is hidden, and is read")
        if self._hidden:
            notices.append(
                f"{self._path}: {counted(self._hidden, 'row is', 'rows are')} hidden (by a filter, or by hand), and "
                "read as the others are"
            )
        return notices + self._guards.notices(str(self._path))

    def _blocks(self, wanted: Mapping[int, str], size: int) -> Iterator[TableBlock]:
        self._hidden = 0
        self._guards = SpreadsheetGuards()
        rows = (row for row in self._rows())
        for row in rows:
            if _is_filled(row):
                break
        block: list[SheetRow] = []
        blank = 0
        for row in rows:
            if not _is_filled(row):
                # Excel counts a row that was only given a colour or a border.
                blank += 1
                continue
            self._hidden += row.hidden
            block.append(row)
            if len(block) >= size:
                yield self._block(block, wanted, blank)
                block, blank = [], 0
        yield self._block(block, wanted, blank)

    def _block(self, block: list[SheetRow], wanted: Mapping[int, str], blank: int) -> TableBlock:
        problems: dict[int, Problem] = {}
        columns: dict[int, list[Any]] = {}
        for place, name in wanted.items():
            column: list[Any] = []
            for i, row in enumerate(block):
                value: Any = None
                if (cell := row.cells.get(place)) is not None:
                    value = cell.text if cell.kind == "s" else self._read(cell, name)
                    if isinstance(value, Problem):
                        detail = f"{name}: cell {_letters(place)}{row.number} {value.detail}"
                        problems.setdefault(i, Problem(value.code, detail))
                        value = None
                column.append(value)
            columns[place] = self._without_guards(name, column)
        return TableBlock(columns, [f"row {row.number}" for row in block], problems, blank)

    def _without_guards(self, name: str, column: list[Any]) -> list[Any]:
        """The column's texts without what programs put around a value, as in a CSV."""
        at = [i for i, value in enumerate(column) if type(value) is str]
        texts = [column[i] for i in at]
        bare_texts = (
            self._guards.take_off_known(name, texts)
            if name in KNOWN
            else self._guards.take_off_parameters(texts)
        )
        for i, text in zip(at, bare_texts, strict=True):
            column[i] = text
        return column

    def _read(self, cell: Cell, name: str) -> Any:
        code = Code.BAD_ADDRESS if name in ADDRESSES else Code.BAD_ROW
        if cell.kind in "ef":
            return Problem(code, _why_unreadable(cell))
        try:
            value = self._value(cell, name)
        except (ValueError, OverflowError):
            return Problem(code, "cannot be read: it is no number, or no day that there is")
        if name in KNOWN and isinstance(value, int) and value >= _EXCEL_DIGITS:
            return Problem(code, "Excel keeps 15 digits of a number; type it as text")
        return value

    def _value(self, cell: Cell, name: str) -> Any:
        if cell.kind == "s":
            return cell.text
        if cell.kind == "b":
            flag = cell.text.strip() not in ("0", "false")
            return flag if name in KNOWN else str(flag).upper()
        if cell.kind == "d":
            return datetime.fromisoformat(cell.text.strip())
        shape = self._formats[cell.style] if cell.style < len(self._formats) else _GENERAL
        return shape.address(cell.text) if name in KNOWN else shape.as_shown(cell.text)


def _why_unreadable(cell: Cell) -> str:
    if cell.kind == "e":
        return f"holds an error, {cell.text}; mend it in the sheet"
    return (
        "is a formula whose result was never saved; open the file in a spreadsheet program and "
        "save it"
    )


def _is_filled(row: SheetRow) -> bool:
    """Whether somebody wrote anything in it: blanks alone are no recipient."""
    return any(cell.kind != "s" or not cell.text.isspace() for cell in row.cells.values())


def _letters(place: int) -> str:
    """0 → `A`, 26 → `AA`."""
    name = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        name = chr(65 + rest) + name
    return name
