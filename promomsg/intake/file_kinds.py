"""What a file is by its first bytes, named with what to do about it when it is no list."""

from __future__ import annotations

import re
import zipfile
from codecs import BOM_UTF8
from pathlib import Path
from typing import Final

from promomsg.addresses import known_column
from promomsg.sqlite_header import SQLITE_SIGN

__all__ = [
    "GZIP",
    "XLSX_PARTS",
    "looks_like_campaign",
    "looks_like_list",
    "other_kind",
    "zip_kind",
]

GZIP: Final = b"\x1f\x8b"
XLSX_PARTS: Final = "xl/workbook.xml"
_COMPRESSED: Final = "; unpack it and name the list in it"
_KINDS: Final = (
    (SQLITE_SIGN, "a SQLite database, such as a campaign's journal, not a list; "
     "name the list that the campaign was sent to"),
    (b"%PDF", "a PDF; name the table that it was made from"),
    (b"PAR1", "a Parquet file; use read_parquet, or name it .parquet"),
    (b"ARROW1", "an Arrow (Feather) file; read it with pyarrow and use from_frame"),
    (b"Obj\x01", "an Avro file; save it as CSV, JSON lines or Parquet"),
    (b"ORC", "an ORC file; save it as CSV, JSON lines or Parquet"),
    (b"{\\rtf", "an RTF document; save its table as CSV"),
    (b"BZh", "compressed by bzip2" + _COMPRESSED),
    (b"\xfd7zXZ\x00", "compressed by xz" + _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd" + _COMPRESSED),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive" + _COMPRESSED),
    (b"Rar!", "a RAR archive" + _COMPRESSED),
    (b"\x89PNG", "a picture; name a table"),
    (b"\xff\xd8\xff", "a picture; name a table"),
)  # fmt: skip
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# re compiles these when they are first looked for, and keeps them.
_MARKUP: Final = rb"(?i)\s*(?:<!doctype\s+html|<html|<table|<head|<body|<meta|<style|<script|<div)"
_XML: Final = rb"\s*<\?xml\b"
_CAMPAIGN: Final = r"(?m)^\s*\[\s*(?:campaign|wechat|alipay|message)(?:\.\w+)*\s*\]\s*(?:#.*)?$"


def other_kind(start: bytes, path: Path | None = None) -> str | None:
    """What a file is that is no text, by its first bytes; None when it may be text.

    Args:
        start: its first kilobytes.
        path: where the rest of it is: a zip is told by what is in it.
    """
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return zip_kind(_members(path))
    if start.startswith(_OLE):
        return (
            "an old Excel file (.xls), or one with a password; save it as .xlsx without a "
            "password, or as CSV"
        )
    for sign, kind in _KINDS:
        if start.startswith(sign):
            return kind
    bare = start.removeprefix(BOM_UTF8)
    if re.match(_MARKUP, bare):
        return "an HTML page (some programs call that .xls); open it in a spreadsheet program and save it as .xlsx"
    if re.match(_XML, bare):
        if b"office:spreadsheet" in start:
            return "a workbook of Excel 2003 (XML); save it as .xlsx or CSV"
        return "an XML or HTML file; save its table as .xlsx or CSV"
    return None


def zip_kind(members: frozenset[str]) -> str:
    """What a zip is, by the names of its members in small letters."""
    for sign, kind in (
        (XLSX_PARTS, "an Excel workbook; use read_excel, or save it as CSV"),
        ("content.xml", "an OpenDocument file (.ods); save it as .xlsx or CSV"),
        ("xl/workbook.bin", "a binary workbook (.xlsb); save it as .xlsx or CSV"),
        ("word/document.xml", "a Word document; save its table as .xlsx or CSV"),
        ("index/document.iwa", "a Numbers document; export it as .xlsx or CSV"),
    ):
        if sign in members:
            return kind
    return "a zip archive; unpack it and name the list in it"


def looks_like_list(start: bytes) -> bool:
    """Whether a text is a list: its first line has a known column's name, or begins JSON lines."""
    line = start.removeprefix(BOM_UTF8).lstrip().split(b"\n", 1)[0].decode("utf-8", "replace")
    if line.startswith("{"):
        return True
    cells = re.split(r"[,;\t|]", line)
    return "=" not in line and any(known_column(cell.strip("\"' \r")) for cell in cells)


def _members(path: Path | None) -> frozenset[str]:
    if path is None:
        return frozenset((XLSX_PARTS,))
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.replace("\\", "/").lower() for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return frozenset((XLSX_PARTS,))


def looks_like_campaign(head: str) -> bool:
    """Whether a text is a campaign file rather than a list: it has a section's heading."""
    return re.search(_CAMPAIGN, head) is not None
