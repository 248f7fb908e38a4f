"""Recipients from JSON: lines of one object each, or one array of objects, gzip-packed or not."""

from __future__ import annotations

import hashlib
import os
import re
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec
from anyio import to_thread

from promomsg.clock import let_others_run
from promomsg.errors import UsageError
from promomsg.intake.columns import (
    check_column_names,
    check_columns,
    check_no_address_in_message,
    check_placeholders,
)
from promomsg.intake.empty_cell_words import EmptyCellWords
from promomsg.intake.file_identity import FileIdentity, check_unchanged, identity_of
from promomsg.intake.file_kinds import other_kind
from promomsg.intake.python.iterables import column_name_of, rows_of_items
from promomsg.intake.row_batch import RowBatch
from promomsg.intake.several_files import Paths, one_or_several
from promomsg.intake.sources import ADDRESSES, KNOWN, Source, read_as
from promomsg.intake.text.gzip_input import open_bytes
from promomsg.intake.text.standard_input import StandardInput
from promomsg.intake.text.textfile import check_file, wide_of
from promomsg.model import Code, Problem
from promomsg.suggest import nearest, quoted

__all__ = ["JsonLinesSource", "read_jsonl"]

_HEAD: Final = 100
_SAMPLE: Final = 4096
_LONGEST: Final = 16 << 20
"""Bytes of one line: an object with somebody's name in it has a few hundred."""
_WHOLE: Final = 256 << 20
"""Bytes of a file that has to be read as a whole, because it is one array."""
_NAME: Final = re.compile(r"[^\W\d]{1,20}")
"""A key that is surely a name; another may be a user's token in the wrong place."""
_decoder = msgspec.json.Decoder()
_array = msgspec.json.Decoder(list[msgspec.Raw])
_Numbered = tuple[str, bytes | msgspec.Raw]
"""What a person calls it, `line 7` or `item 7`, and its JSON."""


def read_jsonl(path: Paths, *, columns: Mapping[str, str] | None = None) -> Source:
    """Recipients from JSON (UTF-8): one object a line, or one array of them. Nothing is read yet.

    Keys are those of `read_csv`'s columns; other keys, and those of a nested `params` object, are
    parameters. Digits alone are a promoter id. A file that gzip packed is unpacked.

    Args:
        path: the file, `"-"` for standard input, or a list of files.
        columns: our name → the file's key.

    Raises:
        UsageError: `columns` is no such mapping, or `path` is no path.
    """
    ours = check_columns(columns)

    def build(one: str | os.PathLike[str]) -> Source:
        if one == "-":
            return StandardInput(lambda spooled: JsonLinesSource(spooled, ours))
        return JsonLinesSource(one, ours)

    return one_or_several(path, build)


class JsonLinesSource:
    """What `read_jsonl` returns of one file: a `Source`."""

    repeatable = True

    def __init__(self, path: str | os.PathLike[str], columns: Mapping[str, str] | None) -> None:
        self._path = Path(path)
        self._columns = check_columns(columns)
        self._sha256: str | None = None
        self._identity: FileIdentity | None = None
        self._column_notices: list[str] = []
        self._empty_words = EmptyCellWords(str(path))
        self.parameters: frozenset[str] = frozenset()

    @property
    def notices(self) -> list[str]:
        """What the plan should say; see `Source.notices`."""
        return [*self._column_notices, *self._empty_words.notices()]

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Looks at the first 100 objects. Raises UsageError as `Source.check` says."""
        check_file(self._path)
        self._identity = identity_of(self._path)
        with open_bytes(self._path) as file:
            start = file.read(_SAMPLE)
        if (wide := wide_of(start)) and not start.startswith(b"\0\0\0\0"):
            raise UsageError(
                f"{self._path} is {wide.upper()}, and JSON lines are UTF-8; save it as that"
            )
        if kind := other_kind(start, self._path):
            raise UsageError(f"{self._path} is {kind}")
        numbered = list(islice(self._numbered(), _HEAD + 1))
        if not numbered:
            raise UsageError(f"{self._path} is empty: nobody to send to")
        decoded = [_decode(text) for _, text in numbered]
        if isinstance(decoded[0], Problem):
            self._refuse_one_object()
        objects: list[dict[str, Any]] = [o for o in decoded if isinstance(o, dict)]
        check_no_address_in_message(names, str(self._path))
        if not objects:
            return
        renamed: dict[str, str] = {heading: name for name, heading in self._columns.items()}
        there: set[str] = {column_name_of(renamed.get(key, key)) for o in objects for key in o}
        there |= {key for o in objects if isinstance(p := o.get("params"), dict) for key in p}
        check_column_names(self._columns, names, str(self._path))
        if not there.intersection((*ADDRESSES, "key")):
            named = sorted(filter(_NAME.fullmatch, there))
            shown = f" (there are {quoted(named)})" if named else ""
            raise UsageError(
                f"{self._path}: no key is called id, openid, unionid or access_token{shown}; say "
                "which one it is, as in columns: id = …"
            )
        values = there.difference(KNOWN)
        self.parameters = frozenset(values)
        # A later line may have what the first hundred have not, unless it is plainly a slip.
        if len(numbered) > _HEAD:
            names = frozenset(n for n in names - values if nearest(n, values))
        self._column_notices = check_placeholders(names, optional, values, str(self._path))

    def _refuse_one_object(self) -> None:
        """Raises UsageError when the file is one object over several lines."""
        with open_bytes(self._path) as file:
            data = file.read(_LONGEST).removeprefix(BOM_UTF8)
        try:
            whole = _decoder.decode(data) if data.lstrip().startswith(b"{") else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(whole, dict):
            raise UsageError(
                f"{self._path} is one JSON object; give an array of objects, or one object a line"
            )

    @property
    def file_path(self) -> Path:
        """See `FromFile`."""
        return self._path.absolute()

    def describe(self) -> dict[str, Any]:
        """Kind, path and sha256."""
        if self._sha256 is None:
            check_file(self._path)
            with self._path.open("rb") as file:
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        described = {"kind": "jsonl", "path": str(self._path.absolute()), "sha256": self._sha256}
        return described | read_as(self._columns)

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[RowBatch]:
        """Every object; see `Source.batches`."""
        check_file(self._path)
        if self._identity is None:
            self._identity = identity_of(self._path)
        check_unchanged(self._path, self._identity)
        self._sha256 = None
        self._empty_words = EmptyCellWords(str(self._path))
        first = 1
        numbered = cast("Any", self._numbered())
        try:
            while block := await to_thread.run_sync(_take, numbered, size):
                yield self._rows(block, names, first)
                first += len(block)
                await let_others_run()
        finally:
            numbered.close()
        await to_thread.run_sync(self.describe)
        check_unchanged(self._path, self._identity)
        if first == 1:
            raise UsageError(f"{self._path} is empty: nobody to send to")

    def _rows(self, block: list[_Numbered], names: frozenset[str], first: int) -> RowBatch:
        problems: dict[int, Problem] = {}
        items: list[Any] = []
        for i, (_, text) in enumerate(block):
            item = _decode(text)
            if isinstance(item, Problem):
                problems[i] = item
                item = None
            items.append(item)
        return rows_of_items(
            items,
            names,
            [where for where, _ in block],
            first,
            columns=self._columns,
            problems=problems,
            empty_words=self._empty_words,
        )

    def _numbered(self) -> Iterator[_Numbered]:
        """The objects, not yet decoded, each with what a person calls it."""
        with open_bytes(self._path) as file:
            start = file.read(_SAMPLE)
        is_array = start.removeprefix(BOM_UTF8).lstrip()[:1] == b"["
        with open_bytes(self._path) as file:
            yield from self._refuse_other_encoding(
                self._elements(file) if is_array else self._lines(file)
            )

    def _lines(self, file: BinaryIO) -> Iterator[_Numbered]:
        """The lines that are not blank, without a BOM."""
        number = 0
        while line := file.readline(_LONGEST):
            number += 1
            if len(line) == _LONGEST:
                raise UsageError(
                    f"{self._path}: line {number} is longer than {_LONGEST >> 20} MiB; write one "
                    "object a line"
                )
            text = line.removeprefix(BOM_UTF8).strip() if number == 1 else line.strip()
            if text:
                yield f"line {number}", text

    def _refuse_other_encoding(self, numbered: Iterator[_Numbered]) -> Iterator[_Numbered]:
        """The same, unless the file is of another encoding, rather than one text of it torn."""
        other: list[str] = []
        decoded = False
        for seen, (where, text) in enumerate(numbered):
            if seen < _HEAD and not decoded:
                data = bytes(text)
                try:
                    decoded = not data.isascii() and bool(data.decode())
                except UnicodeDecodeError:
                    other.append(where)
                    if len(other) > 1 or seen == 0:
                        raise UsageError(
                            f"{self._path} is not UTF-8 ({other[0]}), as JSON lines are; save it "
                            "as UTF-8, as with: iconv -f GB18030 -t UTF-8"
                        ) from None
            yield where, text

    def _elements(self, file: BinaryIO) -> Iterator[_Numbered]:
        """The elements of a file that is one array."""
        data = file.read(_WHOLE + 1)
        if len(data) > _WHOLE:
            raise UsageError(
                f"{self._path} is one array of more than {_WHOLE >> 20} MiB; write one object a "
                "line (.jsonl), which is read as a stream"
            )
        data = data.removeprefix(BOM_UTF8)
        try:
            elements = _array.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{self._path} is not one JSON array: {error}") from None
        except RecursionError:
            raise UsageError(f"{self._path} is not one JSON array: nested too deep") from None
        for number, element in enumerate(elements, 1):
            yield f"item {number}", element


def _take(numbered: Iterator[_Numbered], size: int) -> list[_Numbered]:
    return list(islice(numbered, size))


def _decode(text: bytes | msgspec.Raw) -> Any:
    """An object, a promoter id, or the problem with the line."""
    try:
        item = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Problem(Code.BAD_ROW, f"not JSON: {error}")
    except RecursionError:
        return Problem(Code.BAD_ROW, "not JSON that anybody would write: nested too deep")
    if isinstance(item, bool) or not isinstance(item, (dict, int, float, str)):
        return Problem(Code.BAD_ROW, 'not an object; write {"id": "…"}')
    if isinstance(item, str) and not (item.isascii() and item.isdigit()):
        return Problem(Code.BAD_ROW, 'text that is not an object; write {"openid": "…"}')
    return item
