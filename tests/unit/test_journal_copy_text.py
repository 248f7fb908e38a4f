"""Rows as COPY's text: whatever is in a cell stays in its cell."""

from __future__ import annotations

from promomsg.journal.postgres.planning.copy_text import copy_text


def test_rows_are_lines_and_columns_stand_between_tabs() -> None:
    assert copy_text([[1, 2], ["a", "b"]]) == "1\ta\n2\tb\n"
    assert copy_text([[], []]) == ""


def test_what_would_end_a_cell_or_a_row_is_escaped() -> None:
    assert copy_text([["a\tb", "c\nd", "e\\N", "f\r"]]) == "a\\tb\nc\\nd\ne\\\\N\nf\\r\n"


def test_nothing_is_not_the_empty_text() -> None:
    assert copy_text([[None, "", "\\N"], [None, None, None]]) == "\\N\t\\N\n\t\\N\n\\\\N\t\\N\n"


def test_bytes_are_written_as_hexadecimal_digits() -> None:
    assert copy_text([[b"\x00\xff", None]]) == "\\\\x00ff\n\\N\n"
