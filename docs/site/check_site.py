"""Checks a built site: every link and anchor is there, and no page loads anything from another host.

python docs/site/check_site.py FOLDER    # a line for each problem; exit 1 when there is one
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_LOADS: Final = {
    "audio": ("src",), "embed": ("src",), "feimage": ("href", "xlink:href"), "iframe": ("src",),
    "image": ("href", "xlink:href"), "img": ("src", "srcset"), "input": ("src",), "link": ("href",),
    "object": ("data",), "script": ("src",), "source": ("src", "srcset"), "track": ("src",),
    "use": ("href", "xlink:href"), "video": ("src", "poster"), "form": ("action",),
}  # fmt: skip
"""Which attributes of an element have a browser fetch something without being asked."""
_ONLY_SAYS: Final = {"canonical", "next", "prev", "license", "author"}
"""What a `link` element says without having anything fetched."""
_IN_STYLE: Final = re.compile(
    r"""url\(\s*["']?([^"')]+)|@import\s+(?:url\()?\s*["']?([^"');\s]+)""", re.IGNORECASE
)


class Page(HTMLParser):
    """What a page has: its anchors, the links in it, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.policy = ""
        self._in_style = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if given.get(name))
        self._in_style = tag == "style"
        if tag in ("a", "area") and "href" in given:
            self.links.append(given["href"])
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given["content"]
        if tag == "link" and _ONLY_SAYS & set(given.get("rel", "").split()):
            return
        for name in _LOADS.get(tag, ()):
            if name == "srcset":
                self.loads += [part.split()[0] for part in given.get(name, "").split(",") if part]
            elif given.get(name):
                self.loads.append(given[name])
        self.loads += in_style(given.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loads += in_style(data)


def in_style(text: str) -> list[str]:
    """What a style sheet loads."""
    return [found[1] or found[2] for found in _IN_STYLE.finditer(text)]


def problems(site: Path) -> list[str]:
    """What is wrong with the site in a folder, a line each."""
    site = site.resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found: list[str] = []
    for path, page in pages.items():
        name = path.relative_to(site)
        if "default-src 'none'" not in page.policy:
            found.append(f"{name}: has no policy that keeps a browser from other hosts")
        for link in page.links:
            found += [f"{name}: links to {link}, {why}" for why in _wrong_link(link, path, pages)]
        found += [
            f"{name}: loads {one}, {why}" for one in page.loads for why in _wrong_load(one, path)
        ]
    for path in sorted((*site.rglob("*.css"), *site.rglob("*.svg"))):
        text = path.read_text(encoding="utf-8")
        loads = Page(text).loads if path.suffix == ".svg" else in_style(text)
        name = path.relative_to(site)
        found += [f"{name}: loads {one}, {why}" for one in loads for why in _wrong_load(one, path)]
    return found


def _target(link: str, page: Path) -> Path:
    """The file that a link inside of the site means. The page of an error stands at every address, so that
    its links begin at the site's root."""
    path = unquote(urlsplit(link).path)
    path = path.removeprefix("/") if page.name == "404.html" else path
    meant = (page.parent / path).resolve() if path else page
    return meant / "index.html" if meant.is_dir() else meant


def _wrong_link(link: str, path: Path, pages: dict[Path, Page]) -> list[str]:
    parts = urlsplit(link)
    if parts.scheme in ("https", "mailto"):
        return []
    if parts.scheme or parts.netloc:
        return ["which is no https address"]
    target = _target(link, path)
    if not target.is_file():
        return ["which is not there"]
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return ["which has no such anchor"]
    return []


def _wrong_load(link: str, path: Path) -> list[str]:
    parts = urlsplit(link)
    if parts.scheme == "data" or link.startswith("#"):
        return []
    if parts.scheme or parts.netloc:
        return ["from another host"]
    return [] if _target(link, path).is_file() else ["which is not there"]


def main(arguments: list[str]) -> int:
    """Prints the problems; returns the exit status."""
    found = problems(Path(arguments[0]))
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
