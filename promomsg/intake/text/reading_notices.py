"""What the plan says of a text file: what was left out of it or mended, and what stood out."""

from __future__ import annotations

from typing import Final

from promomsg.intake.empty_cell_words import EmptyCellWords
from promomsg.intake.spreadsheet_guards import SpreadsheetGuards
from promomsg.plural import counted

__all__ = ["ReadingNotices"]

_EXAMPLES: Final = 3


class ReadingNotices:
    """What was left out, or stood out, while the file was read.

    Args:
        where: the file.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self.empty_words = EmptyCellWords(where)
        self.blank = 0
        self.headings = 0
        self.guards = SpreadsheetGuards()
        self._several: list[int] = []
        self._spread = 0

    def several_lines(self, line: int) -> None:
        """A record runs over several lines, from this one on."""
        self._spread += 1
        if len(self._several) < _EXAMPLES:
            self._several.append(line)

    def notices(self) -> list[str]:
        """One line each."""
        where, notices = self._where, self.empty_words.notices()
        if self.blank:
            notices.append(f"{where}: {counted(self.blank, 'blank line')} left out")
        if self.headings:
            times = "once" if self.headings == 1 else f"{self.headings:,} times"
            notices.append(
                f"{where}: the heading line stands there {times} more, as in files that were "
                "joined; it is no recipient"
            )
        if self._spread:
            at = ", ".join(map(str, self._several)) + (" …" * (self._spread > _EXAMPLES))
            rows = counted(self._spread, "row runs", "rows run")
            notices.append(
                f"{where}: {rows} over several lines, as a quoted cell does (line {at}); "
                "is a quote left open?"
            )
        return notices + self.guards.notices(where)
