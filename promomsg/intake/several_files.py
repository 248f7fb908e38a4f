"""One list out of several files, read one after the other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from itertools import count, repeat
from typing import Any, cast

from promomsg.errors import UsageError
from promomsg.intake.row_batch import RowBatch
from promomsg.intake.sources import Source

__all__ = ["Paths", "SeveralSources", "one_or_several"]

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file, or several that make one list."""


def one_or_several(path: Any, build: Callable[[str | os.PathLike[str]], Source]) -> Source:
    """The source of a file, or of several files as one list.

    Args:
        path: a path, or a list or tuple of paths.
        build: makes the source of one of them.

    Raises:
        UsageError: no path, an empty list, the same file twice; or as `build` does.
    """
    if isinstance(path, (str, os.PathLike)):
        return build(path)
    if not isinstance(path, (list, tuple)) or not path:
        raise UsageError(f"{_kind_of(path)} is no path; give one, or a list of paths")
    for one in path:
        if not isinstance(one, (str, os.PathLike)):
            raise UsageError(f"{_kind_of(one)} is no path; give a list of paths")
    real = [os.path.realpath(one) for one in path]
    for one, there in zip(path, real, strict=True):
        if real.count(there) > 1:
            raise UsageError(f"{os.fspath(one)} is named twice in the list of files; name it once")
    return SeveralSources([(os.fspath(one), build(one)) for one in path])


def _kind_of(value: Any) -> str:
    return "an empty list" if value in ([], ()) else f"a {type(value).__name__}"


class SeveralSources:
    """A `Source` over others; each of them must have what the message needs.

    Args:
        parts: each file's name, for a row's place, and its source.
    """

    def __init__(self, parts: Sequence[tuple[str, Source]]) -> None:
        self._parts = list(parts)
        self._more: list[str] = []

    @property
    def notices(self) -> list[str]:
        """Those of all of them, in order."""
        return [notice for _, part in self._parts for notice in part.notices]

    @property
    def parameters(self) -> frozenset[str]:
        """What any of them has."""
        return frozenset().union(*(part.parameters for _, part in self._parts))

    @property
    def repeatable(self) -> bool:
        """Whether all of them are."""
        return all(part.repeatable for _, part in self._parts)

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Looks at each. Raises UsageError as `Source.check` says."""
        for _, part in self._parts:
            part.check(names, optional)

    def describe(self) -> dict[str, Any]:
        """What each is, and one digest of all of theirs."""
        descriptions = [part.describe() for _, part in self._parts]
        digests = [str(one.get("sha256")) for one in descriptions]
        sha256 = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        known = all("sha256" in one for one in descriptions)
        return {"kind": "several", "files": descriptions} | ({"sha256": sha256} if known else {})

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[RowBatch]:
        """Every row of every file; see `Source.batches`."""
        before = 0
        for name, part in self._parts:
            number = 0
            rows_of = cast("Any", part.batches(names, size))
            async with aclosing(rows_of) as batches:
                async for batch in batches:
                    yield _with_file_name(batch, name, number, before)
                    number += len(batch)
            before += number


def _with_file_name(batch: RowBatch, name: str, number: int, before: int) -> RowBatch:
    """The rows, with their file in their places; those that have their number for a key keep it
    unlike others."""
    where = [f"{name}, {place}" for place in batch.where]
    keys = batch.keys
    if before:
        nobody = repeat(None)
        addresses = [batch.ids or nobody, batch.openids or nobody, batch.unionids or nobody]
        keys = [
            f"row {before + n}" if key == f"row {n}" and not any(known) else key
            for n, key, *known in zip(count(number + 1), keys, *addresses, strict=False)
        ]
    return batch.moved(keys, where)
