"""Words that exports write for an empty cell, counted among the parameters of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from promomsg.plural import counted

__all__ = ["EmptyCellWords"]

_WORDS: Final = frozenset(
    word
    for base in ("none", "null", "nan", "nat", "n/a", "#n/a", "<na>", "undefined", "(null)", "nil")
    for word in (base, base.upper(), base.capitalize(), base.replace("n", "N"))
) | {"#NULL!", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "NaN", "NaT", "\\N"}
"""What programs write for a cell without a value, or for one that they could not compute."""


class EmptyCellWords:
    """Counts the parameters that read `None`, `NULL`, `nan` or `#N/A`, as exports write for an
    empty cell. They are sent as they are, since somebody may be called Null; a notice counts them.

    Args:
        where: the list, for the notice.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._counts: dict[str, int] = {}
        self._example: dict[str, str] = {}

    def count(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Looks through some columns of parameters, by name."""
        for name, column in columns.items():
            # By exact type: another one may have no hash, or one of its own.
            if found := [v for v in column if type(v) is str and v in _WORDS]:
                self._counts[name] = self._counts.get(name, 0) + len(found)
                self._example.setdefault(name, found[0])

    def notices(self) -> list[str]:
        """One a column."""
        return [
            f"{self._where}: {counted(count, 'value')} in {name!r} read like {self._example[name]!r}, "
            "which exports write for an empty cell: that is sent as it is; empty such cells to have "
            "it left out"
            for name, count in sorted(self._counts.items())
        ]
