"""What the plan says of a text file: what was left out of it or mended, and what stood out."""

from __future__ import annotations

from typing import Final

from promomsg.intake.guards import Guards
from promomsg.intake.row_values import WordsForNothing

__all__ = ["ReadingNotes"]

_EXAMPLES: Final = 3


class ReadingNotes:
    """What was left out, or stood out, while the file was read.

    Args:
        where: the file.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self.words = WordsForNothing(where)
        self.blank = 0
        self.headings = 0
        self.guards = Guards()
        self._several: list[int] = []
        self._spread = 0

    def several_lines(self, line: int) -> None:
        """A record runs over several lines, from this one on."""
        self._spread += 1
        if len(self._several) < _EXAMPLES:
            self._several.append(line)

    def notices(self) -> list[str]:
        """One line each."""
        where, said = self._where, self.words.notices()
        if self.blank:
            said.append(f"{where}: {self.blank} blank lines left out")
        if self.headings:
            times = "once" if self.headings == 1 else f"{self.headings:,} times"
            said.append(
                f"{where}: the heading line stands there {times} more, as in files that were "
                "joined; it is no recipient"
            )
        if self._spread:
            at = ", ".join(map(str, self._several)) + (" …" * (self._spread > _EXAMPLES))
            rows = "1 row runs" if self._spread == 1 else f"{self._spread:,} rows run"
            said.append(
                f"{where}: {rows} over several lines, as a quoted cell does (line {at}); "
                "is a quote left open?"
            )
        return said + self.guards.notices(where)
