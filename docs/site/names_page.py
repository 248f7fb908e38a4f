"""The table of public names on docs/reference/index.md, and which page has which of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

from outside import ROOT

import promomsg

_PAGES: Final = ROOT / "docs" / "reference"
_NAME: Final = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
_MADE: Final = "<!-- made: names -->"


def pages_of_names() -> dict[str, list[Path]]:
    """The pages of the reference on which each name stands."""
    found: dict[str, list[Path]] = {}
    for page in sorted(_PAGES.glob("*.md")):
        for name in _NAME.findall(page.read_text(encoding="utf-8")):
            found.setdefault(name, []).append(page)
    return found


def _about(name: str) -> str:
    """The first sentence of a name's own docstring; nothing of a type that is only an alias."""
    value = getattr(promomsg, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)) or value is str:
        return "a type, for annotations"
    first = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=\.) |: `|:$", first)[0].rstrip(":.")
    return re.sub(r" \(docs/[^)]+\)", "", sentence).replace("|", "\\|")


def with_names(text: str) -> str:
    """The page with the table in its place."""
    pages = pages_of_names()
    missing = [name for name in promomsg.__all__ if f"promomsg.{name}" not in pages]
    if missing:
        raise SystemExit(
            f"docs/reference/ has no line for {', '.join(missing)}; give each one on a page"
        )
    rows = ["| name | what it is |", "| --- | --- |"]
    for name in promomsg.__all__:
        page = pages[f"promomsg.{name}"][0].name
        rows.append(f"| [`{name}`]({page}#promomsg.{name}) | {_about(name)} |")
    return text.replace(_MADE, "\n".join(rows))
