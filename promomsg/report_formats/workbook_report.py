"""A report as an Excel workbook: the counts on one sheet, one row an outcome on the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any, Final

from promomsg.code_meanings import brief_meaning
from promomsg.control_characters import one_line
from promomsg.model import Outcome
from promomsg.report_formats.contents import COLUMNS, ClickSummary, ReportContents
from promomsg.report_formats.typed_rows import batches, needs

__all__ = ["write_workbook"]

_ROWS_A_SHEET: Final = 1_048_575
"""Rows of a sheet below its headings (Excel's limit is 1,048,576): more go on the next sheet."""
_LONGEST_CELL: Final = 32_767
_WIDTHS: Final = (28, 11, 20, 60, 9, 24, 22, 30)


def write_workbook(contents: ReportContents, outcomes: Iterable[Outcome], file: IO[bytes]) -> int:
    """Writes the workbook, row by row. Text stays text: `=1+1` or a long id is no formula and no number.

    Returns:
        How many outcomes it has.

    Raises:
        UsageError: XlsxWriter is not installed.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise needs("XlsxWriter", "reports", "a workbook") from None
    options = {
        "constant_memory": True, "strings_to_formulas": False, "strings_to_numbers": False,
        "strings_to_urls": False, "default_date_format": "yyyy-mm-dd hh:mm:ss",
        "remove_timezone": True,
    }  # fmt: skip
    with xlsxwriter.Workbook(file, options) as book:
        bold = book.add_format({"bold": True})
        _write_summary(book.add_worksheet("summary"), contents, bold)
        sheet, at, written = _new_sheet(book, 1, bold), 0, 0
        for batch in batches(outcomes):
            for row in batch:
                if at == _ROWS_A_SHEET:
                    sheet, at = _new_sheet(book, len(book.worksheets()), bold), 0
                at += 1
                written += 1
                for column, value in enumerate(row):
                    _put(sheet, at, column, value)
    return written


def _new_sheet(book: Any, number: int, bold: Any) -> Any:
    sheet = book.add_worksheet("recipients" if number == 1 else f"recipients {number}")
    sheet.freeze_panes(1, 0)
    for column, (name, wide) in enumerate(zip(COLUMNS, _WIDTHS, strict=True)):
        sheet.set_column(column, column, wide)
        sheet.write_string(0, column, f"{name} (UTC)" if name == "at" else name, bold)
    return sheet


def _put(sheet: Any, row: int, column: int, value: Any) -> None:
    if isinstance(value, str):
        sheet.write_string(row, column, one_line(value)[:_LONGEST_CELL])
    elif isinstance(value, (int, float)):
        sheet.write_number(row, column, value)
    elif value is not None:
        sheet.write_datetime(row, column, value)


def _write_summary(sheet: Any, contents: ReportContents, bold: Any) -> None:
    counts = contents.counts
    rows: list[tuple[Any, ...]] = [
        ("campaign", contents.record.name),
        ("state", f"{contents.state} ({contents.reason})" if contents.reason else contents.state),
        ("account", contents.record.account),
        ("host", contents.host),
        *((name, getattr(counts, name)) for name in
          ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending")),
        (),
        *(("code", "recipients", "meaning"),),
        *((code, number, brief_meaning(code)) for code, number in sorted(counts.by_code.items())),
        (),
        *(("warning", text) for text in contents.warnings),
        (),
        ("clicked", contents.clicks.people, "reached", contents.clicks.reached),
        *(("clicks", text) for text in contents.clicks.notes),
        (),
        *_clicks(contents.clicks),
    ]  # fmt: skip
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 1, 28)
    sheet.set_column(2, 2, 80)
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            _put(sheet, number, column, value)
    sheet.set_row(0, None, bold)


def _clicks(clicks: ClickSummary) -> list[tuple[Any, ...]]:
    """What was kept by China-time day, under its headings; empty: nothing was. Without a message's number
    it is that of all messages of the type."""
    rows = [(day.day, count.msg_id, count.people, count.clicks) for day, count in clicks.counts]
    return [("day", "of", "people", "clicks"), *rows] if rows else []
