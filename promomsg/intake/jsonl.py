"""Recipients from JSON lines: one object a line, with the columns' names as its keys."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from anyio.lowlevel import checkpoint

from promomsg.errors import UsageError
from promomsg.intake.base import ADDRESSES, KNOWN, Row
from promomsg.intake.items import item_rows
from promomsg.intake.layout import check_names, check_no_address, check_slips, clean_columns
from promomsg.intake.textfile import check_file, wide_of
from promomsg.model import Code, Problem
from promomsg.suggest import nearest, quoted

__all__ = ["JsonLinesSource", "read_jsonl"]

_HEAD: Final = 100
_SAMPLE: Final = 4096
_BOM: Final = b"\xef\xbb\xbf"
_decoder = msgspec.json.Decoder()


def read_jsonl(
    path: str | os.PathLike[str], *, columns: Mapping[str, str] | None = None
) -> JsonLinesSource:
    """Recipients from a file of JSON lines (UTF-8), one object a line. Nothing is read yet.

    Keys are those of `read_csv`'s columns; other keys, and those of a nested `params` object, are
    parameters. A line of digits is a promoter id.

    Args:
        path: the file.
        columns: our name → the file's key.

    Raises:
        UsageError: `columns` is no such mapping.
    """
    return JsonLinesSource(path, columns)


class JsonLinesSource:
    """What `read_jsonl` returns: a `Source`."""

    repeatable = True

    def __init__(self, path: str | os.PathLike[str], columns: Mapping[str, str] | None) -> None:
        self._path = Path(path)
        self._columns = clean_columns(columns)
        self._sha256: str | None = None
        self.notices: list[str] = []
        self.parameters: frozenset[str] = frozenset()

    def check(self, names: frozenset[str], spare: frozenset[str] = frozenset()) -> None:
        """Looks at the first 100 lines. Raises UsageError as `Source.check` says."""
        check_file(self._path)
        with self._path.open("rb") as file:
            if wide := wide_of(file.read(_SAMPLE)):
                raise UsageError(
                    f"{self._path} is {wide.upper()}, and JSON lines are UTF-8; save it as that"
                )
            file.seek(0)
            numbered = list(_lines(file, 1, _HEAD + 1))
        lines = [line for _, line in numbered]
        if not lines:
            raise UsageError(f"{self._path} is empty: nobody to send to")
        _check_utf8(numbered, self._path)
        if lines[0].startswith(b"["):
            raise UsageError(f"{self._path} is one JSON array; write one object a line instead")
        objects: list[dict[str, Any]] = [o for o in map(_decode, lines) if isinstance(o, dict)]
        check_no_address(names, str(self._path))
        if not objects:
            return
        renamed: dict[str, str] = {heading: name for name, heading in self._columns.items()}
        there: set[str] = {renamed.get(key, key) for o in objects for key in o}
        there |= {key for o in objects if isinstance(p := o.get("params"), dict) for key in p}
        check_slips(self._columns, names, str(self._path))
        if not there.intersection((*ADDRESSES, "key")):
            raise UsageError(
                f"{self._path}: no key is called id, openid, unionid or access_token (there are "
                f"{quoted(sorted(there))}); say which one it is, as in columns: id = …"
            )
        values = there.difference(KNOWN)
        self.parameters = frozenset(values)
        # A later line may have what the first hundred have not, unless it is plainly a slip.
        if len(lines) > _HEAD:
            names = frozenset(n for n in names - values if nearest(n, values))
        self.notices = check_names(names, spare, values, str(self._path))

    def describe(self) -> dict[str, Any]:
        """Kind, path and sha256."""
        if self._sha256 is None:
            check_file(self._path)
            with self._path.open("rb") as file:
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {"kind": "jsonl", "path": str(self._path.absolute()), "sha256": self._sha256}

    async def batches(self, names: frozenset[str], size: int = 1000) -> AsyncIterator[list[Row]]:
        """Every line; see `Source.batches`."""
        check_file(self._path)
        first = 1
        with self._path.open("rb") as file:
            numbered = _lines(file, 1, None)
            while block := list(islice(numbered, size)):
                yield self._rows(block, names, first)
                first += len(block)
                await checkpoint()
        if first == 1:
            raise UsageError(f"{self._path} is empty: nobody to send to")

    def _rows(self, block: list[tuple[int, bytes]], names: frozenset[str], first: int) -> list[Row]:
        problems: dict[int, Problem] = {}
        items: list[Any] = []
        for i, (_, line) in enumerate(block):
            item = _decode(line)
            if isinstance(item, Problem):
                problems[i] = item
                item = None
            items.append(item)
        where = [f"line {number}" for number, _ in block]
        return item_rows(items, names, where, first, columns=self._columns, problems=problems)


def _lines(file: BinaryIO, start: int, limit: int | None) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers, without a BOM."""
    for number, line in enumerate(islice(file, limit), start):
        text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if text:
            yield number, text


def _check_utf8(numbered: list[tuple[int, bytes]], path: Path) -> None:
    """Raises UsageError when the file is of another encoding, rather than a line of it torn."""
    other = []
    for number, line in numbered:
        try:
            said = not line.isascii() and bool(line.decode())
        except UnicodeDecodeError:
            other.append(number)
        else:
            if said:
                return
    if len(other) > 1 or other == [numbered[0][0]]:
        raise UsageError(
            f"{path} is not UTF-8 (line {other[0]}), as JSON lines are; save it as UTF-8, "
            "as with: iconv -f GB18030 -t UTF-8"
        )


def _decode(line: bytes) -> Any:
    """An object, a promoter id, or the problem with the line."""
    try:
        item = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Problem(Code.BAD_ROW, f"not JSON: {error}")
    except RecursionError:
        return Problem(Code.BAD_ROW, "not JSON that anybody would write: nested too deep")
    if isinstance(item, bool) or not isinstance(item, (dict, int, float, str)):
        return Problem(Code.BAD_ROW, 'not an object; write {"id": "…"}')
    if isinstance(item, str) and not (item.isascii() and item.isdigit()):
        return Problem(Code.BAD_ROW, 'text that is not an object; write {"openid": "…"}')
    return item
