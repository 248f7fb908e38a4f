"""Spreadsheet guards: what spreadsheets and exports put around a value, taken off again.

A spreadsheet is kept from reading `1001` as a number, or `-k2` as a formula, by `="1001"`, by a
leading apostrophe, backtick or tab; copying adds blanks and characters that nobody sees. None of
that is part of who is meant. `report --format csv` writes an apostrophe before a formula too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from promomsg.control_characters import FILLERS, is_printable, trimmed
from promomsg.plural import counted

__all__ = [
    "SpreadsheetGuards",
    "formula_without_guard",
    "guard_formula",
    "key_without_guards",
    "may_hold_guards",
    "parameter_without_guards",
    "with_and_without_guards",
    "without_guards",
]

_FORMULA_TEXT: Final = re.compile(r'=\s*"((?:[^"]|"")*)"')
_DOUBLED: Final = re.compile(r'=\s*""([^"]*)""')
_MARKS: Final = "'`"
_FORMULA_STARTS: Final = "=+-@\t\r\n＝＋－＠"
"""A spreadsheet of an East Asian locale takes the full-width forms for the same."""
_NUMBER: Final = re.compile(r"[+-]?\d[\d.,]*", re.ASCII)
_PLAIN_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_TEXT_SUSPECTS: Final = ("\t", "\ufeff", '"', "'", "`")
_LAYERS: Final = 4
"""Guards put on by several programs one after the other."""
_SUSPECTS: Final = (*"\"'`= ", *FILLERS)


def without_guards(cell: str) -> str:
    """The cell without blanks, invisible characters and guards around it: `="1001"` is `1001`.

    Of an address. A word that begins with an apostrophe loses it too: see `with_and_without_guards`.
    """
    text = trimmed(cell)
    for _ in range(_LAYERS):
        inner = _inside_quotes(text)
        if inner is None and text[:1] in _MARKS:
            inner = text[1:]
        if inner is None:
            return text
        text = trimmed(inner)
    return text


def with_and_without_guards(cell: str) -> tuple[str, ...]:
    """The trimmed cell, and the bare one when that differs: `'t Hooft` is a name, `'1001` is not.

    Empty when there is nothing in it.
    """
    text = trimmed(cell)
    inside = without_guards(text)
    return tuple(form for form in dict.fromkeys((text, inside)) if form)


def key_without_guards(cell: str) -> str:
    """A key without guards. Plain blanks around it are left: a key is compared to the letter.

    An apostrophe before words with a blank between them (`'t Hooft`) is part of the key.
    """
    text = trimmed(cell)
    inside = without_guards(text)
    if inside == text:
        return cell if cell.strip(" ") == text else text
    if text[0] in _MARKS and any(map(str.isspace, inside)) and inside[0] not in _FORMULA_STARTS:
        return text
    return inside


def parameter_without_guards(cell: str) -> str:
    """A parameter without what is surely a guard: a tab, `="…"`, an apostrophe before a number or
    a formula's first character, quotes after a blank. Anything else is what somebody wrote."""
    text = cell.lstrip("\ufeff\t")
    for _ in range(_LAYERS):
        core = trimmed(text)
        inner = None
        if (core[:1] == "=" and core[-1:] == '"') or (core[:1] == '"' and text[:1] != '"'):
            inner = _inside_quotes(core)
        elif core[:1] in _MARKS and (
            core[1:2] in tuple(_FORMULA_STARTS) or _NUMBER.fullmatch(core[1:])
        ):
            inner = core[1:]
        if inner is None:
            break
        text = inner.lstrip("\t")
    return text


def guard_formula(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before it; for every CSV
    that we write, since strangers choose names. A plain number is left, also a negative one."""
    if text.lstrip()[:1] not in tuple(_FORMULA_STARTS) and text[:1] not in tuple(_FORMULA_STARTS):
        return text
    return text if _PLAIN_NUMBER.fullmatch(text) else f"'{text}"


def formula_without_guard(cell: str) -> str:
    """What `guard_formula` made the cell from."""
    return cell[1:] if cell[:1] == "'" and guard_formula(cell[1:]) == cell else cell


def may_hold_guards(joined: str) -> bool:
    """Whether a column, all its cells joined, may hold a guard, a blank or something invisible.

    One look at the whole column, so that clean cells cost nothing each.
    """
    return not is_printable(joined) or any(char in joined for char in _SUSPECTS)


class SpreadsheetGuards:
    """Takes the guards off whole columns, and counts the cells that had one.

    Attributes:
        count: cells that were not what they looked like, blanks around them left out of account.
        padded_keys: keys with blanks around them, which stay.
    """

    def __init__(self) -> None:
        self.count = 0
        self.padded_keys = 0

    def take_off_known(self, name: str, column: Sequence[Any]) -> Sequence[Any]:
        """A known column's cells (`key`, or an address, token or request id) without guards."""
        if name != "key":
            return self._count_taken_off(without_guards, column)
        keys = self._count_taken_off(key_without_guards, column)
        self.padded_keys += sum(bool(key.strip(" ")) and key != key.strip(" ") for key in keys)
        return keys

    def take_off_parameters(self, column: Sequence[str]) -> Sequence[str]:
        """A parameter's cells without what is surely a guard."""
        joined = "".join(column)
        if not any(char in joined for char in _TEXT_SUSPECTS):
            return column
        return self._count_taken_off(parameter_without_guards, column)

    def _count_taken_off(
        self, take_off: Callable[[str], str], column: Sequence[str]
    ) -> Sequence[str]:
        cells = list(map(take_off, column))
        self.count += sum(a != b and a != b.strip() for a, b in zip(cells, column, strict=True))
        return cells

    def notices(self, where: str) -> list[str]:
        """What the plan says of them."""
        notices = []
        if self.padded_keys:
            keys = counted(
                self.padded_keys, "key has blanks around it", "keys have blanks around them"
            )
            notices.append(
                f"{where}: {keys}, which are kept: `--test-to` needs them, "
                "a suppression list does not"
            )
        if not self.count:
            return notices
        cells = counted(self.count, "cell")
        return [
            *notices,
            f'{where}: what programs put around a value (="1", an apostrophe, a tab, characters '
            f"that nobody sees) was taken off {cells}",
        ]


def _inside_quotes(text: str) -> str | None:
    """What stands in `="…"` or in quotes of its own; None when there are none."""
    if text[-1:] != '"':
        return None
    if text[:1] == "=":
        if found := _FORMULA_TEXT.fullmatch(text):
            return found[1].replace('""', '"')
        if found := _DOUBLED.fullmatch(text):  # escaped for a CSV, and never read as one
            return found[1]
        return None
    if text[:1] == '"' and len(text) > 1:
        return text[1:-1].replace('""', '"')
    return None
