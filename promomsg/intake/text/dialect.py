"""What separates the cells of a text file: a comma, a semicolon (Excel in half of Europe), a tab or
a bar, told by its heading line, or by Excel's own first line `sep=;`."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from io import StringIO
from itertools import islice
from typing import Final

import msgspec

from promomsg.control_characters import trimmed
from promomsg.errors import UsageError
from promomsg.intake.headings import column_of_heading, folded_heading

__all__ = ["COMMA", "DELIMITERS", "Dialect", "delimiter_name", "find_dialect", "is_sep_line"]

DELIMITERS: Final = (",", ";", "\t", "|")
_SEP_LINE: Final = r'(?i)\ufeff?\s*"?sep=(\\t|[^"\r\n])?"?[,;\t| ]*"?[\r\n]*'
_RECORDS: Final = 20


class Dialect(msgspec.Struct, frozen=True):
    """How a text file's records are read.

    Attributes:
        delimiter: what separates cells: one of `DELIMITERS`.
        skip_lines: lines before the first record, to be left out: those up to a `sep=` line.
    """

    delimiter: str = ","
    skip_lines: int = 0


COMMA: Final = Dialect()


def delimiter_name(delimiter: str) -> str:
    """A delimiter as a message names it: `';'`, or `a tab`."""
    return "a tab" if delimiter == "\t" else repr(delimiter)


def is_sep_line(cells: Sequence[str], delimiter: str) -> bool:
    """Whether a record is the line `sep=;` again, naming that delimiter, as in joined exports."""
    return re.fullmatch(_SEP_LINE, text := delimiter.join(cells)) is not None and (
        text.strip('\ufeff "')[len("sep=") :].startswith(delimiter)
    )


def find_dialect(head: str, headings: Collection[str] = ()) -> Dialect:
    """How to read a file that begins with `head`.

    The delimiter under which the heading line has most known columns; where it has none, the one
    that splits the first records into as many cells each. A file without any keeps the comma.

    Args:
        head: the beginning of the text, some kilobytes; its last line may be cut.
        headings: further headings that are known: those of a `columns` mapping.

    Raises:
        UsageError: two delimiters would both do, or `sep=` names another one than the headings
            have. The text has no file name: the caller puts it before.
    """
    lines = list(StringIO(head, newline=""))
    skip = _sep_line(lines)
    rest = lines[skip:]
    known = {delimiter: _known_headings(rest, delimiter, headings) for delimiter in DELIMITERS}
    most = max(known.values())
    best = [d for d in DELIMITERS if known[d] == most]
    if skip and (named := _delimiter_of_sep_line(lines[skip - 1])) is not None:
        if known[named] < most:
            raise UsageError(
                f"line {skip} says that {delimiter_name(named)} separates the columns, but the headings "
                f"are separated by {delimiter_name(best[0])}; correct that line or take it out"
            )
        return Dialect(named, skip)
    if most and len(best) == 1:
        return Dialect(best[0], skip)
    split = [d for d in DELIMITERS if len(_first_record(rest, d)) > 1]
    if most and split:  # one column alone is the same under all of them
        raise UsageError(
            f"the heading line is separated by {' and by '.join(map(delimiter_name, best))}; use one of "
            "them, or say which in a first line, such as: sep=;"
        )
    even = [d for d in split if _is_even(rest, d)]
    return Dialect(next(iter([*even, *split]), ","), skip)


def _sep_line(lines: list[str]) -> int:
    """How many lines there are up to a `sep=` line, blank ones before it included; else 0."""
    for number, line in enumerate(lines, 1):
        if re.fullmatch(_SEP_LINE, line):
            return number
        if trimmed(line):
            return 0
    return 0


def _delimiter_of_sep_line(line: str) -> str | None:
    """The delimiter of a `sep=` line; None when it names none."""
    found = re.fullmatch(_SEP_LINE, line)
    named = found[1] if found else None
    if named is None:
        return None
    named = "\t" if named == "\\t" else named
    if named not in DELIMITERS:
        raise UsageError(
            f"its first line says that {named!r} separates the columns; use a comma, a "
            "semicolon, a tab or a bar"
        )
    return named


def _records(lines: list[str], delimiter: str) -> list[list[str]]:
    """The first records that are not blank, as far as they can be read."""
    found: list[list[str]] = []
    try:
        for record in csv.reader(islice(lines, 10 * _RECORDS), delimiter=delimiter, strict=True):
            if any(map(trimmed, record)):
                found.append(record)
            if len(found) == _RECORDS:
                break
    except csv.Error:
        pass
    return found


def _first_record(lines: list[str], delimiter: str) -> list[str]:
    return next(iter(_records(lines, delimiter)), [])


def _known_headings(lines: list[str], delimiter: str, headings: Collection[str]) -> int:
    """How many of the first record's cells are known headings."""
    also = {folded_heading(heading) for heading in headings}
    return sum(
        column_of_heading(cell) is not None or folded_heading(cell) in also
        for cell in _first_record(lines, delimiter)
    )


def _is_even(lines: list[str], delimiter: str) -> bool:
    """Whether every record has as many cells as the first one."""
    records = _records(lines, delimiter)
    return len(records) > 1 and len(set(map(len, records))) == 1
