"""Whom not to send to. A value that cannot be read here stops everything: it is somebody's no."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final

from promomsg.addresses import mangled
from promomsg.errors import UsageError
from promomsg.intake.clean import printable
from promomsg.intake.textfile import TextFile, read_records
from promomsg.suggest import quoted

__all__ = ["read_suppression"]

_COLUMNS: Final = ("key", "id", "openid", "unionid")


def read_suppression(
    path: str | os.PathLike[str],
    encoding: str = "auto",
    *,
    columns: Mapping[str, str] | None = None,
    size: int = 1000,
) -> Iterator[list[str]]:
    """The keys and addresses of a suppression list, in batches.

    Args:
        path: a CSV with headings, of which key, id, openid and unionid count; or one value a line
            without headings.
        encoding: as `read_csv` has it.
        columns: our name → the file's heading.
        size: about how many lines a batch has.

    Raises:
        UsageError: the file cannot be read; several columns and none of those headings; a value
            that a spreadsheet mangled, or a line that cannot be read: who is meant would be lost.
    """
    file = TextFile(path, encoding)
    file.head()
    file.scan_now()
    headings = {heading: name for name, heading in (columns or {}).items()}
    wanted: list[tuple[int, str]] | None = None
    with file.open() as text:
        for block in read_records(text, size):
            if isinstance(block, tuple):
                numbered = list(enumerate(block[1], block[0]))
            else:
                numbered = []
                for fields, line, trouble in block:
                    if fields is None:
                        raise UsageError(f"{path} line {line} cannot be read: {trouble}")
                    numbered.append((line, fields))
            values: list[str] = []
            for line, record in numbered:
                if not record:
                    continue
                if wanted is None:
                    wanted = _columns(record, headings, str(path))
                    if wanted:
                        continue
                    wanted = [(0, "")]
                elif wanted == [(0, "")] and len(record) > 1:
                    raise UsageError(f"{path} line {line} has several values; give one a line")
                _values(record, wanted, f"{path} line {line}", values)
            if values:
                yield values


def _columns(record: list[str], renamed: Mapping[str, str], path: str) -> list[tuple[int, str]]:
    """Which columns count; none when the first line is a value."""
    names = [renamed.get(cell.strip(), cell.strip().lower()) for cell in record]
    found = [(i, name) for i, name in enumerate(names) if name in _COLUMNS]
    if not found and len(record) > 1:
        raise UsageError(
            f"{path}: no heading is key, id, openid or unionid (there are {quoted(record)}); "
            "add one, or give one value a line"
        )
    return found


def _values(
    record: list[str], wanted: list[tuple[int, str]], where: str, values: list[str]
) -> None:
    for i, name in wanted:
        value = record[i] if i < len(record) else ""
        text = value.strip()
        if not text:
            continue
        if name != "key" and mangled(text):
            raise UsageError(
                f"{where}: {printable(text)!r} was mangled by a spreadsheet, and whoever was meant "
                "would get the message; export the column as text"
            )
        values.append(text)
        if name == "key" and value != text:
            values.append(value)  # keys are compared verbatim
