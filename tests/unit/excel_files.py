"""Workbooks as tests make them: part by part, or by openpyxl."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl

from promomsg.model import Problem

__all__ = ["CASES", "NS", "REL", "TOP", "line", "made", "said", "sheet_xml", "troubles", "workbook"]

CASES = Path(__file__).parents[1] / "cases" / "lists"
NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def sheet_xml(rows: str, before: str = "", ns: str = NS) -> str:
    return f"<worksheet {ns}>{before}<sheetData>{rows}</sheetData></worksheet>"


def line(number: int | None, *cells: str, more: str = "") -> str:
    """A row of inline texts."""
    at = "" if number is None else f' r="{number}"'
    said = "".join(f'<c t="inlineStr"><is><t>{c}</t></is></c>' for c in cells)
    return f"<row{at}{more}>{said}</row>"


TOP = line(1, "key", "id", "name")


def workbook(
    path: Path,
    sheet: str,
    *,
    styles: str = "",
    strings: str = "",
    book: str = "",
    kind: str = "worksheet",
    parts: dict[str, str | bytes] | None = None,
    rename: Callable[[str], str] = str,
) -> Path:
    """A workbook of one sheet, written part by part."""
    content: dict[str, str | bytes] = {
        "_rels/.rels": f'<Relationships><Relationship Id="a" Type="{REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": book
        or f'<workbook {NS} xmlns:r="{REL}"><sheets><sheet name="One" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": "<Relationships>"
        f'<Relationship Id="rId1" Type="{REL}/{kind}" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{REL}/styles" Target="/xl/styles.xml"/>'
        f'<Relationship Id="rId3" Type="{REL}/sharedStrings" Target="sharedStrings.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": sheet,
        **({"xl/styles.xml": styles} if styles else {}),
        **({"xl/sharedStrings.xml": strings} if strings else {}),
        **(parts or {}),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(rename(name), text)
    return path


def made(path: Path, *lines: Any, formats: dict[str, str] | None = None) -> Path:
    """A workbook by openpyxl."""
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for cells in lines:
        page.append(cells)
    for at, code in (formats or {}).items():
        page[at].number_format = code
    book.save(path)
    return path


def said(rows: list[Any]) -> list[tuple[str, str | None, Any]]:
    return [(r.key, r.id, r.params.get("name")) for r in rows]


def troubles(rows: list[Any]) -> list[Problem | None]:
    return [r.problem for r in rows]
