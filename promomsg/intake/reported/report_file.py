"""A report of promomsg as a file: what `report --format csv` writes, read back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from promomsg.control_characters import trimmed
from promomsg.errors import UsageError
from promomsg.intake.headings import REPORT_HEADINGS, folded_heading
from promomsg.intake.spreadsheet_guards import formula_without_guard
from promomsg.intake.text.blocks_of_records import headings_of
from promomsg.intake.text.dialect import find_dialect
from promomsg.intake.text.textfile import TextFile, read_records
from promomsg.model import State
from promomsg.suggest import quoted

__all__ = ["ReportFile", "ReportedRow", "is_report"]

_VERDICT: Final = REPORT_HEADINGS.index("verdict")
_ATTEMPTS: Final = REPORT_HEADINGS.index("attempts")
_VERDICTS: Final = {state.value: state for state in State if state is not State.INTENDED}


class ReportedRow(NamedTuple):
    """A row of a report.

    Attributes:
        line: where it stands in the file.
        key, state: whose it is, and what became of them.
        tried: whether a call was made for them.
        cells: all that stands in it.
    """

    line: int
    key: str
    state: State
    tried: bool
    cells: Sequence[str]


def is_report(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a report of promomsg, by its headings: exactly those, in that order."""
    try:
        text = TextFile(path)
        head = text.head()
        return _are_ours(headings_of(head, find_dialect(head, ()), text.path))
    except UsageError:
        return False  # it is not there, or another kind of file: whoever reads it says so


def _are_ours(headings: Sequence[str]) -> bool:
    return tuple(map(folded_heading, headings)) == REPORT_HEADINGS


class ReportFile:
    """A report, read row by row.

    Args:
        path: of the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = TextFile(path)

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._file.path

    @property
    def sha256(self) -> str:
        """Of its bytes.

        Raises:
            UsageError: it changed since it was read.
        """
        self._file.scan_now()
        self._file.check_unchanged()
        assert self._file.sha256 is not None
        return self._file.sha256

    def check(self) -> None:
        """Raises UsageError when it cannot be read, or is no report."""
        head = self._file.head()
        headings = headings_of(head, find_dialect(head, ()), self.path)
        if not _are_ours(headings):
            raise UsageError(
                f"{self.path} is no report of promomsg: its headings are not "
                f"{','.join(REPORT_HEADINGS)}; write one by `promomsg report JOURNAL --format csv`"
            )

    def rows(self, size: int) -> Iterator[list[ReportedRow]]:
        """Its rows, some at a time; none while all of it is read a first time, for its encoding.

        Raises:
            UsageError: a line that cannot be read, or is not as promomsg writes it.
        """
        self.check()
        dialect = find_dialect(self._file.head(), ())
        if self._file.encoding is None:
            for _ in self._file.scan():
                yield []
        seen_headings = False
        with self._file.open() as file:
            for block in read_records(file, size, dialect):
                numbered = (
                    enumerate(block[1], block[0])
                    if isinstance(block, tuple)
                    else ((one.line, one.fields) for one in block)
                )
                found = []
                for line, cells in numbered:
                    if cells is not None and not any(map(trimmed, cells)):
                        continue  # a spreadsheet leaves rows of empty cells
                    if not seen_headings:
                        seen_headings = True
                        continue
                    found.append(self._row(line, cells))
                yield found

    def _row(self, line: int, cells: Sequence[str] | None) -> ReportedRow:
        if cells is None or len(cells) != len(REPORT_HEADINGS):
            raise UsageError(
                f"{self.path} line {line} is not as a report has it; write the report anew by "
                "`promomsg report JOURNAL --format csv`"
            )
        state = _VERDICTS.get(cells[_VERDICT])
        if state is None:
            raise UsageError(
                f"{self.path} line {line}: the verdict {cells[_VERDICT]!r} is none of "
                f"{quoted(_VERDICTS)}"
            )
        return ReportedRow(
            line, formula_without_guard(cells[0]), state, cells[_ATTEMPTS] not in ("", "0"), cells
        )
