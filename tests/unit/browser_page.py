"""`BrowserPage`: what a browser makes of a page's text, and what is wrong with it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

__all__ = ["BrowserPage"]

_VOID: Final = frozenset({"meta", "link", "input", "br", "hr", "img"})
_NEVER: Final = frozenset({"iframe", "object", "embed", "base", "style", "img"})
_ADDRESSES: Final = ("src", "href", "action", "data-from", "data-live")


class BrowserPage(HTMLParser):
    """A page.

    Attributes:
        words: its texts, without the blanks around them; `in_code`: those that stand in a `code`.
        links: where its links lead.
        fields: what its forms send that nobody types, by name.
        wrong: what a page of ours must not have, a line each.
        lang: of the whole page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.in_code: list[str] = []
        self.links: list[str] = []
        self.forms: list[tuple[str, str]] = []
        self.fields: dict[str, str] = {}
        self.wrong: list[str] = []
        self.lang = ""
        self._open: list[str] = []
        self._ids: list[str] = []
        self._wanted: list[str] = []
        self._labelled: list[str] = []
        self._inputs: list[str] = []
        self.feed(text)
        self.close()
        self._check_ids()
        if self._open:
            self.wrong.append(f"left open: {self._open}")

    def _check_ids(self) -> None:
        self.wrong += [f"twice: #{one}" for one in set(self._ids) if self._ids.count(one) > 1]
        self.wrong += [f"nowhere: #{one}" for one in self._wanted if one not in self._ids]
        self.wrong += [f"no label: #{one}" for one in self._inputs if one not in self._labelled]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag."""
        given = {name: value or "" for name, value in attrs}
        if tag not in _VOID and tag != "rect":
            self._open.append(tag)
        if tag in _NEVER or (tag == "script" and not given.get("src", "").startswith("/static/")):
            self.wrong.append(f"<{tag}>")
        for name, value in given.items():
            if name == "style" or name.startswith("on"):
                self.wrong.append(f"<{tag} {name}>")
            if name in _ADDRESSES and not value.startswith(("/", "#")):
                self.wrong.append(f"<{tag} {name}={value}>")
        self._ids += [given["id"]] if "id" in given else []
        for name in ("aria-labelledby", "aria-describedby"):
            self._wanted += given.get(name, "").split()
        if tag == "html":
            self.lang = given["lang"]
        elif tag == "a":
            self.links.append(given["href"])
        elif tag == "form":
            self.forms.append((given["method"], given["action"]))
        elif tag == "label":
            self._labelled.append(given["for"])
        elif tag in ("input", "select"):
            self._take_field(given)

    def _take_field(self, given: dict[str, str]) -> None:
        if given.get("type") == "hidden":
            self.fields[given["name"]] = given["value"]
        else:
            self._inputs.append(given["id"])

    def handle_endtag(self, tag: str) -> None:
        """Its end."""
        if tag in _VOID or tag == "rect":
            return
        if not self._open or self._open[-1] != tag:
            self.wrong.append(f"</{tag}> in {self._open[-3:]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """A text."""
        text = data.strip()
        if text:
            (self.in_code if "code" in self._open else self.words).append(text)

    @property
    def text(self) -> str:
        """All that a person reads."""
        return " ".join([*self.words, *self.in_code])
