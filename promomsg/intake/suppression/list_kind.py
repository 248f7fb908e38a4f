"""What kind of file a suppression list is in, or why the file can be none."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal
from zipfile import is_zipfile

from promomsg.errors import UsageError
from promomsg.intake.file_kinds import GZIP, other_kind
from promomsg.intake.text.textfile import check_file
from promomsg.sqlite_header import is_sqlite

__all__ = ["kind_of_list"]

_SNIFFED: Final = 1 << 12
_GIVE: Final = "give a CSV file or one key or address a line"
_BY_SUFFIX: Final = {
    ".json": "JSON",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".toml": "a campaign file (TOML)",
    ".html": "a web page",
    ".htm": "a web page",
    ".xml": "XML",
    ".xls": "an old Excel workbook",
    ".ods": "an OpenDocument spreadsheet",
}
_TABLES: Final = (".xlsx", ".xlsm", ".parquet")
_TOML: Final = re.compile(r"\[[\w.]+\]\s*(#.*)?$", re.MULTILINE)


def kind_of_list(path: str | os.PathLike[str]) -> Literal["text", "table", "journal"]:
    """What a suppression file is, by its first bytes: a journal of ours, an Excel workbook or
    Parquet file (`table`), or text.

    Raises:
        UsageError: it is not there, or nothing that a list can be; the kind is named.
    """
    file = Path(path)
    check_file(file)
    with file.open("rb") as opened:
        start = opened.read(_SNIFFED)
    suffix = file.suffix.lower()
    if not start:
        raise UsageError(
            f"{path} is empty (0 bytes): was it written to its end? A list of nobody has a heading "
            "line, such as: id"
        )
    if is_sqlite(start):
        return "journal"
    if start.startswith(b"PAR1") or (suffix in _TABLES and start.startswith(b"PK")):
        return "table"
    found = _binary_kind(start, file)
    if found is None and suffix in _TABLES:
        raise UsageError(f"{path} is no {suffix[1:]} file, whatever its name says; {_GIVE}")
    found = found or _BY_SUFFIX.get(suffix) or _text_kind(start)
    if found is not None:
        raise UsageError(f"{path} is {found}, and no suppression list; {_GIVE}")
    return "text"


def _binary_kind(start: bytes, file: Path) -> str | None:
    """What a file is that is no text, in the words of `file_kinds.other_kind`, without its advice."""
    if start.startswith(GZIP):
        return "compressed (gzip)"
    if _beginning(start).startswith("<"):  # markup; `_text_kind` names it
        return None
    if start.startswith(b"PK\x03\x04") and not is_zipfile(file):
        return "a damaged zip archive"
    kind = other_kind(start, file)
    return None if kind is None else kind.partition(";")[0]


def _text_kind(start: bytes) -> str | None:
    """What a text is that is no list, by how it begins."""
    text = _beginning(start)
    if text.startswith(("{", '[{"', '["')):
        return "JSON"
    if text.startswith("<"):
        return "a web page or XML"
    if _TOML.match(text):
        return "a campaign file (TOML)"
    return None


def _beginning(start: bytes) -> str:
    return start.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
