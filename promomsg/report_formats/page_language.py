"""The language of a page that a person reads in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["ENGLISH", "PageLanguage"]


class PageLanguage(NamedTuple):
    """The language of a page.

    Attributes:
        tag: as HTML names it.
        message: a word or a text with holes in it.
        text: an English text that is complete in it.
        name: what it calls itself.
    """

    tag: str = "en"
    message: Callable[[str], str] = str
    text: Callable[[str], str] = str
    name: str = "English"


ENGLISH: Final = PageLanguage()
