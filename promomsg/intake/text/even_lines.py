"""Lines of a CSV file without a quote, one record each and all of one width: cut into columns at once,
without a list for each record."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import repeat

import msgspec

__all__ = ["EvenLines", "columns_of_lines"]


class EvenLines(msgspec.Struct, frozen=True):
    """Records of one line each: the number of the first line, and their cells by column."""

    line: int
    columns: Sequence[Sequence[str]]


def columns_of_lines(lines: Sequence[str], delimiter: str) -> list[list[str]] | None:
    """The cells of some lines, at least one, by column, as `csv.reader` would have them; None where
    it has to read them: there is a quote, a blank line or one of another width.

    Args:
        lines: with their ends, as they stand in the file.
        delimiter: between cells; one character.
    """
    text = "".join(lines)
    if '"' in text or "\0" in text or len(text) > csv.field_size_limit():
        return None
    between = lines[0].count(delimiter)
    if between == 0 or set(map(str.count, lines, repeat(delimiter))) != {between}:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    cells = text.removesuffix("\n").replace("\n", delimiter).split(delimiter)
    width = between + 1
    return [cells[place::width] for place in range(width)]
