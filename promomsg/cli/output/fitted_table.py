"""A table on a terminal: as wide as it is, and never with a word, a number or a key cut off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from promomsg.cli.language.terminal_language import SHOWN_WORDS, _
from promomsg.cli.language.wide_text import folded, width
from promomsg.cli.output.terminal_page import Page, style_of_word

__all__ = ["FittedTable"]

_BETWEEN: Final = "  "
_TEXT: Final = 28
"""Columns that a column of sentences gets, before another is left out for it."""
_NARROWEST: Final = 16
"""Columns that any column of text gets; with less a row is shown as lines of its own."""
_CLEAR: Final = frozenset(("", "state", "verdict", "code", "what"))
"""Headings of columns whose words say without it what they are."""
_COUNTS: Final = frozenset(("failed", "unknown"))


class FittedTable:
    """Rows under headings, as wide as the terminal at the most.

    What is too wide is folded within its column, but for the first, which says what the row is of. Where that
    is not enough, columns that can be missed are left out; and where that is not, each row is a few lines, all
    columns with their names.

    Args:
        page: the terminal.
        headings: in English.
        first: the first rows, by which the widths are chosen.
        to_the_right: which columns are numbers.
        optional: headings of columns that can be missed, the first of them first.
        indent: columns before each line.
    """

    def __init__(
        self, page: Page, headings: Sequence[str], first: Sequence[Sequence[str]], *,
        to_the_right: Sequence[bool], optional: Sequence[str] = (), indent: int = 0,
    ) -> None:  # fmt: skip
        self._page = page
        self._names = headings
        self._shown_names = [_(name) for name in headings]
        self._right = to_the_right
        self._indent = indent
        self._words = {_(word): style_of_word(word) for word in SHOWN_WORDS if style_of_word(word)}
        self._natural = [
            max(width(row[at]) for row in [tuple(self._shown_names), *first])
            for at in range(len(headings))
        ]
        self._sentences = [
            any(" " in row[at].strip() and width(row[at]) > _TEXT for row in first)
            for at in range(len(headings))
        ]
        self.widths: dict[int, int] | None = None
        """Columns of each column that is shown, by its number; None: each row is lines of its own."""
        self.left_out: list[str] = []
        """The headings of those that are not shown."""
        self._choose(optional)

    def _choose(self, optional: Sequence[str]) -> None:
        shown = list(range(len(self._names)))
        for missed in (None, *optional):
            if missed is not None:
                shown.remove(self._names.index(missed))
                self.left_out.append(missed)
            texts = [at for at in shown if self._sentences[at]]
            self.widths = self._fitted(shown, texts)
            if self.widths is not None:
                return
        self.widths = self._fitted(shown, [at for at in shown[1:] if not self._right[at]])
        if self.widths is None:
            self.left_out = []

    def _fitted(self, shown: list[int], flexible: list[int]) -> dict[int, int] | None:
        """Widths that fit, when these columns may be narrower; None when none do."""
        assert self._page.columns is not None
        widths = {at: self._natural[at] for at in shown}
        over = self._indent + sum(widths.values()) + len(_BETWEEN) * (len(shown) - 1)
        over -= self._page.columns
        while over > 0:
            widest = max(flexible, key=lambda at: widths[at], default=None)
            if widest is None:
                return None
            if widths[widest] <= (_TEXT if self._sentences[widest] else _NARROWEST):
                return None
            widths[widest] -= 1
            over -= 1
        return widths

    def print(self, rows: Iterable[Sequence[str]]) -> int:
        """Prints the headings and the rows as they come; returns how many."""
        number = 0
        for number, row in enumerate(rows, 1):
            if self.widths is None:
                self._put_lines(row)
                continue
            if number == 1:
                self._put_headings(self.widths)
            self._put_row(row, self.widths)
        if not number and self.widths is not None:
            self._put_headings(self.widths)
        return number

    def _put_headings(self, widths: dict[int, int]) -> None:
        self._put_row(self._shown_names, widths, is_heading=True)
        rule = _BETWEEN.join("─" * wide for wide in widths.values())
        self._print(self._page.styled(rule, "faint"))

    def _put_row(
        self, row: Sequence[str], widths: dict[int, int], *, is_heading: bool = False
    ) -> None:
        cells = {
            at: [row[at]] if self._right[at] else folded(row[at], wide)
            for at, wide in widths.items()
        }
        for line in range(max(map(len, cells.values()))):
            parts = []
            for at, wide in widths.items():
                text = cells[at][line] if line < len(cells[at]) else ""
                space = " " * max(wide - width(text), 0)
                style = "strong" if is_heading else self._style(at, row[at])
                shown = self._page.styled(text, style)
                parts.append(space + shown if self._right[at] else shown + space)
            self._print(_BETWEEN.join(parts).rstrip())

    def _put_lines(self, row: Sequence[str]) -> None:
        """The first cell, then short ones with their names side by side, then sentences."""
        page, first = self._page, row[0]
        style = self._style(0, first) or "strong"
        for line in folded(first, (page.columns or 0) - self._indent) if first else ():
            self._print(page.styled(line, style))
        room = (page.columns or 0) - self._indent - 2
        short, long = [], []
        for at in range(1, len(row)):
            name = self._shown_names[at]
            if row[at] and (self._sentences[at] or width(f"{name} {row[at]}") > room):
                long.append(row[at])
            elif row[at]:
                text = page.styled(row[at], self._style(at, row[at]))
                is_clear = self._names[at] in _CLEAR
                short.append(text if is_clear else f"{page.styled(name, 'faint')} {text}")
        page.flow(short, indent=self._indent + 2)
        for text in long:
            for line in folded(text, room):
                self._print("  " + line)

    def _style(self, at: int, cell: str) -> str:
        name = self._names[at]
        if name in _COUNTS and self._right[at]:
            return style_of_word(name) if cell.strip("0–") else ""
        return self._words.get(cell, "")

    def _print(self, line: str) -> None:
        print(" " * self._indent + line if line else "", file=self._page.file)
