"""Headers that a caller has written as the lines which go out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

__all__ = ["HeaderLines"]


class HeaderLines(Mapping[str, str]):
    """The headers of one request, Content-Type among them, as its lines: a call over connections of
    our own sends `text` as it is.

    Args:
        text: `Name: value\\r\\n` of each header, all of plain characters, which nothing checks
            again.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _pairs(self) -> dict[str, str]:
        lines = self.text.split("\r\n")[:-1]
        return dict(line.split(": ", 1) for line in lines)

    def __getitem__(self, name: str) -> str:
        return self._pairs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)
