"""What a heading of a list means: a spreadsheet's guard around it is no part of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from promomsg import addresses
from promomsg.intake.sources import ADDRESSES, KNOWN
from promomsg.intake.spreadsheet_guards import without_guards
from promomsg.suggest import nearest

__all__ = ["REPORT_HEADINGS", "are_headings", "column_of_heading", "folded_heading", "spellings"]

REPORT_HEADINGS: Final = ("key", "verdict", "code", "detail", "attempts", "group", "at")
"""The headings of `report --format csv`: such a file names everybody that it is about."""

_SLIP: Final = 0.8
_SHORT: Final = ("key", "id")
_DIGITS: Final = 3
_LONGEST: Final = 40


def folded_heading(heading: str) -> str:
    """A heading without regard to guards, case, blanks, underscores, hyphens and width."""
    return addresses.folded(without_guards(heading))


def column_of_heading(heading: str) -> str | None:
    """The known column that a heading means (`OPENID`, `open_id`: `openid`); None for any other."""
    return addresses.known_column(without_guards(heading))


def spellings(headings: Sequence[str]) -> frozenset[str]:
    """How these headings and the known columns are usually spelt, a BOM before them or not: for a
    quick look whether any of them is among many cells."""
    names = {*KNOWN, *headings}
    names |= {name.replace("_", " ") for name in names} | {name.replace("_", "") for name in names}
    names |= {"open id", "union id", "open_id", "union_id", "openId", "unionId"}
    names |= {"Open ID", "Union ID", "accessToken", "requestId"}
    names |= {form(n) for n in names for form in (str.upper, str.lower, str.capitalize, str.title)}
    return frozenset(names | {f"\ufeff{name}" for name in names})


def are_headings(cells: Sequence[str], mapped: Collection[str]) -> bool:
    """Whether a first line is a heading line for sure, so that it may be shown.

    One of its cells is a known column or a mapped one, or a slip of the pen for one (`opneid`).
    A short name may be somebody's own (Key, Ida), and a slip anybody's: they say so only where no
    cell looks like a number, an address or a token. Any other line may be data.
    """
    if any(column_of_heading(cell) not in (None, *_SHORT) or cell in mapped for cell in cells):
        return True
    if any(map(_is_data, cells)):
        return False
    return any(column_of_heading(cell) or _is_slip(cell) for cell in cells)


def _is_data(cell: str) -> bool:
    return sum(map(str.isdigit, cell)) >= _DIGITS or len(cell) > _LONGEST


def _is_slip(cell: str) -> bool:
    near = nearest(cell, ADDRESSES)
    if near is None or near == "id" or abs(len(cell) - len(near)) > 2:
        return False
    # Loaded for a heading that is nearly a known one.
    from difflib import SequenceMatcher

    return SequenceMatcher(None, folded_heading(cell), folded_heading(near)).ratio() > _SLIP
