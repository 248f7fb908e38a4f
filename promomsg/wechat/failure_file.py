"""A group's failure file, read in whatever plausible shape it comes.

Its format is not published (docs/facts/wechat.md, "Wire oddities"): a JSON array, JSON
lines, and CSV or TSV of id and errcode are read; what cannot be read is counted, never guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from promomsg.addresses import has_address_shape
from promomsg.model import Failure
from promomsg.plural import counted
from promomsg.untrusted_json import (
    ConflictingKeys,
    NotJsonError,
    parse,
    parse_at,
    to_code,
    to_text,
)

__all__ = ["Collector", "parse_failures"]

_ID_NAMES: Final = frozenset({"id", "promoter_id", "promoterid", "推广员id"})
_CODE_NAMES: Final = frozenset({"errcode", "err_code", "error_code", "code", "错误码"})
_LISTS: Final = ("fail_info", "data_list", "data", "list")
_SPACE: Final = " \t\r\n"
_SPACES: Final = re.compile(r"[ \t\r\n]+")
_LINE: Final = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_LONGEST_RECORD: Final = 8_192
"""Characters within which a JSON line with line feeds in it has to end: a broken file of many open
quotes would be read over and over."""
_MOST_UNREADABLE: Final = 20_000
"""Records that cannot be read, after which the rest is not tried: a file of nothing else would take
seconds of a processor. Whoever is not named then is not guessed."""
_MOST_IN_VAIN: Final = 500
"""Lines that were tried as the beginning of an object over several lines, and were none."""
_MOST: Final = 1_000_000
"""Failures read of one answer or file. No group comes near; a hostile file could fill the memory."""


class Collector:
    """Failures one by one, each promoter once; the rest is counted."""

    def __init__(self) -> None:
        self.failures: dict[str, Failure] = {}
        self.unreadable = 0
        self.repeated = 0
        self.not_failed = 0
        self._first_unreadable: str | None = None

    @property
    def full(self) -> bool:
        """Whether no more are taken."""
        return len(self.failures) >= _MOST or self.unreadable >= _MOST_UNREADABLE

    def add(self, id: object, errcode: object, where: str) -> None:
        """One record; `where` says which for the warning."""
        name, code = to_text(id, 128), to_code(errcode)
        if name is None or code is None:
            self.skip(where)
        elif code == "0":
            self.not_failed += 1  # a record that says ok is not a failure
        elif name in self.failures:
            self.repeated += 1
        else:
            self.failures[name] = Failure(name, code)

    def add_item(self, item: Any, where: str) -> None:
        """One decoded JSON record."""
        if isinstance(item, dict) and not isinstance(item, ConflictingKeys):
            self.add(item.get("id"), item.get("errcode"), where)
        else:
            self.skip(where)

    def skip(self, where: str) -> None:
        """One record that cannot be read."""
        self.unreadable += 1
        self._first_unreadable = self._first_unreadable or where

    def warnings(self) -> list[str]:
        """What a person should know of the records that are not among the failures."""
        warnings = []
        if len(self.failures) >= _MOST:
            warnings.append(f"no more than {_MOST} are read")
        if self.unreadable >= _MOST_UNREADABLE:
            warnings.append("what follows so many unreadable records is not read")
        if self.unreadable:
            warnings.append(
                f"{self.unreadable} cannot be read as id and errcode "
                f"(the first: {self._first_unreadable})"
            )
        if self.repeated:
            warnings.append(f"{self.repeated} name a promoter again (the first one counts)")
        if self.not_failed:
            warnings.append(f"{self.not_failed} have errcode 0, which is no failure")
        return warnings


def parse_failures(raw: bytes) -> tuple[list[Failure], str | None]:
    """The failures that a failure file names, each promoter once, and a warning or None.

    Args:
        raw: UTF-8 with or without BOM; bytes that are not UTF-8 spoil only their own record.

    Never raises; keeps nothing of a record but its id and code.
    """
    text = raw.decode("utf-8-sig", "replace")
    found = Collector()
    warnings: list[str] = []
    start = text.lstrip(_SPACE)[:1]
    if not start:
        return [], "failure file: it is empty"
    if start == "[":
        cut = _read_array(text, text.index("["), found)
    elif start == "{":
        cut = _read_objects(text, found)
    else:
        cut = None
        _read_table(text, found)
    if cut is not None:
        warnings.append(cut)
    warnings.extend(found.warnings())
    if not warnings:
        return list(found.failures.values()), None
    read = len(found.failures)
    return list(
        found.failures.values()
    ), f"failure file, {counted(read, 'failure')} read: " + "; ".join(warnings)


def _read_array(text: str, start: int, found: Collector) -> str | None:
    """Reads an array item by item, so that a cut or broken one gives what stands before."""
    at, number = start + 1, 0
    while True:
        at = _skip_space(text, at)
        if text[at : at + 1] == "]":
            rest = text[at + 1 : at + 4096].strip(_SPACE)
            return f"what follows the array (from character {at + 1}) is not read" if rest else None
        number += 1
        try:
            item, end = parse_at(text, at)
        except NotJsonError:
            return f"it is cut or broken from character {at} on, record {number}"
        found.add_item(item, f"record {number}")
        if found.full:
            return None
        at = _skip_space(text, end)
        mark = text[at : at + 1]
        if mark == ",":
            at += 1
        elif mark != "]":
            return f"it is cut or broken from character {at} on, after record {number}"


def _skip_space(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return at if found is None else found.end()


def _read_objects(text: str, found: Collector) -> str | None:
    """One object around a list, or JSON lines."""
    try:
        whole = parse(text)
    except NotJsonError:
        _read_json_lines(text, found)
        return None
    if isinstance(whole, dict) and "id" not in whole and not isinstance(whole, ConflictingKeys):
        for name in _LISTS:
            if isinstance(whole.get(name), list):
                for number, item in enumerate(whole[name][:_MOST], 1):
                    found.add_item(item, f"record {number}")
                return None
    found.add_item(whole, "record 1")
    return None


def _read_json_lines(text: str, found: Collector) -> None:
    """One object a line; a raw line feed in a text of it does not end the object."""
    read_to = in_vain = 0
    for number, match in enumerate(_LINE.finditer(text), 1):
        line = match[1].strip(_SPACE)
        if not line or match.start() < read_to:
            continue
        try:
            found.add_item(parse(line), f"line {number}")
        except NotJsonError:
            item, read_to = _over_lines(text, match) if in_vain < _MOST_IN_VAIN else (None, 0)
            if read_to:
                found.add_item(item, f"line {number}")
            else:
                in_vain += 1
                found.skip(f"line {number}")
        if found.full:
            break


def _over_lines(text: str, line: re.Match[str]) -> tuple[Any, int]:
    """An object that begins on a line and ends with a later one, and where; 0: there is none."""
    try:
        item, end = parse_at(text[line.start() : line.start() + _LONGEST_RECORD], 0)
    except NotJsonError:
        return None, 0
    rest = _LINE.match(text, line.start() + end)
    ends_a_line = rest is None or not rest[1].strip(_SPACE)
    return (item, line.start() + end) if ends_a_line else (None, 0)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # One by one: a list of the lines, or a StringIO, takes several times the file's size.
    for number, match in enumerate(_LINE.finditer(text), 1):
        line = match[1].strip(_SPACE)
        if line:
            yield number, line


def _read_table(text: str, found: Collector) -> None:
    """CSV, TSV or semicolons, line by line: an open quote spoils its own line only."""
    delimiter = ""
    columns = (0, 1)
    for number, line in _lines(text):
        if not delimiter:
            delimiter = next((mark for mark in "\t;" if mark in line and "," not in line), ",")
            header = _header([cell.lower() for cell in _cells(line, delimiter)])
            if header is not None:
                columns = header
                continue
        cells = _cells(line, delimiter)
        if len(cells) <= max(columns) or not has_address_shape(cells[columns[0]]):
            found.skip(f"line {number}")
        else:
            found.add(cells[columns[0]], cells[columns[1]], f"line {number}")
        if found.full:
            return


def _header(cells: list[str]) -> tuple[int, int] | None:
    """The columns of id and errcode when this line is a heading."""
    id_at, code_at = _find(cells, _ID_NAMES), _find(cells, _CODE_NAMES)
    return None if id_at is None or code_at is None else (id_at, code_at)


def _find(cells: Iterable[str], names: frozenset[str]) -> int | None:
    return next((at for at, cell in enumerate(cells) if cell in names), None)


def _cells(line: str, delimiter: str) -> list[str]:
    if '"' in line:
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
        except (csv.Error, StopIteration):
            return []
    return [cell.strip() for cell in line.split(delimiter)]
