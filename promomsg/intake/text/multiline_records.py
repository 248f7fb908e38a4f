"""CSV records that run over several lines: is there a row of its own inside a quoted cell?

The quote may have been left open, and closed by another row's: that row's person would get no
message, and their row would be sent as a part of the first one's name.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

from promomsg.addresses import parse_address
from promomsg.intake.spreadsheet_guards import without_guards

__all__ = ["row_inside_quotes"]


def row_inside_quotes(
    fields: Sequence[str] | None,
    inner: Sequence[str],
    delimiter: str,
    width: int,
    addresses: Mapping[str, int],
) -> int | None:
    """The place of the first line inside a quoted cell that looks like a row of its own.

    It has as many delimiters as the headings, and an address where an address column would be.
    Where the record's own address is of digits alone, so must that one be: a text's second line
    may begin with any word.

    Args:
        fields: the record's cells.
        inner: its lines after the first.
        delimiter: what separates cells.
        width: how many headings there are.
        addresses: the columns with addresses, by name.

    Returns:
        1 for the line after the record's first one, and so on; None when there is no such line.
    """
    places = addresses.items()
    digits = {
        i for _, i in places if fields and i < len(fields) and without_guards(fields[i]).isdigit()
    }
    for number, line in enumerate(inner, 1):
        cells = _cells(line, delimiter)
        if len(cells) >= width and any(
            _is_address(name, cells[i])
            and (i not in digits or without_guards(cells[i].strip(' "')).isdigit())
            for name, i in places
            if i < len(cells)
        ):
            return number
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return line.split(delimiter)


def _is_address(name: str, cell: str) -> bool:
    text = without_guards(cell.strip(' "'))
    return isinstance(parse_address("id" if name == "key" else name, text), str)
