"""An .xlsx or .xlsm file, read as a stream: its sheets, and the cells of one of them row by row.

Not by openpyxl's read-only mode: that believes `<dimension>` and the order of the rows, and so
leaves out people without a word (WPS, EasyExcel and streaming writers write both carelessly); it
cannot tell an empty cell from a formula that was never computed, nor see that a row is hidden; and
it gives up on styles that Excel itself puts up with. The format is ECMA-376, part 1, §18; a part's
name is matched by its last word, so that the strict variant is read as well.
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.parsers import expat

from promomsg.errors import UsageError
from promomsg.intake.excel.cells import (
    OverExcelLimit,
    RowReader,
    SharedStrings,
    SheetRow,
    local_name,
    xml_parser,
)
from promomsg.intake.file_kinds import zip_kind

__all__ = ["Sheet", "Workbook"]

MAX_BYTES: Final = 1 << 30
"""All members of the zip together, unpacked. Excel's whole million of rows needs about half of it."""
_BOMB_FROM: Final = 64 << 20
_BOMB_RATIO: Final = 200
"""Over 64 MiB, nothing that people make packs 200 to 1 (Deflate ends at 1032 to 1)."""
_CHUNK: Final = 1 << 16
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, LookupError,
    ValueError, OverflowError, expat.ExpatError,
)  # fmt: skip


class Sheet(NamedTuple):
    """A sheet's name, whether it is hidden, its part, and whether it has cells (a chart has none)."""

    name: str
    hidden: bool
    part: str
    has_cells: bool


class Workbook:
    """What a workbook says of itself, and the rows of its sheets.

    Args:
        path: the file.
        pause: called every 64 KiB of a part: it may raise to end the reading.

    Attributes:
        sheets: in order; active: which of them was open when the file was saved.
        epoch_1904: whether days count from 1904.
        formats: the number format of each style: its id, and its text when the file has one.

    Raises:
        UsageError: it is damaged, no workbook, or over a limit.
    """

    def __init__(self, path: Path, pause: Callable[[], None]) -> None:
        self._path = path
        self._pause = pause
        self.sheets: list[Sheet] = []
        self.active = 0
        self.epoch_1904 = False
        self.formats: list[tuple[int, str | None]] = []
        self._strings: SharedStrings | None = None
        self._strings_part = ""
        with (
            path.open("rb") as file,
            self._named_in_errors("the file"),
            zipfile.ZipFile(file) as archive,
        ):
            self._parts = self._checked(archive)
            self._read_workbook(archive)

    def _checked(self, archive: zipfile.ZipFile) -> dict[str, str]:
        """The members by their part names; limits first, before anything is unpacked."""
        members = archive.infolist()
        size = sum(m.file_size for m in members)
        packed = sum(m.compress_size for m in members)
        if size > MAX_BYTES or (size > _BOMB_FROM and size > _BOMB_RATIO * max(1, packed)):
            raise UsageError(
                f"{self._path} unpacks to {size >> 20} MiB, more than a list of people needs; "
                "save the sheet as CSV"
            )
        # Part names know no case, and some writers use backslashes.
        return {m.filename.replace("\\", "/").strip("/").lower(): m.filename for m in members}

    def _read_workbook(self, archive: zipfile.ZipFile) -> None:
        main = "xl/workbook.xml"
        for kind, target in self._relations(archive, "").values():
            if kind == "officeDocument":
                main = target
        if main not in self._parts:
            raise UsageError(f"{self._path} is {zip_kind(frozenset(self._parts))}")
        relations = self._relations(archive, main)
        found: list[tuple[str, bool, str]] = []

        def start(name: str, attrs: dict[str, str]) -> None:
            local = local_name(name)
            if local == "sheet":
                relation = next((v for k, v in attrs.items() if local_name(k) == "id"), "")
                found.append((attrs["name"], attrs.get("state", "visible") != "visible", relation))
            elif local == "workbookPr":
                self.epoch_1904 = attrs.get("date1904") in ("1", "true")
            elif local == "workbookView":
                self.active = int(attrs.get("activeTab", 0))

        self._parse(archive, main, start)
        for name, hidden, relation in found:
            kind, target = relations.get(relation, ("", ""))
            self.sheets.append(Sheet(name, hidden, target, kind == "worksheet"))
        if not 0 <= self.active < len(self.sheets):
            self.active = 0
        for kind, target in relations.values():
            if kind == "styles" and target in self._parts:
                self._read_styles(archive, target)
            elif kind == "sharedStrings":
                self._strings_part = target

    def _relations(self, archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
        """Relation id → its kind's last word, and the part it means."""
        folder, name = posixpath.split(part)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        if rels not in self._parts:
            return {}
        found: dict[str, tuple[str, str]] = {}

        def start(name: str, attrs: dict[str, str]) -> None:
            if local_name(name) == "Relationship" and attrs.get("TargetMode") != "External":
                target = attrs["Target"].replace("\\", "/")
                full = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                found[attrs["Id"]] = (attrs["Type"].rpartition("/")[2], full.lower())

        self._parse(archive, rels, start)
        return found

    def _read_styles(self, archive: zipfile.ZipFile, part: str) -> None:
        texts: dict[int, str] = {}
        ids: list[int] = []
        inside = False

        def start(name: str, attrs: dict[str, str]) -> None:
            nonlocal inside
            local = local_name(name)
            if local == "cellXfs":
                inside = True
            elif local == "numFmt" and "numFmtId" in attrs:
                texts.setdefault(int(attrs["numFmtId"]), attrs.get("formatCode", ""))
            elif local == "xf" and inside:
                ids.append(int(attrs.get("numFmtId", 0)))

        def end(name: str) -> None:
            nonlocal inside
            if local_name(name) == "cellXfs":
                inside = False

        self._parse(archive, part, start, end)
        self.formats = [(i, texts.get(i)) for i in ids]

    def rows(self, sheet: Sheet) -> Iterator[list[SheetRow]]:
        """The rows of a sheet, in the file's order, as many at a time as 64 KiB hold (maybe none).

        Raises:
            UsageError: the sheet is damaged or over a limit.
        """
        with self._path.open("rb") as file, self._named_in_errors("the file"):
            archive = zipfile.ZipFile(file)
            with archive, self._named_in_errors(f"the sheet {sheet.name!r}"):
                if sheet.part not in self._parts:
                    raise ValueError("it is not in the file")
                reader = RowReader(lambda i: self._string(archive, i))
                feed = xml_parser(reader.start, reader.end, reader.data)
                with archive.open(self._parts[sheet.part]) as source:
                    yield from self._parsed_rows(source, feed, reader.take)

    def _parsed_rows(
        self,
        source: Any,
        feed: Callable[[bytes, bool], None],
        take: Callable[[], list[SheetRow]],
    ) -> Iterator[list[SheetRow]]:
        while chunk := source.read(_CHUNK):
            self._pause()
            feed(chunk, False)
            yield take()
        feed(b"", True)
        yield take()

    def _string(self, archive: zipfile.ZipFile, number: int) -> str:
        """A shared text; they are read when the first one is asked for."""
        if self._strings is None:
            with self._named_in_errors("its shared texts"):
                strings = SharedStrings()
                if self._strings_part in self._parts:
                    self._parse(
                        archive, self._strings_part, strings.start, strings.end, strings.data
                    )
                self._strings = strings
        return self._strings[number]

    def _parse(
        self,
        archive: zipfile.ZipFile,
        part: str,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None] | None = None,
        data: Callable[[str], None] | None = None,
    ) -> None:
        feed = xml_parser(start, end, data)
        with archive.open(self._parts[part]) as source, self._named_in_errors(part):
            while chunk := source.read(_CHUNK):
                self._pause()
                feed(chunk, False)
            feed(b"", True)

    def _named_in_errors(self, what: str) -> _NamedInErrors:
        return _NamedInErrors(self._path, what)


class _NamedInErrors:
    """Says in one line which part of a workbook could not be read, whatever went wrong in it."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OverExcelLimit):
            raise UsageError(f"{self._path}: {self._what} {error}") from None
        if isinstance(error, _BROKEN) and not isinstance(error, UsageError):
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise UsageError(
                f"{self._path} is damaged or no .xlsx workbook: {self._what} cannot be read "
                f"({reason}); open it in a spreadsheet program and save it as .xlsx"
            ) from None
