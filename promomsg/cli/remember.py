"""What the journal should remember of a command line, kept with where the recipients came from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from promomsg.intake import Row, Source
from promomsg.model import Everyone, Promoters, Retailers, Roles

__all__ = ["remember"]


class _Remembering:
    """A source that adds to what the journal keeps of it."""

    def __init__(self, source: Source, extra: dict[str, Any]) -> None:
        self._source = source
        self._extra = extra

    @property
    def notices(self) -> list[str]:
        return self._source.notices

    @property
    def repeatable(self) -> bool:
        return self._source.repeatable

    def check(self, names: frozenset[str]) -> None:
        self._source.check(names)

    def batches(self, names: frozenset[str], size: int) -> AsyncIterator[list[Row]]:
        return self._source.batches(names, size)

    def describe(self) -> dict[str, Any]:
        return {**self._source.describe(), **self._extra}


def remember(recipients: Any, *, base_url: str | None) -> Any:
    """Recipients whose journal remembers `--base-url`, so that a resume goes to the same place.

    An audience has no place for it: the resume command that is printed says it instead.
    """
    if base_url is None or isinstance(recipients, (Promoters, Roles, Retailers, Everyone)):
        return recipients
    return _Remembering(recipients, {"base_url": base_url})
