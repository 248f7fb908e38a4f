"""Records that run over several lines: a text with line ends in it, or a quote that was left open
and closed by somebody else's, whose row would be sent as a part of the first one's name."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence

from promomsg.addresses import not_an_address
from promomsg.intake.guards import bare

__all__ = ["row_inside"]


def row_inside(
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
    places = addresses.values()
    digits = {i for i in places if fields and i < len(fields) and bare(fields[i]).isdigit()}
    for number, line in enumerate(inner, 1):
        cells = _cells(line, delimiter)
        if len(cells) >= width and _has_address(cells, places, digits):
            return number
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return line.split(delimiter)


def _has_address(cells: Sequence[str], places: Collection[int], digits: Collection[int]) -> bool:
    for i in places:
        text = bare(cells[i].strip().strip('"')) if i < len(cells) else ""
        if text and not_an_address(text) is None and (i not in digits or text.isdigit()):
            return True
    return False
