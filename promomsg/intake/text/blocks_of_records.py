"""Blocks of a CSV file's records, whatever way they were read, as cells and lines."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from itertools import islice
from pathlib import Path

from promomsg.control_characters import trimmed
from promomsg.errors import UsageError
from promomsg.intake.columns import Columns
from promomsg.intake.text.dialect import DELIMITERS, Dialect
from promomsg.intake.text.even_lines import EvenLines
from promomsg.intake.text.textfile import Record
from promomsg.model import Code, Problem

__all__ = ["filled_width", "headings_of", "may_have_other_delimiters", "records_of"]


def records_of(
    block: EvenLines | list[Record] | tuple[int, list[list[str]]], problems: dict[int, Problem]
) -> tuple[list[list[str]], list[int]]:
    """A block of records as their cells and lines; adds to `problems` those that have none."""
    if isinstance(block, EvenLines):
        records = list(map(list, zip(*block.columns, strict=True)))
        return records, list(range(block.line, block.line + len(records)))
    if isinstance(block, tuple):
        line, records = block
        return records, list(range(line, line + len(records)))
    for i, record in enumerate(block):
        if record.fields is None:
            detail = f"cannot be read ({record.trouble}): is a quote left open?"
            problems[i] = Problem(Code.BAD_ROW, detail)
    return [record.fields or [] for record in block], [record.line for record in block]


def filled_width(record: Sequence[str]) -> int:
    """How many cells there are up to the last one that is not blank."""
    return max((i for i, cell in enumerate(record, 1) if trimmed(cell)), default=0)


def may_have_other_delimiters(
    cells: Sequence[Sequence[str]], columns: Columns, delimiter: str
) -> bool:
    """Whether one of the known columns has something in it that separates cells elsewhere."""
    places = [i for name, i in columns.known.items() if name != "access_token"]
    others = [other for other in DELIMITERS if other != delimiter]
    joined = ["".join(cells[place]) for place in places]
    return any(other in text for text in joined for other in others)


def headings_of(head: str, dialect: Dialect, path: Path) -> list[str]:
    """The first record that is not blank."""
    lines = islice(StringIO(head, newline=""), dialect.skip_lines, None)
    try:
        records = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
        return next((r for r in records if r), [])
    except csv.Error as error:
        raise UsageError(f"{path}: the heading line cannot be read ({error})") from None
