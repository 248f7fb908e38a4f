"""A message rendered for whole columns of recipients: each text that many of them get, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from promomsg.channels.base import CompiledMessage

__all__ = ["ColumnRenderer", "RenderedColumns"]

_MOST: Final = 4_096
"""Different texts that are kept: about 2 MB. A list that has more is rendered row by row."""

_encode_lines = msgspec.json.Encoder().encode_lines


class RenderedColumns(NamedTuple):
    """What the rows of a batch get, a column at a time.

    Attributes:
        values: JSON arrays of the placeholders' values.
        digests: of the rendered messages.
        longest: the first row whose values are the longest: its place, their values and length.
    """

    values: Sequence[str]
    digests: Sequence[bytes | None]
    longest: tuple[int, tuple[str, ...], int]


class ColumnRenderer:
    """Renders a message with placeholders for one batch after the other."""

    def __init__(self, compiled: CompiledMessage) -> None:
        self._compiled = compiled
        self._known: dict[tuple[str, ...], tuple[str, bytes | None]] | None = {}

    def render(
        self, params: Mapping[str, Sequence[Any]], keys: Sequence[str]
    ) -> RenderedColumns | None:
        """A batch, at least one row; None: a row may have a problem, so look at them one by one."""
        columns = self._compiled.value_columns(params, keys)
        if columns is None:
            return None
        rows = list(zip(*columns, strict=True))
        texts, digests = self._rendered(rows)
        if len(columns) == 1:
            sizes = list(map(len, columns[0]))
        else:
            sizes = [sum(map(len, row)) for row in rows]
        most = max(sizes)
        place = sizes.index(most)
        return RenderedColumns(texts, digests, (place, rows[place], most))

    def _rendered(
        self, rows: Sequence[tuple[str, ...]]
    ) -> tuple[Sequence[str], Sequence[bytes | None]]:
        known = self._known
        if known is None:
            return _json_of(rows), self._compiled.message_digests(rows)
        fresh = [row for row in dict.fromkeys(rows) if row not in known]
        digests = self._compiled.message_digests(fresh)
        known.update(zip(fresh, zip(_json_of(fresh), digests, strict=True), strict=True))
        found = [known[row] for row in rows]
        if len(known) > _MOST:
            self._known = None
        return [text for text, _ in found], [digest for _, digest in found]


def _json_of(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return _encode_lines(rows).decode().split("\n")[:-1]
