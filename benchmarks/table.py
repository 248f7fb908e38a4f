"""Results as text: aligned columns, then every ratio beside its bar."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from benchmarks.result import Judged, Result, Table

__all__ = ["markdown", "render", "render_result"]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def render(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column to the left, the others to the right.

    Raises:
        ValueError: a row has another number of cells than there are columns.
    """
    lines = [list(columns), *(list(row) for row in rows)]
    if any(len(line) != len(columns) for line in lines):
        raise ValueError("every row needs a cell for each column")
    widths = [max(_width(line[at]) for line in lines) for at in range(len(columns))]
    lines.insert(1, ["─" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) if at == 0 else " " * (width - _width(cell)) + cell
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _markdown(table: Table) -> str:
    rule = [":--", *["--:"] * (len(table.columns) - 1)]
    rows = [table.columns, rule, *table.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _tables(result: Result) -> list[Table]:
    return [*result.tables, *([_judged(result.judged)] if result.judged else [])]


def markdown(result: Result) -> str:
    """One suite, for a page of documentation."""
    parts = [f"### {result.suite}"]
    for table in _tables(result):
        parts += [f"{table.title}:", _markdown(table)]
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(parts) + "\n"


def _judged(rows: Sequence[Judged]) -> Table:
    words = {True: "met", False: "NOT MET", None: "–"}
    return Table(
        "Ratios, each taken within its round",
        ["what", "median", "lowest", "highest", "bar", ""],
        [
            [
                row.what,
                f"{row.median:.2f}",
                f"{row.low:.2f}",
                f"{row.high:.2f}",
                row.bar or "–",
                words[row.met] if row.bar else "",
            ]
            for row in rows
        ],
    )


def render_result(result: Result) -> str:
    """One suite, as text."""
    parts = [f"== {result.suite} =="]
    for table in _tables(result):
        parts += [table.title, render(table.columns, table.rows), ""]
    parts += [f"note: {note}" for note in result.notes]
    return "\n".join(parts).rstrip() + "\n"
