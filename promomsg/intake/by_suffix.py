"""`read_file`: a list of recipients of any kind, told by its file's suffix or its first bytes."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Mapping
from pathlib import Path

from promomsg.errors import UsageError
from promomsg.intake.file_kinds import XLSX_PARTS, other_kind, zip_kind
from promomsg.intake.several_files import Paths, one_or_several
from promomsg.intake.sources import Source
from promomsg.intake.text.csvfile import read_csv
from promomsg.intake.text.gzip_input import open_bytes
from promomsg.intake.text.standard_input import StandardInput

__all__ = ["read_file"]

_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_EXCEL = (".xlsx", ".xlsm", ".xltx", ".xltm")
_SAMPLE = 4096


def read_file(
    path: Paths,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str = "auto",
    sheet: str | int | None = None,
) -> Source:
    """Recipients from `.jsonl`, `.json`, `.parquet`, `.xlsx`, `.xlsm`, and CSV under any other name.

    Text that gzip packed (`.csv.gz`, `.jsonl.gz`) is unpacked. A folder is one of Parquet files.
    Standard input is told by what comes in.

    Args:
        path: the file, `-` for standard input, or a list of files.
        columns: our name → the file's heading.
        encoding: of a CSV file.
        sheet: of an Excel file: its name, or its number from 1.

    Raises:
        UsageError: there is no such encoding, the package for such a file is not installed, or
            `sheet` is said of a file that has none.
    """

    def build(one: str | os.PathLike[str]) -> Source:
        where = Path(one)
        if str(where) == "-":
            return StandardInput(lambda spooled: of_kind(spooled, _kind_by_content(spooled)))
        return of_kind(where, _kind_by_name(where))

    def of_kind(where: Path, kind: str) -> Source:
        # What reads a kind of file is loaded for such a file alone.
        if kind == "excel":
            from promomsg.intake.excel.excelfile import read_excel

            return read_excel(where, columns=columns, sheet=sheet)
        if sheet is not None:
            raise UsageError(f"sheet = {sheet!r} goes with an Excel file, and {where} is none")
        if kind == "json":
            from promomsg.intake.text.jsonl import read_jsonl

            return read_jsonl(where, columns=columns)
        if kind == "parquet":
            from promomsg.intake.arrow.parquet import read_parquet

            return read_parquet(where, columns=columns)
        return read_csv(where, columns=columns, encoding=encoding)

    return one_or_several(path, build)


def _kind_by_name(where: Path) -> str:
    name = where.name.lower().removesuffix(".gz")
    if name.endswith(_JSON):
        return "json"
    if name.endswith(_PARQUET) or where.is_dir():
        return "parquet"
    if name.endswith(_EXCEL):
        return "excel"
    # Half of the programs that write .xls mean something else by it.
    return _kind_by_content(where) if name.endswith(".xls") and where.is_file() else "csv"


def _kind_by_content(where: Path) -> str:
    """What comes in without a name: `excel`, `parquet`, `json` or `csv`."""
    try:
        with open_bytes(where) as file:
            start = file.read(_SAMPLE)
    except OSError:
        return "csv"  # which says what is wrong with it
    if other_kind(start, where) == zip_kind(frozenset((XLSX_PARTS,))):
        return "excel"
    if start.startswith(b"PAR1"):
        return "parquet"
    bare = start.removeprefix(BOM_UTF8).lstrip()
    return "json" if bare.startswith((b"{", b"[")) else "csv"
