"""Recipients from a CSV file, read as a stream: a million rows take no more memory than one batch."""

from __future__ import annotations

import csv
import os
from collections.abc import AsyncIterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from anyio.lowlevel import checkpoint

from promomsg.errors import UsageError
from promomsg.intake.base import Row
from promomsg.intake.clean import WordsForNothing
from promomsg.intake.layout import Layout, clean_columns, make_rows
from promomsg.intake.textfile import TextFile, read_records
from promomsg.model import Code, Problem

__all__ = ["CsvSource", "read_csv"]


def read_csv(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str = "auto",
) -> CsvSource:
    """Recipients from a CSV file with a heading line.

    The columns key, id, openid, unionid, access_token and request_id have a meaning; any other is
    a parameter of the message. Nothing is read yet.

    Args:
        path: the file.
        columns: our name → the file's heading, `{"id": "推广员ID", "name": "姓名"}`.
        encoding: `"auto"` is UTF-8 with or without BOM, else GB18030; or a codec's name.

    Raises:
        UsageError: there is no such encoding, or `columns` is no such mapping. (The file is looked at when planning begins.)
    """
    return CsvSource(path, columns, encoding)


class CsvSource:
    """What `read_csv` returns: a `Source`."""

    repeatable = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Mapping[str, str] | None,
        encoding: str,
    ) -> None:
        self._file = TextFile(path, encoding)
        self._columns = clean_columns(columns)
        self._layout: Layout | None = None
        self._spare: frozenset[str] = frozenset()
        self._columns_said: list[str] = []
        self._blank = 0
        self._words = WordsForNothing(str(self._file.path))

    @property
    def notices(self) -> list[str]:
        self._file.scan_now()
        said = list(self._columns_said)
        if self._file.encoding != "utf-8-sig":
            said.insert(0, f"{self._file.path} is read as {self._file.label}")
        if self._blank:
            said.append(f"{self._file.path}: {self._blank} blank lines left out")
        return said + self._words.notices()

    @property
    def parameters(self) -> frozenset[str]:
        """Its columns that are parameters; known after `check`."""
        return frozenset(self._layout.params) if self._layout is not None else frozenset()

    def check(self, names: frozenset[str], spare: frozenset[str] = frozenset()) -> None:
        """Looks at the headings. Raises UsageError as `Source.check` says."""
        self._spare = spare
        self._use(_headings(self._file.head(), self._file.path), names)

    def _use(self, headings: list[str], names: frozenset[str]) -> Layout:
        where = str(self._file.path)
        if not headings:
            raise UsageError(f"{where} is empty; it needs a heading line, such as: id,name")
        layout = Layout(headings, self._columns, where)
        self._columns_said = [*layout.check(names, self._spare), *layout.unused(names)]
        self._layout = layout
        return layout

    def describe(self) -> dict[str, Any]:
        """Kind, path, sha256, encoding and headings."""
        self._file.scan_now()
        return {
            "kind": "csv",
            "path": str(self._file.path.absolute()),
            "sha256": self._file.sha256,
            "encoding": self._file.label,
            "columns": list(self._layout.headings) if self._layout is not None else [],
        }

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[list[Row]]:
        """Every row; see `Source.batches`."""
        if self._file.encoding is None:
            for _ in self._file.scan():
                await checkpoint()
        self._blank = 0
        self._words = WordsForNothing(str(self._file.path))
        layout: Layout | None = None
        first = 1
        with self._file.open() as file:
            for block in read_records(file, size):
                problems: dict[int, Problem] = {}
                if isinstance(block, tuple):
                    line, records = block
                    lines = list(range(line, line + len(records)))
                else:
                    records, lines = [], []
                    for fields, line, trouble in block:
                        if fields is None:
                            detail = f"cannot be read ({trouble}): is a quote left open?"
                            problems[len(records)] = Problem(Code.BAD_ROW, detail)
                        records.append(fields or [])
                        lines.append(line)
                if layout is None:
                    layout = self._begin(records, lines, problems, names)
                rows = self._rows(layout, records, lines, problems, names, first)
                first += len(rows)
                if rows:
                    yield rows
                await checkpoint()
        if layout is None:
            self._use([], names)
        if first == 1:
            raise UsageError(f"{self._file.path} has headings but no rows: nobody to send to")

    def _begin(
        self,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
        names: frozenset[str],
    ) -> Layout | None:
        """Takes the heading line off the first records."""
        at = next((i for i, r in enumerate(records) if r or i in problems), None)
        if at is None:
            records.clear()
            lines.clear()
            return None
        if at in problems:
            raise UsageError(
                f"{self._file.path}: the heading line (line {lines[at]}) {problems[at].detail}"
            )
        headings = records[at]
        del records[: at + 1], lines[: at + 1]
        moved = {i - at - 1: p for i, p in problems.items()}
        problems.clear()
        problems.update(moved)
        return self._use(headings, names)

    def _rows(
        self,
        layout: Layout | None,
        records: list[list[str]],
        lines: list[int],
        problems: dict[int, Problem],
        names: frozenset[str],
        first: int,
    ) -> list[Row]:
        if layout is None or not records:
            return []
        width = layout.width
        if problems or set(map(len, records)) != {width} or [""] * width in records:
            records, lines = self._even(records, lines, problems, width)
            if not records:
                return []
        columns = list(zip(*records, strict=True))
        params = {name: columns[i] for name, i in layout.params.items() if name in names}
        self._words.count(params)
        return make_rows(
            {name: columns[i] for name, i in layout.known.items()},
            params,
            [f"line {n}" for n in lines],
            first,
            problems,
            trusted=True,
        )

    def _even(
        self, records: list[list[str]], lines: list[int], problems: dict[int, Problem], width: int
    ) -> tuple[list[list[str]], list[int]]:
        """Records of the headings' width: blank ones left out, ragged ones marked and padded."""
        kept: list[list[str]] = []
        numbers: list[int] = []
        found: dict[int, Problem] = {}
        for i, (record, line) in enumerate(zip(records, lines, strict=True)):
            if i in problems:
                found[len(kept)] = problems[i]
            elif not any(record) or (len(record) == 1 != width and not record[0].strip()):
                self._blank += bool(record)
                continue
            elif len(record) != width:
                detail = f"{len(record)} fields under {width} headings; is a comma unquoted?"
                found[len(kept)] = Problem(Code.BAD_ROW, detail)
            kept.append(record if len(record) == width else (record + [""] * width)[:width])
            numbers.append(line)
        problems.clear()
        problems.update(found)
        return kept, numbers


def _headings(head: str, path: Path) -> list[str]:
    """The first record that is not blank."""
    try:
        return next((r for r in csv.reader(StringIO(head, newline=""), strict=True) if r), [])
    except csv.Error as error:
        raise UsageError(f"{path}: the heading line cannot be read ({error})") from None
