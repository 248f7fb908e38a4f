"""Files outside of docs/ as pages of the site, and links as they are in the repository as links of it.

On a code host a page links to `../promomsg/states.py` or to `../CHANGELOG.md`. In the site the pages at the
repository's top are pages too, below `project/`, and a file of the source is a page that shows it, below
`source/`. So that no link of the site leads to another host.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCED: Final = re.compile(r"^(`{3,})[^\n]*\n.*?^\1`*$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"(\[[^\]\n]*\])\(([^)\s]+)\)")
_BREAK: Final = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[`\u3000-\u9fff\uff00-\uffef])")
_SOURCE_OF: Final = re.compile(r"(<img\b[^>]*\bsrc=\")([^\"]+)(\")")
_LANGUAGES: Final = {
    ".py": "python", ".c": "c", ".sql": "sql", ".toml": "toml", ".yaml": "yaml", ".service": "ini",
}  # fmt: skip
_PICTURES: Final = (".svg", ".png")


def place_of(file: str) -> str:
    """Where a file of the repository is in the site, as a path below docs/."""
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    if file.endswith(".md"):
        return f"project/{file}" if "/" not in file else f"source/{file}"
    return f"source/{file}.md"


def file_of(link: str, page: str) -> tuple[str, str] | None:
    """The file of the repository that a link of a page means, and the anchor; None of any other link."""
    if re.match(r"[a-z]+:|#|/", link):
        return None
    path, _, anchor = link.partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)), anchor


def replaced(text: str, change: Callable[[str], str]) -> str:
    """The text with the target of each link and picture changed, those of code blocks left alone."""

    def prose(part: str) -> str:
        part = _LINK.sub(lambda found: f"{found[1]}({change(found[2])})", part)
        return _SOURCE_OF.sub(lambda found: f"{found[1]}{change(found[2])}{found[3]}", part)

    return _outside_of_blocks(text, prose)


def without_breaks(text: str) -> str:
    """A Chinese text without the line breaks inside of its sentences, which would be shown as blanks."""
    return _outside_of_blocks(text, lambda part: _BREAK.sub("", part))


def _outside_of_blocks(text: str, prose: Callable[[str], str]) -> str:
    parts = []
    end = 0
    for block in _FENCED.finditer(text):
        parts += [prose(text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, prose(text[end:])])


def rewritten(text: str, page: str) -> str:
    """A page's text with its links as the site needs them.

    Args:
        page: its path in the repository.
    """
    here = posixpath.dirname(place_of(page))

    def change(link: str) -> str:
        meant = file_of(link, page)
        if meant is None:
            return link
        file, anchor = meant
        place = posixpath.relpath(place_of(file), here or ".")
        return f"{place}#{anchor}" if anchor else place

    return replaced(text, change)


def linked_files(page: str, text: str) -> set[str]:
    """The files of the repository that a page's text links to."""
    found: set[str] = set()

    def note(link: str) -> str:
        if (meant := file_of(link, page)) is not None:
            found.add(meant[0])
        return link

    replaced(text, note)
    return found


def outside_pages(pages: Iterable[str]) -> dict[str, str]:
    """The files outside of docs/ that these pages link to, and those that they link to in turn: each with
    the text of its page."""
    made: dict[str, str] = {}
    waiting = list(pages)
    while waiting:
        page = waiting.pop()
        text = (ROOT / page).read_text(encoding="utf-8")
        for file in linked_files(page, text) - made.keys():
            outside = not file.startswith(("docs/", "../"))
            if outside and (ROOT / file).is_file() and not file.endswith(_PICTURES):
                made[file] = page_of(file)
                if file.endswith(".md"):
                    waiting.append(file)
    return made


def page_of(file: str) -> str:
    """A file of the repository as the text of a page: a page as it is, a file of the source as a block."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".md"):
        return rewritten(text, file)
    head = f"---\nsearch:\n  exclude: true\nhide: [toc]\n---\n# {posixpath.basename(file)}\n\n`{file}`\n\n"
    if file.endswith(".ipynb"):
        return head + "\n".join(map(_cell, json.loads(text)["cells"]))
    return head + _block(text, _LANGUAGES.get(Path(file).suffix, "text"))


def _cell(cell: dict[str, Any]) -> str:
    """A cell of a notebook: its prose, or its code."""
    text = "".join(cell["source"])
    return f"{text}\n" if cell["cell_type"] == "markdown" else _block(text, "python")


def _block(text: str, language: str) -> str:
    """A text as a fenced block, whatever fences are in it."""
    fence = "`" * max(4, *(len(run) + 1 for run in re.findall(r"`+", text) or [""]))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"
