"""Markdown pages as the documentation's tests see them: fenced blocks and links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!\!)\[[^\]\n]+\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: its language, and the page's line it begins on."""

    page: str
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[Block]:
    text = read(page)
    return [
        Block(page, found[1], found[2], text.count("\n", 0, found.start(2)) + 1)
        for found in _BLOCK.finditer(text)
        if found[1] == language
    ]


def all_blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, language)]


def links(page: str) -> list[str]:
    return _LINK.findall(_BLOCK.sub("", read(page)))


def headings(page: str) -> set[str]:
    """The page's anchors, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _BLOCK.sub("", read(page)), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in kept}


def section(page: str, title: str) -> str:
    """What stands under a second-level heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", read(page), re.M | re.DOTALL)
    assert found, f"{page} has no section {title!r}"
    return found[1]


def titles(page: str) -> set[str]:
    """The page's headings as they are written."""
    return set(re.findall(r"^#+ (.+)$", _BLOCK.sub("", read(page)), re.MULTILINE))


def paths_in_tables(text: str) -> dict[str, str]:
    """The rows of its tables that begin with a path: the path, and the rest of the row."""
    rows = re.findall(r"^\| `([\w./-]+)` \| (.+) \|$", text, re.MULTILINE)
    assert len(dict(rows)) == len(rows), "a path has two rows"
    return dict(rows)


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row, headings and rules left out."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    rules = [n for n, row in enumerate(rows) if set("".join(row)) <= set("-:| ")]
    skipped = {*rules, *(n - 1 for n in rules)}
    return [row for n, row in enumerate(rows) if n not in skipped]
