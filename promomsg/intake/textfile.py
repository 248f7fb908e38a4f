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
from promomsg.intake.dialect import COMMA, Dialect

__all__ = ["Record", "TextFile", "check_file", "read_records", "wide_of"]

_CHUNK: Final = 1 << 19
_MAX_LINES: Final = 1000
"""A quoted field over this many lines is a quote that was never closed."""
_SAMPLE: Final = 4096
_CHINESE: Final = frozenset({"gb2312", "gbk", "gb18030", "cp936"})
_WIDE: Final = ("utf-16", "utf-32")
_BOMS: Final = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-16-le": (codecs.BOM_UTF16_LE,),
    "utf-16-be": (codecs.BOM_UTF16_BE,),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-32-le": (codecs.BOM_UTF32_LE,),
    "utf-32-be": (codecs.BOM_UTF32_BE,),
}
_NOT_OF_FILES: Final = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape"})
_TRIAL: Final = 'id,name\n1,"a b"\n'


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
        name = _codec_of(encoding)
        if name is None:
            raise UsageError(
                f"{path}: there is no encoding {encoding!r} of text files; "
                "say auto, utf-8 or gb18030"
            )
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
        if not self._candidates[0].startswith(_WIDE) and (wide := wide_of(start)):
            raise UsageError(
                f"{self.path} is {wide.upper()}; save it as UTF-8, or say encoding = {wide!r}"
            )
        self._mind_bom(start)
        for name in self._candidates:
            try:
                return codecs.getincrementaldecoder(name)().decode(start)
            except UnicodeError:
                continue
        raise UsageError(self._undecodable())

    def _mind_bom(self, start: bytes) -> None:
        """A BOM is no part of the first heading, also when the byte order was said as well."""
        name = self._candidates[0]
        if name.startswith(_WIDE) and start.startswith(_BOMS.get(name, ())):
            self._candidates = (name[:6],)

    def scan(self) -> Iterator[None]:
        """Reads the file once, a chunk a step: afterwards `encoding` and `sha256` are known.

        Raises:
            UsageError: no encoding fits.
        """
        check_file(self.path)
        with self.path.open("rb") as file:
            self._mind_bom(file.read(4))
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
            except UnicodeError:
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
        codec = self._candidates[0]
        name = codec.removesuffix("-sig").upper()
        decoder = codecs.getincrementaldecoder(codec)()
        number = 1
        with self.path.open("rb") as file:
            start = file.read(_SAMPLE)
            if codec in ("utf-16", "utf-32") and not start.startswith(_BOMS[codec]):
                said = wide_of(start)
                then = f"say encoding = {said!r}" if said else "if it is not that, say 'auto'"
                return f"{self.path} has no byte order mark, which {name} needs; {then}"
            if codec.startswith(_WIDE):  # its lines are not those that a file is read by
                return f"{self.path} is not {name}; save it as UTF-8"
            file.seek(0)
            try:
                for line in file:
                    number += decoder.decode(line).count("\n")
            except UnicodeError:
                pass
        tried = f"{name} nor GB18030" if len(self._candidates) > 1 else name
        join = "neither " if len(self._candidates) > 1 else "not "
        return f"{self.path} is {join}{tried} (line {number}); save it as UTF-8"


def wide_of(start: bytes) -> str | None:
    """The encoding to say when a file begins like UTF-16 (or UTF-32 with a BOM); else None.

    Without a BOM, the digits, commas and line ends of a list show it: every second byte of them is
    zero, and no byte in the other places is.
    """
    for name in ("utf-32", "utf-16"):
        if start.startswith(_BOMS[name]):
            return name
    sample = start[:_SAMPLE]
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    enough = max(3, len(sample) // 10)
    if second >= enough and not first:
        return "utf-16-le"
    return "utf-16-be" if first >= enough and not second else None


def _codec_of(encoding: str) -> str | None:
    """The name of a codec that reads text files piece by piece; None when it is not one."""
    try:
        found = codecs.lookup(encoding)
        # base64 and rot13 are not from bytes to text, and the others are of single names.
        if not found._is_text_encoding or found.name in _NOT_OF_FILES:
            return None
        data = _TRIAL.encode(found.name)
        decoder = codecs.getincrementaldecoder(found.name)()
        pieces = [decoder.decode(data[i : i + 1]) for i in range(len(data))]
        whole = "".join([*pieces, decoder.decode(b"", final=True)])
    except (LookupError, ValueError, TypeError):  # not there, or punycode, undefined
        return None
    return found.name if whole == _TRIAL else None


class Record(NamedTuple):
    """One record of a CSV file: its fields, or None and what is wrong with it; its first line."""

    fields: list[str] | None
    line: int
    trouble: str = ""


def read_records(
    file: TextIO, size: int, dialect: Dialect = COMMA
) -> Iterator[list[Record] | tuple[int, list[list[str]]]]:
    """A CSV file's records, about `size` at a time.

    Yields either `(line, records)`, records of one line each from that line on, or a list of
    `Record` when some run over several lines or cannot be read. Blank lines are empty records.

    Args:
        file: the text, its line ends as they are.
        size: about how many lines to read at a time.
        dialect: what separates the cells, and how many lines to leave out first.
    """
    delimiter = dialect.delimiter
    held: list[str] = []
    line = 1 + sum(1 for _ in islice(file, dialect.skip_lines))
    ended = False
    while not ended or held:
        fresh = list(islice(file, size))
        ended = len(fresh) < size
        block = held + fresh
        held = []
        if not block:
            return
        try:
            records = list(csv.reader(block, delimiter=delimiter, strict=True))
        except csv.Error:
            records = []
        if len(records) == len(block):
            yield line, records
            line += len(block)
            continue
        found, used = _careful(block, line, ended, delimiter)
        held = block[used:]
        line += used
        if found:
            yield found


def _careful(block: list[str], line: int, ended: bool, delimiter: str) -> tuple[list[Record], int]:
    """Record by record; returns them, and how many of the lines they took."""
    found: list[Record] = []
    done = 0
    while done < len(block):
        reader = csv.reader(block[done:], delimiter=delimiter, strict=True)
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
