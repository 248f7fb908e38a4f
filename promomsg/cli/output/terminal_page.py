"""What a terminal is to a text: so many columns, and perhaps colours. Elsewhere lines are whole and plain."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import IO, Final

from promomsg.cli.language.wide_text import padded, width, wrapped

__all__ = ["Page", "is_drawable", "style_of_count", "style_of_word"]

_LEAST: Final = 20
"""Columns that lines have at the least, however narrow the terminal says that it is."""
_USUAL: Final = 80
"""Columns of a terminal that does not say how many it has."""
_CODES: Final = {"alarm": "1;31", "doubt": "33", "good": "32", "strong": "1", "faint": "2"}
"""What colours mean. Each stands on a word or a number that says the same without it."""
_STYLES: Final = {
    "halted": "alarm", "failed": "alarm", "fail": "alarm", "refused": "alarm", "gone": "alarm",
    "unknown": "doubt", "stopped": "doubt", "paused": "doubt", "warn": "doubt", "cancelled": "doubt",
    "done": "good", "ok": "good",
}  # fmt: skip
_SGR: Final = re.compile(r"\x1b\[[\d;]*m")
_COMMAND: Final = re.compile(r"(.*[;；,，] ?)?([^;；,，]*[:：] ?promomsg \S.*)", re.DOTALL)
"""What comes before the clause that ends with a command, and that clause."""


def style_of_word(word: str) -> str:
    """How a state or a level is shown, by its English word; empty: as any other text."""
    return _STYLES.get(word, "")


def style_of_count(name: str, number: int) -> str:
    """How a count is shown: some that failed, or of whom nothing is known, need an eye."""
    return style_of_word(name) if number and name in ("failed", "unknown") else ""


def is_drawable(is_terminal: bool, environment: Mapping[str, str]) -> bool:
    """Whether lines can be redrawn and have colours: not on `TERM=dumb`, without TERM, or with NO_COLOR."""
    name = environment.get("TERM", "")
    return is_terminal and name not in ("", "dumb", "unknown") and not environment.get("NO_COLOR")


class Page:
    """Lines for a person. On a terminal none is broken within a word; elsewhere they are as they come.

    Args:
        file: where they go; default: standard output.

    Attributes:
        columns: of the terminal, as it is now; None where there is none, and lines have any length.
        has_colours: whether words may be coloured.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self.file = file or sys.stdout
        is_terminal = self.file.isatty()
        self.columns = _columns_of(self.file) if is_terminal else None
        self.has_colours = is_drawable(is_terminal, os.environ)

    def styled(self, text: str, style: str) -> str:
        """The text in a colour, where there are any; a style of `""` leaves it as it is."""
        if not self.has_colours or not style or not text:
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"

    def put(
        self, text: str = "", *, indent: int = 0, hang: int = 0, style: str = "", head: str = ""
    ) -> None:
        """A line, or as many as it takes: the first is indented so far, the others `hang` columns more.

        Args:
            style: of the text, or only of its `head`, the words that it begins with.
        """
        for number, line in enumerate(self.lines(text, indent + hang, first=indent)):
            margin = " " * (indent + hang if number else indent)
            if head and not number and line.startswith(head):
                line = self.styled(head, style) + line.removeprefix(head)
            elif not head:
                line = self.styled(line, style)
            print(margin + line, file=self.file, flush=self.file is sys.stderr)

    def field(self, name: str, value: str, *, at: int, indent: int = 2, style: str = "") -> None:
        """A name, and from the column `at` on its value."""
        start = max(at, indent + width(name) + 1)
        label = " " * indent + padded(name, start - indent)
        for number, line in enumerate(self.lines(value, start)):
            margin = " " * start if number else label
            print((margin + self.styled(line, style)).rstrip(), file=self.file)

    def lines(self, text: str, margin: int = 0, *, first: int | None = None) -> list[str]:
        """A text as lines that fit behind a margin; one line where there is no terminal.

        Args:
            first: the margin of the first line, when it is another.
        """
        if self.columns is None:
            return [text]
        room = max(self.columns - margin, _LEAST // 2)
        ahead = margin - (margin if first is None else first)
        if width(text) <= room + ahead:
            return [text]
        if found := _COMMAND.fullmatch(text):
            # Whoever copies a command gets it in one piece: the terminal itself wraps what is too long.
            before, clause = found.groups()
            return [*(self._flowed(before.rstrip(), room, ahead) if before else ()), clause]
        return self._flowed(text, room, ahead)

    def _flowed(self, text: str, room: int, ahead: int) -> list[str]:
        # A mark stands for the columns that the first line has more, or less.
        if ahead <= 0:
            mark = "x" * -ahead
            lines = wrapped(mark + text, room)
            return [lines[0].removeprefix(mark), *lines[1:]] if lines else [text]
        head = wrapped(text, room + ahead)[0]
        rest = text[len(head) :].lstrip()
        return [head, *(wrapped(rest, room) if rest else ())]

    def flow(self, parts: Iterable[str], *, indent: int = 2, between: str = "  ") -> None:
        """Parts side by side, none of which is broken."""
        line = ""
        for part in parts:
            full = indent + width(_SGR.sub("", line + between + part))
            if line and self.columns is not None and full > self.columns:
                print(" " * indent + line.rstrip(), file=self.file)
                line = ""
            line += (between if line else "") + part
        if line:
            print(" " * indent + line.rstrip(), file=self.file)


def _columns_of(file: IO[str]) -> int:
    """By COLUMNS, else by what the terminal says."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and int(asked):
        return max(int(asked), _LEAST)
    try:
        found = os.get_terminal_size(file.fileno()).columns
    except (OSError, ValueError):
        found = 0
    return max(found or _USUAL, _LEAST)
