"""A text file on disk: its encoding, decided by the whole of it, and its records.

Records are read strictly: a quote that is never closed costs its own line, never the lines after
it. A file that changes between the first and the last read is refused.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Final, Literal, NamedTuple, TextIO, overload

from promomsg.errors import UsageError
from promomsg.intake.file_identity import FileIdentity, check_unchanged, identity_of
from promomsg.intake.file_kinds import looks_like_campaign, other_kind
from promomsg.intake.text.dialect import COMMA, Dialect
from promomsg.intake.text.encodings import (
    BOMS,
    CHINESE,
    WIDE,
    Utf8Census,
    codec_of,
    is_strange,
    wide_of,
)
from promomsg.intake.text.even_lines import EvenLines, columns_of_lines
from promomsg.intake.text.gzip_input import open_bytes

__all__ = ["Record", "TextFile", "check_file", "read_records", "wide_of"]

_CHUNK: Final = 1 << 19
_HEAD: Final = 1 << 16
_MAX_LINES: Final = 1000
"""A quoted field over this many lines is a quote that was never closed."""


def check_file(path: Path) -> None:
    """Raises UsageError when `path` is not a regular file that can be read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISFIFO(mode):
            raise UsageError(
                f"{path} is a pipe, which can be read only once: save what comes out of it in a file, and name that"
            )
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
        encoding: `"auto"` is UTF-8, UTF-16 with a BOM, else GB18030; or a codec's name. `gbk` and
            `gb2312` are read as GB18030.

    Raises:
        UsageError: there is no such encoding.
    """

    def __init__(self, path: str | os.PathLike[str], encoding: str = "auto") -> None:
        self.path = Path(path)
        self.sha256: str | None = None
        self.encoding: str | None = None
        self.line_ends = 0
        """Line feeds that the scan has counted."""
        self._identity: FileIdentity | None = None
        self._auto = encoding == "auto"
        self._candidates: tuple[str, ...] = ("utf-8-sig", "gb18030")
        if self._auto:
            return
        name = codec_of(encoding)
        if name is None:
            raise UsageError(
                f"{path}: there is no encoding {encoding!r} of text files; "
                "say auto, utf-8 or gb18030"
            )
        name = "gb18030" if name in CHINESE else "utf-8-sig" if name == "utf-8" else name
        self._candidates = (name,)

    @property
    def is_detected(self) -> bool:
        """Whether its encoding was found by reading it, and not said by the user."""
        return self._auto

    @property
    def label(self) -> str:
        """The encoding as a person calls it."""
        name = self.encoding or ""
        return {"utf-8-sig": "UTF-8", "gb18030": "GB18030", "utf-16": "UTF-16"}.get(name, name)

    def head(self) -> str:
        """The first characters, up to 64 KiB: the first read, that later ones are compared with.

        Raises:
            UsageError: it cannot be read, or is no text that this reads.
        """
        check_file(self.path)
        identity = identity_of(self.path)
        if identity != self._identity:
            self.encoding = self.sha256 = None
        self._identity = identity
        with open_bytes(self.path) as file:
            start = file.read(_HEAD)
        if kind := other_kind(start, self.path):
            raise UsageError(f"{self.path} is {kind}")
        self._use_bom(start)
        if not self._candidates[0].startswith(WIDE) and (wide := wide_of(start)):
            raise UsageError(
                f"{self.path} is {wide.upper()}; save it as UTF-8, or say encoding = {wide!r}"
            )
        for name in self._candidates:
            try:
                text = codecs.getincrementaldecoder(name)().decode(start)
            except UnicodeError:
                pass
            else:
                if not self._is_another_encoding(name, text):
                    self._refuse_campaign_file(text)
                    return text
            if self._auto:
                census = Utf8Census()
                census.add(start)
                if census.is_utf8:
                    break
        raise UsageError(self._undecodable())

    def _refuse_campaign_file(self, text: str) -> None:
        if looks_like_campaign(text):
            raise UsageError(
                f"{self.path} is a campaign file, not a list; name the list that it is to be sent "
                'to, as in [campaign] recipients = "people.csv"'
            )

    def _use_bom(self, start: bytes) -> None:
        """A BOM is no part of the first heading, and says what all of the file is."""
        name = self._candidates[0]
        if self._auto:
            if start.startswith(codecs.BOM_UTF8):
                self._candidates = ("utf-8-sig",)
            elif wide_of(start) == "utf-16" and start.startswith(BOMS["utf-16"]):
                self._candidates = ("utf-16",)
            else:
                self._candidates = ("utf-8-sig", "gb18030")
        elif name.startswith(WIDE) and start.startswith(BOMS.get(name, ())):
            self._candidates = (name[:6],)

    def _is_another_encoding(self, name: str, text: str) -> bool:
        """Whether a text that could be decoded is of another encoding all the same."""
        return self._auto and name == "gb18030" and is_strange(text)

    def scan(self) -> Iterator[None]:
        """Reads the file once, a chunk a step: afterwards `encoding` and `sha256` are known.

        Raises:
            UsageError: no encoding fits, or the file changed since the first look at it.
        """
        check_file(self.path)
        if self._identity is None:
            self._identity = identity_of(self.path)
        with open_bytes(self.path) as file:
            self._use_bom(file.read(4))
        for name in self._candidates:
            decoder = codecs.getincrementaldecoder(name)()
            digest = hashlib.sha256()
            try:
                self.line_ends = 0
                with open_bytes(self.path) as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        self.line_ends += chunk.count(b"\n")
                        if self._is_another_encoding(name, decoder.decode(chunk)):
                            break
                        yield
                    else:
                        decoder.decode(b"", final=True)
                        self.check_unchanged()
                        self._refuse_utf8_as_gb18030(name)
                        self.encoding, self.sha256 = name, digest.hexdigest()
                        return
            except UnicodeError:
                pass
            if self._auto and name == "utf-8-sig":
                census = Utf8Census()
                for lines in self._whole_lines():
                    census.add(lines)
                    yield
                if census.is_utf8:
                    break
        self.check_unchanged()
        raise UsageError(self._undecodable())

    def scan_now(self) -> None:
        """The whole scan at once, unless it is done."""
        if self.encoding is None:
            for _ in self.scan():
                pass

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """The file's text, its line ends as they are.

        Raises:
            UsageError: it is not the file that was scanned, or changed until the block's end.
        """
        check_file(self.path)
        try:
            with TextIOWrapper(open_bytes(self.path), self.encoding, newline="") as file:
                if self._identity is not None:
                    check_unchanged(self.path, self._identity, file.fileno())
                yield file
        except UnicodeError:
            self.check_unchanged()
            raise
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raises UsageError when it is no longer the file that was looked at first."""
        if self._identity is not None:
            check_unchanged(self.path, self._identity)

    def _whole_lines(self) -> Iterator[bytes]:
        """All of it, whole lines at a time."""
        with open_bytes(self.path) as file:
            while lines := file.readlines(_CHUNK):
                yield b"".join(lines)

    def _census(self) -> Utf8Census:
        census = Utf8Census()
        for lines in self._whole_lines():
            census.add(lines)
        return census

    def _refuse_utf8_as_gb18030(self, name: str) -> None:
        """Raises UsageError for UTF-8 that is said to be GB18030: every name would be unreadable."""
        if self._auto or name != "gb18030":
            return
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for lines in self._whole_lines():
                decoder.decode(lines)
            decoder.decode(b"", final=True)
        except UnicodeError:
            return
        if self._census().valid > 1:
            raise UsageError(
                f"{self.path} is UTF-8, though its encoding is said to be {name}; leave encoding out"
            )

    def _undecodable(self) -> str:
        codec = self._candidates[0]
        name = codec.removesuffix("-sig").upper()
        with open_bytes(self.path) as file:
            start = file.read(_HEAD)
        if codec in ("utf-16", "utf-32") and not start.startswith(BOMS[codec]):
            found = wide_of(start)
            then = f"say encoding = {found!r}" if found else "if it is not that, say 'auto'"
            return f"{self.path} has no byte order mark, which {name} needs; {then}"
        if codec.startswith(WIDE):  # its lines are not those that a file is read by
            return f"{self.path} is not {name}; save it as UTF-8"
        if codec != "utf-8-sig":
            return f"{self.path} is not {name} (line {self._first_bad(codec)}); save it as UTF-8"
        census = self._census()
        if not self._auto:
            return f"{self.path} is not UTF-8 (line {census.first_bad}); save it as UTF-8"
        if len(self._candidates) == 1 or census.is_utf8:
            said = (
                f"{self.path} is UTF-8, but line {census.first_bad} is not: it is of another "
                "encoding, or cut in the middle of a character; write that line anew as UTF-8"
            )
            if census.has_long:
                return said
            # Two bytes that are a character of UTF-8 are one of GB18030 too, as in most lines of
            # a list whose names all have the same.
            return f"{said}; or, if all of it is GBK or GB18030, say encoding = 'gb18030'"
        return (
            f"{self.path} is neither UTF-8 nor GB18030 (line {census.first_bad}); save it as UTF-8"
        )

    def _first_bad(self, codec: str) -> int:
        decoder = codecs.getincrementaldecoder(codec)()
        number = 1
        with open_bytes(self.path) as file:
            try:
                for line in file:
                    number += decoder.decode(line).count("\n")
            except UnicodeError:
                pass
        return number


class Record(NamedTuple):
    """One record of a CSV file.

    Attributes:
        fields: its cells; None when it cannot be read.
        line: the number of its first line.
        trouble: why it cannot be read.
        inner: the lines after its first one, as they stand: a quoted cell runs over them.
    """

    fields: list[str] | None
    line: int
    trouble: str = ""
    inner: Sequence[str] = ()


@overload
def read_records(
    file: TextIO, size: int, dialect: Dialect = COMMA
) -> Iterator[list[Record] | tuple[int, list[list[str]]]]: ...
@overload
def read_records(
    file: TextIO, size: int, dialect: Dialect = COMMA, *, even: Literal[True]
) -> Iterator[EvenLines | list[Record] | tuple[int, list[list[str]]]]: ...
def read_records(
    file: TextIO, size: int, dialect: Dialect = COMMA, *, even: bool = False
) -> Iterator[EvenLines | list[Record] | tuple[int, list[list[str]]]]:
    """A CSV file's records, about `size` at a time.

    Yields either `(line, records)`, records of one line each from that line on, or a list of
    `Record` when some run over several lines or cannot be read. Blank lines are empty records.

    Args:
        file: the text, its line ends as they are.
        size: about how many lines to read at a time.
        dialect: what separates the cells, and how many lines to leave out first.
        even: `EvenLines` are welcome, where lines are such.
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
        if even and (columns := columns_of_lines(block, delimiter)) is not None:
            yield EvenLines(line, columns)
            line += len(block)
            continue
        try:
            records = list(csv.reader(block, delimiter=delimiter, strict=True))
        except csv.Error:
            records = []
        if len(records) == len(block):
            yield line, records
            line += len(block)
            continue
        found, used = _read_one_by_one(block, line, ended, delimiter)
        held = block[used:]
        line += used
        if found:
            yield found


def _read_one_by_one(
    block: list[str], line: int, ended: bool, delimiter: str
) -> tuple[list[Record], int]:
    """Record by record; returns them, and how many of the lines they took."""
    found: list[Record] = []
    done = 0
    while done < len(block):
        reader = csv.reader(block[done:], delimiter=delimiter, strict=True)
        start = done
        try:
            for fields in reader:
                end = start + reader.line_num
                found.append(Record(fields, line + done, "", block[done + 1 : end]))
                done = end
        except csv.Error as error:
            reached = start + reader.line_num
            if reached == len(block) and not ended and reached - done < _MAX_LINES:
                break  # it may go on in the next block
            found.append(Record(None, line + done, _why_unreadable(error)))
            done += 1
    return found, done


def _why_unreadable(error: csv.Error) -> str:
    text = str(error)
    return "the text ends in a quoted cell" if text == "unexpected end of data" else text
