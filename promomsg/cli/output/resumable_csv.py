"""A CSV that is downloaded page by page; until it is complete it is `NAME.partial`, and resumable."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from promomsg.errors import UsageError
from promomsg.intake.spreadsheet_guards import guard_formula, without_guards
from promomsg.private_files import open_private, write_private

__all__ = ["PartialCsv"]

_FLUSH_AT: Final = 64 * 1024


class PartialCsv:
    """The file that a download writes, `NAME.partial` until it is complete.

    Args:
        output: where the complete file goes.
        columns: its headings; the first one is the id to continue after.
        filters: what is asked for, kept beside it: a download with other filters does not resume it.

    Attributes:
        rows: rows in it; last_id: of the last one, None when it is new.

    Raises:
        UsageError: it cannot be written, or was downloaded with other filters.
    """

    def __init__(self, output: Path, columns: Sequence[str], filters: Mapping[str, Any]) -> None:
        self._output = output
        self._path = output.with_name(f"{output.name}.partial")
        self._question = output.with_name(f"{output.name}.partial.json")
        self._columns = columns
        self._filters = dict(filters)
        self.rows = 0
        self.last_id: str | None = None

    def __enter__(self) -> Self:
        try:
            descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                if os.fstat(descriptor).st_size:
                    self._recover(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            self._file = os.fdopen(descriptor, "a", encoding="utf-8", newline="", errors="replace")
            if self.rows == 0:
                self._file.truncate(0)
                write_private(self._question, json.dumps(self._filters).encode())
            self._buffer = io.StringIO()
            self._writer = csv.writer(self._buffer, lineterminator="\n")
            if self.rows == 0:
                self._writer.writerow(self._columns)
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error.strerror}") from None
        return self

    def _recover(self, descriptor: int) -> None:
        """Finds the last whole row; half a row, of a process that was killed, is cut off."""
        try:
            asked = json.loads(self._question.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            asked = None
        if asked != self._filters:
            raise UsageError(
                f"{self._path} was downloaded with other filters ({asked}); remove it to start again"
            )
        whole = 0
        with os.fdopen(os.dup(descriptor), "rb") as file:
            for raw in file:
                if not raw.endswith(b"\n") or raw.count(b'"') % 2:
                    break
                whole += len(raw)
                cells = next(csv.reader([raw.decode("utf-8", "replace")]))
                if cells[:1] != [self._columns[0]]:
                    self.rows += 1
                    self.last_id = without_guards(cells[0]) or self.last_id
        os.ftruncate(descriptor, whole)

    def add(self, values: Sequence[object]) -> None:
        """One row; a line break in a value becomes a space, so that a row is a line.

        Raises:
            UsageError: the file cannot be written.
        """
        cells = ["" if v is None else guard_formula(" ".join(str(v).splitlines())) for v in values]
        self._writer.writerow(cells)
        self.rows += 1
        if self._buffer.tell() > _FLUSH_AT:
            self._flush()

    def _flush(self) -> None:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise UsageError(
                f"{self._path} cannot be written: {error.strerror}; make room, and the same "
                "command continues after the last whole row"
            ) from None

    def finish(self) -> None:
        """Gives the complete file its name.

        Raises:
            UsageError: it cannot be written.
        """
        self._flush()
        try:
            self._path.replace(self._output)
        except OSError as error:
            raise UsageError(f"{self._output} cannot be written: {error.strerror}") from None
        self._question.unlink(missing_ok=True)

    def __exit__(self, kind: object, *exc_info: object) -> None:
        try:
            if not self._file.closed and self._path.exists():
                self._flush()
        except UsageError:
            if kind is None:
                raise
        finally:
            with suppress(OSError):  # an error of writing was raised above
                self._file.close()
