"""A suppression list in a file. A line that cannot be read stops the campaign: it may name somebody
who must not get the message."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from promomsg.control_characters import trimmed
from promomsg.errors import UsageError
from promomsg.intake.headings import REPORT_HEADINGS, column_of_heading, folded_heading
from promomsg.intake.sources import NAMELESS_KEY
from promomsg.intake.spreadsheet_guards import without_guards
from promomsg.intake.suppression.listed_values import ListedValues, are_all_addresses
from promomsg.intake.text.dialect import delimiter_name, find_dialect
from promomsg.intake.text.textfile import Record, TextFile, check_file, read_records, wide_of
from promomsg.suggest import quoted

__all__ = ["SuppressionFile"]

_WANTED: Final = ("key", "id", "openid", "unionid")
_VERDICT: Final = REPORT_HEADINGS.index("verdict")
_NOT_REACHED: Final = frozenset({"failed", "skipped", "cancelled"})


def _wide_encoding(path: str) -> str | None:
    """UTF-16 or UTF-32, when a byte order mark says so: `Unicode text` of Excel."""
    check_file(Path(path))
    with Path(path).open("rb") as file:
        start = file.read(4)
    return wide_of(start) if start[:2] in (b"\xff\xfe", b"\xfe\xff") else None


class SuppressionFile:
    """A suppression list in a text file, read as a stream.

    With a heading line, the columns key, id, openid and unionid count (and access_token, where
    people are reached by user tokens); without one, every cell of every line does.

    Args:
        path: the file.
        encoding: as `read_csv` has it.
        columns: our name → the file's heading.
        secret: people are reached by user tokens, and any cell may be one: no message shows it.

    Attributes:
        notices: what a person should know of it; complete when it has been read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        encoding: str = "auto",
        *,
        columns: Mapping[str, str] | None = None,
        secret: bool = False,
    ) -> None:
        self.path = str(path)
        self.notices: list[str] = []
        self._file = TextFile(path, encoding)
        self._encoding = encoding
        self._renamed = {folded_heading(heading): name for name, heading in (columns or {}).items()}
        self._secret = secret
        self._names = (*_WANTED, "access_token") if secret else _WANTED
        self._wanted: list[tuple[int, str]] = []
        self._headings: list[str] | None = None
        self._is_report = False
        self._not_sent = 0
        self._delimiter = ","

    def batches(self, size: int = 5_000) -> Iterator[ListedValues]:
        """Whom it names, about `size` lines at a time.

        Raises:
            UsageError: it cannot be read in full; the text names the file, and the line where one
                is to blame.
        """
        if self._encoding == "auto" and (wide := _wide_encoding(self.path)):
            self._file = TextFile(self.path, wide)
        head = self._file.head()
        self._file.scan_now()
        try:
            dialect = find_dialect(head, list(self._renamed))
        except UsageError as error:
            raise UsageError(f"{self.path}: {error}") from None
        self._delimiter = dialect.delimiter
        first, people, rows = True, 0, 0
        with self._file.open() as text:
            for block in read_records(text, size, dialect):
                lines, records = self._numbered_records(block)
                if first and records:
                    at = next((i for i, r in enumerate(records) if any(map(trimmed, r))), None)
                    if at is None:
                        continue
                    first = False
                    if self._read_headings(records[at], lines[at]):
                        del records[: at + 1], lines[: at + 1]
                batch = ListedValues(secret=self._secret)
                self._read_records(records, lines, batch)
                people += len(batch.values)
                rows += len(records)
                if batch.values:
                    yield batch
        if first:
            raise UsageError(
                f"{self.path} has nothing but blank lines; a list of nobody has a heading line, "
                "such as: id"
            )
        self._add_notices(people)

    def _add_notices(self, people: int) -> None:
        if self._file.encoding != "utf-8-sig":
            self.notices.append(f"{self.path} is read as {self._file.label}")
        if not people:
            self.notices.append(f"{self.path} has headings and nobody under them")
        elif self._is_report:
            self.notices.append(
                f"{self.path} is a report: every key in it is left out, {self._not_sent} of the "
                f"{people} were not sent"
            )

    def _numbered_records(
        self, block: list[Record] | tuple[int, list[list[str]]]
    ) -> tuple[list[int], list[list[str]]]:
        if isinstance(block, tuple):
            line, records = block
            return list(range(line, line + len(records))), records
        lines, found = [], []
        for fields, line, trouble, _ in block:
            if fields is None:
                raise UsageError(
                    f"{self.path} line {line} cannot be read ({trouble}): is a quote left open?"
                )
            for cell in fields:
                self._refuse_swallowed_lines(cell, line)
            lines.append(line)
            found.append(fields)
        return lines, found

    def _refuse_swallowed_lines(self, cell: str, line: int) -> None:
        """A quote that closes lines later may have swallowed whole lines of the list."""
        for inner in cell.splitlines()[1:]:
            value = without_guards(inner)
            if self._delimiter in inner or (
                any(map(str.isdigit, value)) and not any(map(str.isspace, value))
            ):
                raise UsageError(
                    f"{self.path} line {line}: a quoted cell goes on over lines that may be "
                    "somebody of the list; close the quote, or put the remark on one line"
                )

    def _read_headings(self, record: list[str], line: int) -> bool:
        """Whether the first record is headings; then which columns count is known."""
        where = f"{self.path} line {line}"
        names = [self._renamed.get(folded_heading(c)) or column_of_heading(c) for c in record]
        there = [name for name in names if name is not None]
        if not there:
            return False
        if twice := {name for name in there if there.count(name) > 1}:
            raise UsageError(
                f"{where}: two headings mean the column {min(twice)}; rename or remove one"
            )
        self._wanted = [
            (i, name) for i, name in enumerate(names) if name is not None and name in self._names
        ]
        self._headings = [folded_heading(cell) for cell in record]
        if not self._wanted:
            raise UsageError(
                f"{where}: no heading is {', '.join(self._names[:-1])} or {self._names[-1]} (there "
                f"are {quoted(there)}); name the column with the people so"
            )
        for heading, name in zip(self._headings, names, strict=True):
            near = next((n for n in ("openid", "unionid") if n in heading), None)
            if name is None and near is not None:
                raise UsageError(
                    f"{where}: a heading looks like {near}, but is not it; name the column {near}, "
                    "or take it out"
                )
        self._is_report = tuple(self._headings) == REPORT_HEADINGS
        return True

    def _read_records(
        self, records: list[list[str]], lines: list[int], batch: ListedValues
    ) -> None:
        if self._headings is None:
            cells = [cell for record in records for cell in record]
            if are_all_addresses(cells):
                batch.add_addresses(cells)
                return
            for record, line in zip(records, lines, strict=True):
                for cell in record:
                    batch.add_any(cell, f"{self.path} line {line}")
            return
        if not self._is_report and self._read_addresses(records, batch):
            return
        for record, line in zip(records, lines, strict=True):
            self._read_record(record, f"{self.path} line {line}", batch)

    def _read_addresses(self, records: list[list[str]], batch: ListedValues) -> bool:
        """Takes the columns of a whole block at once, when nothing in them needs a closer look."""
        assert self._headings is not None
        if set(map(len, records)) != {len(self._headings)}:
            return False
        columns = list(zip(*records, strict=True))
        wanted = [columns[i] for i, _ in self._wanted]
        known = set(self._headings)
        for column in wanted:
            if not are_all_addresses(column) or not known.isdisjoint(column):
                return False
        if not all(map(any, zip(*wanted, strict=True))):
            return False
        for column in wanted:
            batch.add_addresses(column)
        return True

    def _read_record(self, record: list[str], where: str, batch: ListedValues) -> None:
        assert self._headings is not None
        there = [i for i, cell in enumerate(record) if trimmed(cell)]
        if not there:
            return
        width = len(self._headings)
        if there[-1] >= width:
            raise UsageError(
                f"{where}: {len(record)} cells under {width} headings; is there "
                f"{delimiter_name(self._delimiter)} in a cell without quotes?"
            )
        wanted = {i for i, _ in self._wanted}
        if len(record) < width and not wanted.issuperset(range(len(record))):
            raise UsageError(
                f"{where}: {len(record)} cells under {width} headings; fill the line up, so that "
                "it is clear what is in which column"
            )
        self._refuse_second_headings(record, there, where)
        if self._is_report and not self._read_verdict(record, where):
            return
        found = False
        for i, name in self._wanted:
            cell = record[i] if i < len(record) else ""
            if name == "key":
                found |= batch.add_key(cell, where)
            else:
                found |= batch.add_address(name, cell, where)
        if not found:
            raise UsageError(
                f"{where}: nothing under {quoted(n for _, n in self._wanted)}, so who is meant is "
                "lost; fill it in or take the line out"
            )

    def _refuse_second_headings(self, record: list[str], there: list[int], where: str) -> None:
        """The heading line of a second file under the first may have its columns elsewhere."""
        names = [folded_heading(record[i]) for i in there]
        if all(name in (self._headings or ()) for name in names) and any(
            column_of_heading(record[i]) for i in there
        ):
            raise UsageError(
                f"{where}: a second heading line; join the files under one, or take it out"
            )

    def _read_verdict(self, record: list[str], where: str) -> bool:
        """Of a row of a report: counts it; False when nobody is meant, since it has no key."""
        verdict = trimmed(record[_VERDICT]) if len(record) > _VERDICT else ""
        if NAMELESS_KEY.fullmatch(without_guards(record[0])):
            if verdict in _NOT_REACHED and not self._secret:
                return False
            raise UsageError(
                f"{where}: this person has no key, so who is meant cannot be told; give the "
                "campaign's recipients a key"
            )
        self._not_sent += verdict != "sent"
        return True
