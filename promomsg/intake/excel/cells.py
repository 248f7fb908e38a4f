"""The XML of an .xlsx file: the rows of a sheet and the shared texts, gathered while it is parsed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from typing import Final, NamedTuple
from xml.parsers import expat

__all__ = [
    "Cell",
    "OverExcelLimit",
    "RowReader",
    "SharedStrings",
    "SheetRow",
    "local_name",
    "xml_parser",
]

MAX_ROWS: Final = 1_048_576
MAX_COLUMNS: Final = 16_384
MAX_TEXT: Final = 32_767
"""Excel's own limits: rows and columns of a sheet, characters of a cell."""
_DEEPEST: Final = 64
_LONGEST_MARK: Final = 1 << 20
_MAX_STRINGS: Final = 16 * MAX_ROWS
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")


class Cell(NamedTuple):
    """One cell as the file has it.

    Attributes:
        kind: `n` a number, `s` text, `b` 0 or 1, `d` an ISO date, `e` an error such as `#N/A`,
            `f` a formula whose result was never saved.
        text: its value.
        style: which of `Workbook.formats` it is shown by.
    """

    kind: str
    text: str
    style: int


class SheetRow(NamedTuple):
    """One row: its number from 1, whether it is hidden, and the cells that are not empty, by column
    from 0."""

    number: int
    hidden: bool
    cells: dict[int, Cell]


class OverExcelLimit(Exception):
    """Something is over a limit of Excel's own."""


def xml_parser(
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None,
    data: Callable[[str], None] | None,
) -> Callable[[bytes, bool], None]:
    """A parser that is fed XML piece by piece (the last one with True) and calls the handlers."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = fed = 0

    def opened(name: str, attrs: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise OverExcelLimit("is nested deeper than any sheet")
        start(name, attrs)

    def closed(name: str) -> None:
        nonlocal depth
        depth -= 1
        if end is not None:
            end(name)

    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = _no_doctype

    def feed(chunk: bytes, final: bool) -> None:
        nonlocal fed
        parser.Parse(chunk, final)
        fed += len(chunk)
        # The parser holds a mark until it has all of it, and looks at it anew with each piece.
        if fed - parser.CurrentByteIndex > _LONGEST_MARK:
            raise OverExcelLimit("holds a mark longer than any sheet has")

    return feed


def _no_doctype(*_: object) -> None:
    # No spreadsheet program writes one; entities are how an XML bomb is made.
    raise ValueError("it declares entities")


def local_name(name: str) -> str:
    """A name without its prefix: `x:row` → `row`."""
    return name.rpartition(":")[2] if ":" in name else name


class SharedStrings:
    """The shared texts, one after the other in UTF-8: a million of them in little more memory than
    they have letters. Phonetic guides (`rPh`) are no part of a text."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")
        self._taking = False
        self._phonetic = False
        self._pieces: list[str] = []
        self._size = 0

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self._ends):
            raise ValueError(f"there is no shared text {number}")
        begin = self._ends[number - 1] if number else 0
        return self._bytes[begin : self._ends[number]].decode("utf-8", "surrogatepass")

    def start(self, name: str, attrs: dict[str, str]) -> None:
        local = local_name(name)
        if local == "si":
            self._pieces = []
            self._size = 0
        elif local == "rPh":
            self._phonetic = True
        elif local == "t":
            self._taking = not self._phonetic

    def data(self, text: str) -> None:
        if self._taking:
            self._pieces.append(text)
            self._size += len(text)
            _check_length(self._size)

    def end(self, name: str) -> None:
        local = local_name(name)
        if local == "t":
            self._taking = False
        elif local == "rPh":
            self._phonetic = False
        elif local == "si":
            self._bytes += _text(self._pieces).encode("utf-8", "surrogatepass")
            self._ends.append(len(self._bytes))
            if len(self._ends) > _MAX_STRINGS:
                raise OverExcelLimit(f"are more than {_MAX_STRINGS:,}")


class RowReader:
    """Handlers of a sheet's XML, which gather its rows."""

    def __init__(self, shared: Callable[[int], str]) -> None:
        self._shared = shared
        self._rows: list[SheetRow] = []
        self._count = 0
        self._number = 0
        self._hidden = False
        self._cells: dict[int, Cell] = {}
        self._column = -1
        self._kind = "n"
        self._style = 0
        self._formula = False
        self._valued = False
        self._taking = False
        self._phonetic = False
        self._in_cell = False
        self._pieces: list[str] = []
        self._size = 0

    def take(self) -> list[SheetRow]:
        """The rows that were finished since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attrs: dict[str, str]) -> None:
        if ":" in name:
            name = local_name(name)
        if name == "c":
            at = attrs.get("r")
            self._column = self._column + 1 if at is None else _column(at)
            if self._column >= MAX_COLUMNS:
                raise OverExcelLimit(f"has more than {MAX_COLUMNS:,} columns")
            self._kind = attrs.get("t", "n")
            self._style = int(attrs.get("s", 0))
            self._formula = self._valued = False
            self._in_cell = True
            self._size = 0
            self._pieces = []
        elif name == "v" or name == "t":
            self._taking = self._valued = self._in_cell and not self._phonetic
        elif name == "f":
            self._formula = self._in_cell
        elif name == "rPh":
            self._phonetic = True
        elif name == "row":
            at = attrs.get("r")
            self._number = self._number + 1 if at is None else int(float(at))
            self._count += 1
            if max(self._count, self._number) > MAX_ROWS:
                raise OverExcelLimit(f"has more than {MAX_ROWS:,} rows")
            self._hidden = attrs.get("hidden") in ("1", "true")
            self._cells = {}
            self._column = -1

    def data(self, text: str) -> None:
        if self._taking:
            self._pieces.append(text)
            self._size += len(text)
            _check_length(self._size)

    def end(self, name: str) -> None:
        if ":" in name:
            name = local_name(name)
        if name == "v" or name == "t":
            self._taking = False
        elif name == "rPh":
            self._phonetic = False
        elif name == "c":
            self._in_cell = False
            self._finish_cell()
        elif name == "row":
            self._rows.append(SheetRow(self._number, self._hidden, self._cells))
            self._cells = {}

    def _finish_cell(self) -> None:
        kind = self._kind
        text = "".join(self._pieces)
        # The result that is an empty text is saved as one: t="str" and an empty value.
        if self._formula and not text.strip() and not (kind == "str" and self._valued):
            kind = "f"
        elif kind == "s":
            text = self._shared(int(text)) if text.strip() else ""
        elif kind == "str" or kind == "inlineStr":
            kind = "s"
            text = _text(self._pieces)
        elif not text.strip():
            return
        if kind == "s" and not text:
            return
        if self._column in self._cells:
            raise ValueError(f"row {self._number} has the same cell twice")
        self._cells[self._column] = Cell(kind, text, self._style)


def _check_length(size: int) -> None:
    if size > 8 * MAX_TEXT:  # a character may be written as `_x000D_`
        raise OverExcelLimit(f"has more than {MAX_TEXT:,} characters in a cell")


def _column(at: str) -> int:
    """`B7` → 1."""
    number = 0
    for char in at:
        if not "A" <= char <= "Z":
            if "a" <= char <= "z":
                char = char.upper()
            else:
                break
        number = number * 26 + ord(char) - 64
        if number > MAX_COLUMNS:
            break
    if number == 0:
        raise ValueError(f"{at[:20]!r} is no cell")
    return number - 1


def _text(pieces: list[str]) -> str:
    """A text whole, with what XML cannot hold put back: `_x000D_` is a carriage return."""
    text = "".join(pieces)
    if "_x" in text:
        text = _ESCAPED.sub(lambda m: chr(int(m.group(1), 16)), text)
    if len(text) > MAX_TEXT:
        raise OverExcelLimit(f"has more than {MAX_TEXT:,} characters in a cell")
    return text
