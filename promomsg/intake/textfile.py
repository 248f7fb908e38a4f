"""A text file on disk: its encoding, decided by the whole of it, and its records.

UTF-8 is strict, so that a file which decodes is one; anything else is read as GB18030, which GBK
and GB2312 are parts of (DESIGN §9). Records are read strictly too: a quote that is never closed
costs its own line, never the lines after it.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from promomsg.errors import UsageError

__all__ = ["Record", "TextFile", "check_file", "read_records"]

_CHUNK: Final = 1 << 19
_MAX_LINES: Final = 1000
"""A quoted field over this many lines is a quote that was never closed."""
_CHINESE: Final = frozenset({"gb2312", "gbk", "gb18030", "cp936"})


def check_file(path: Path) -> None:
    """Raises UsageError when `path` is not a regular file that can be read."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise UsageError(f"{path} is {kind}; name a file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


class TextFile:
    """A text file whose encoding is found by reading all of it once.

    Args:
        path: the file.
        encoding: `"auto"`, or a codec's name. `gbk` and `gb2312` are read as GB18030.

    Raises:
        UsageError: there is no such encoding.
    """

    def __init__(self, path: str | os.PathLike[str], encoding: str = "auto") -> None:
        self.path = Path(path)
        self.sha256: str | None = None
        self.encoding: str | None = None
        if encoding == "auto":
            self._candidates: tuple[str, ...] = ("utf-8-sig", "gb18030")
            return
        try:
            name = codecs.lookup(encoding).name
        except LookupError:
            raise UsageError(
                f"{path}: there is no encoding {encoding!r}; say auto, utf-8 or gb18030"
            ) from None
        name = "gb18030" if name in _CHINESE else "utf-8-sig" if name == "utf-8" else name
        self._candidates = (name,)

    @property
    def label(self) -> str:
        """The encoding as a person calls it."""
        return {"utf-8-sig": "UTF-8", "gb18030": "GB18030"}.get(
            self.encoding or "", self.encoding or ""
        )

    def head(self) -> str:
        """The first characters, decoded by the first encoding that can; up to 64 KiB."""
        check_file(self.path)
        with self.path.open("rb") as file:
            start = file.read(1 << 16)
        if start.startswith(b"PK\x03\x04"):
            raise UsageError(f"{self.path} is an Excel workbook; use read_excel, or save it as CSV")
        if start.startswith(b"PAR1"):
            raise UsageError(f"{self.path} is a Parquet file; use read_parquet")
        if len(self._candidates) > 1 and start.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise UsageError(f"{self.path} is UTF-16; save it as UTF-8, or say encoding = 'utf-16'")
        for name in self._candidates:
            try:
                return codecs.getincrementaldecoder(name)().decode(start)
            except UnicodeDecodeError:
                continue
        raise UsageError(self._undecodable())

    def scan(self) -> Iterator[None]:
        """Reads the file once, a chunk a step: afterwards `encoding` and `sha256` are known.

        Raises:
            UsageError: no encoding fits.
        """
        check_file(self.path)
        for name in self._candidates:
            decoder = codecs.getincrementaldecoder(name)()
            digest = hashlib.sha256()
            try:
                with self.path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        decoder.decode(chunk)
                        yield
                    decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            self.encoding, self.sha256 = name, digest.hexdigest()
            return
        raise UsageError(self._undecodable())

    def scan_now(self) -> None:
        """The whole scan at once, unless it is done."""
        if self.encoding is None:
            for _ in self.scan():
                pass

    def open(self) -> TextIO:
        """The file's text, its line ends as they are."""
        return self.path.open(encoding=self.encoding, newline="")

    def _undecodable(self) -> str:
        name = self._candidates[0].removesuffix("-sig").upper()
        number = 1
        with self.path.open("rb") as file:
            for line in file:
                try:
                    line.decode(self._candidates[0])
                except UnicodeDecodeError:
                    break
                number += 1
        tried = f"{name} nor GB18030" if len(self._candidates) > 1 else name
        join = "neither " if len(self._candidates) > 1 else "not "
        return f"{self.path} is {join}{tried} (line {number}); save it as UTF-8"


class Record(NamedTuple):
    """One record of a CSV file: its fields, or None and what is wrong with it; its first line."""

    fields: list[str] | None
    line: int
    trouble: str = ""


def read_records(file: TextIO, size: int) -> Iterator[list[Record] | tuple[int, list[list[str]]]]:
    """A CSV file's records, about `size` at a time.

    Yields either `(line, records)`, records of one line each from that line on, or a list of
    `Record` when some run over several lines or cannot be read. Blank lines are empty records.
    """
    held: list[str] = []
    line = 1
    ended = False
    while not ended or held:
        fresh = list(islice(file, size))
        ended = len(fresh) < size
        block = held + fresh
        held = []
        if not block:
            return
        try:
            records = list(csv.reader(block, strict=True))
        except csv.Error:
            records = []
        if len(records) == len(block):
            yield line, records
            line += len(block)
            continue
        found, used = _careful(block, line, ended)
        held = block[used:]
        line += used
        if found:
            yield found


def _careful(block: list[str], line: int, ended: bool) -> tuple[list[Record], int]:
    """Record by record; returns them, and how many of the lines they took."""
    found: list[Record] = []
    done = 0
    while done < len(block):
        reader = csv.reader(block[done:], strict=True)
        begun = done
        try:
            for fields in reader:
                end = begun + reader.line_num
                found.append(Record(fields, line + done))
                done = end
        except csv.Error as error:
            reached = begun + reader.line_num
            if reached == len(block) and not ended and reached - done < _MAX_LINES:
                break  # it may go on in the next block
            found.append(Record(None, line + done, str(error)))
            done += 1
    return found, done
