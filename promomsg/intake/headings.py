"""What a heading of a list means: a spreadsheet's guard around it is no part of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from typing import Final

from promomsg import addresses
from promomsg.intake.base import ADDRESSES
from promomsg.intake.guards import bare
from promomsg.suggest import nearest

__all__ = ["are_headings", "folded", "known_column", "means_column"]

_SLIP: Final = 0.8


def folded(heading: str) -> str:
    """A heading without regard to guards, case, blanks, underscores, hyphens and width."""
    return addresses.folded(bare(heading))


def known_column(heading: str) -> str | None:
    """The known column that a heading means (`OPENID`, `open_id`: `openid`); None for any other."""
    return addresses.known_column(bare(heading))


def means_column(cell: str, own: str) -> bool:
    """Whether a cell of a column says its own (folded) heading, or any known column's name."""
    said = folded(cell)
    return said == own or addresses.known_column(said) is not None


def are_headings(cells: Sequence[str], mapped: Collection[str]) -> bool:
    """Whether a first line is a heading line for sure, so that it may be shown.

    One of its cells is a known column or a mapped one, or is a slip of the pen for the longer name
    of one (`opneid`) while no cell has a digit in it. Any other line may be somebody's data.
    """
    if any(known_column(cell) or cell in mapped for cell in cells):
        return True
    if any(map(str.isdigit, "".join(cells))):
        return False
    return any(map(_is_slip, cells))


def _is_slip(cell: str) -> bool:
    near = nearest(cell, ADDRESSES)
    if near is None or near == "id" or abs(len(cell) - len(near)) > 2:
        return False
    return SequenceMatcher(None, folded(cell), folded(near)).ratio() > _SLIP
