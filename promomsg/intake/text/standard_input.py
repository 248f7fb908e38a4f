"""A list from standard input: read once, into a private temporary file, and planned from there."""

from __future__ import annotations

import os
import select
import stat
import sys
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, cast

from anyio import to_thread

from promomsg.errors import UsageError
from promomsg.intake.row_batch import RowBatch
from promomsg.intake.sources import Source
from promomsg.intake.tables import end_if_cancelled

__all__ = ["StandardInput"]

_NAME: Final = "standard input"
_MOST: Final = 2 << 30
"""Bytes that are taken; more belongs in a file."""
_CHUNK: Final = 1 << 20
_LOOK: Final = 0.1
"""Seconds between two looks whether whoever waits was cancelled, while nothing comes."""


class StandardInput:
    """A `Source` of what is piped in.

    Args:
        build: makes the source of the file that it was put into.
        descriptor: where it comes from.
    """

    repeatable = True

    def __init__(self, build: Callable[[Path], Source], descriptor: int = 0) -> None:
        self._build = build
        self._descriptor = descriptor
        self._path: Path | None = None
        self._source: Source | None = None

    @property
    def notices(self) -> list[str]:
        """What the plan should say; see `Source.notices`."""
        return [self._with_its_name(text) for text in self._source.notices] if self._source else []

    @property
    def parameters(self) -> frozenset[str]:
        """Its columns that are parameters; known after `check`."""
        return self._source.parameters if self._source else frozenset()

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Reads all of it, and looks at it as at any file.

        Raises:
            UsageError: nothing is piped in; or as `Source.check` says.
        """
        self._with_source(lambda source: source.check(names, optional))

    @property
    def file_path(self) -> Path:
        """See `FromFile`."""
        return Path("-")

    def describe(self) -> dict[str, Any]:
        """As its file, under the path `-`. Nothing is known before it was read."""
        if self._source is None:
            return {"kind": "stdin", "path": "-"}
        return {**self._with_source(lambda source: source.describe()), "path": "-"}

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[RowBatch]:
        """Every row; see `Source.batches`."""
        source = await to_thread.run_sync(self._read_into_file)
        try:
            async with aclosing(cast("Any", source.batches(names, size))) as batches:
                async for batch in batches:
                    yield batch
        except UsageError as error:
            raise UsageError(self._with_its_name(str(error))) from None

    def _with_source(self, act: Callable[[Source], Any]) -> Any:
        source = self._read_into_file()
        try:
            return act(source)
        except UsageError as error:
            raise UsageError(self._with_its_name(str(error))) from None

    def _with_its_name(self, text: str) -> str:
        return text.replace(str(self._path), _NAME)

    def _read_into_file(self) -> Source:
        if self._source is None:
            descriptor, name = tempfile.mkstemp(prefix="promomsg-")  # for its owner alone
            kept = Path(f"/proc/self/fd/{descriptor}")
            if kept.exists():
                os.unlink(name)  # it goes with the process, whatever ends that
                weakref.finalize(self, os.close, descriptor)
                self._path = kept
            else:
                weakref.finalize(self, _remove, descriptor, name)
                self._path = Path(name)
            _copy(self._descriptor, descriptor)
            self._source = self._build(self._path)
        return self._source


def _remove(descriptor: int, name: str) -> None:
    os.close(descriptor)
    Path(name).unlink(missing_ok=True)


def _copy(source: int, target: int) -> None:
    try:
        mode = os.fstat(source).st_mode
        if stat.S_ISCHR(mode) and os.isatty(source):
            raise UsageError(
                "the recipients are to come from standard input, and that is a terminal: pipe the "
                "list in, or name a file"
            )
        size = 0
        while True:
            end_if_cancelled()
            # A Windows pipe cannot be waited for with a limit.
            if sys.platform != "win32" and not select.select([source], [], [], _LOOK)[0]:
                continue
            chunk = os.read(source, _CHUNK)
            if not chunk:
                break
            size += len(chunk)
            if size > _MOST:
                raise UsageError(f"{_NAME} has more than {_MOST >> 30} GiB; put it into a file")
            while chunk:
                chunk = chunk[os.write(target, chunk) :]
    except OSError as error:
        raise UsageError(f"{_NAME} cannot be read: {error.strerror}") from None
    if size == 0:
        raise UsageError(f"{_NAME} is empty: pipe the list in, or name a file")
