"""click's help in the language of the terminal: its texts are translated where they are written, and
wrapped by the columns that they take."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import click

from promomsg.cli.language.terminal_language import _, is_wide, translated
from promomsg.cli.language.wide_text import width, wrapped

__all__ = ["HelpContext"]

_MORE: Final = re.compile(r"(.*?)(?:  \[(.*)\])?", re.DOTALL)
"""An option's help, and what click adds: `[default: 64; required]`."""


class _HelpPages(click.HelpFormatter):
    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """The first line."""
        super().write_usage(prog, args, prefix or f"{_('Usage')}: ")

    def write_heading(self, heading: str) -> None:
        """What stands above a section."""
        super().write_heading(_(heading))

    def write_text(self, text: str) -> None:
        """Paragraphs."""
        if not is_wide():
            super().write_text(text)
            return
        indent = " " * self.current_indent
        paragraphs = [
            "\n".join(
                indent + line
                for line in wrapped(
                    translated(" ".join(paragraph.split())), self.width - len(indent)
                )
            )
            for paragraph in re.split(r"\n\s*\n", text)
        ]
        self.write("\n\n".join(paragraphs) + "\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Options or commands, each with what it does."""
        if not is_wide():
            super().write_dl(rows, col_max, col_spacing)
            return
        listed = list(rows)
        first = min(max((width(term) for term, _ in listed), default=0), col_max) + col_spacing
        for term, text in listed:
            lines = wrapped(_with_more(text), max(self.width - first - self.current_indent, 10))
            self.write(" " * self.current_indent + term)
            if width(term) + col_spacing > first:
                self.write("\n" + " " * (self.current_indent + first))
            else:
                self.write(" " * (first - width(term)))
            self.write(("\n" + " " * (self.current_indent + first)).join(lines or [""]) + "\n")


def _with_more(text: str) -> str:
    found = _MORE.fullmatch(text)
    assert found is not None
    if found[2] is None:
        return translated(text)
    return f"{translated(found[1])}  [{'；'.join(map(_added, found[2].split('; ')))}]"


def _added(text: str) -> str:
    name, mark, value = text.partition(": ")
    return f"{_(name)}{mark}{value}"


class HelpContext(click.Context):
    """The context of a command whose help is in the language of the terminal."""

    formatter_class = _HelpPages
