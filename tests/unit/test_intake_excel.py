"""Excel lists: everybody on them, and their cells as a person reads them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from excel_files import CASES, NS, REL, TOP, line, made, said, sheet_xml, troubles, workbook
from read_source import read

from promomsg.errors import UsageError
from promomsg.intake.excel.excelfile import read_excel
from promomsg.intake.excel.number_formats import NumberFormat
from promomsg.intake.excel.workbook import Workbook
from promomsg.model import Code

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("case", sorted(p.name for p in CASES.glob("*.xlsx")))
async def test_all_forty_people_of_a_sheet_whose_dimension_is_wrong(case: str) -> None:
    rows = await read(read_excel(CASES / case), "name", size=7)
    assert [(r.key, r.id) for r in rows] == [(f"k{i}", str(5000 + i)) for i in range(40)]
    assert troubles(rows) == [None] * 40
    last = None if case.startswith("no-dimension") else "a"
    assert [r.params["name"] for r in rows] == [*["a"] * 39, last]


@pytest.mark.parametrize(
    "dimension", ["", "A1", "A1:B2", "B2:C3", "A1:XFD1048576", "Z9:A1", "A5:C5", "nonsense"]
)
@pytest.mark.parametrize("numbered", [True, False])
async def test_nobody_is_left_out_whatever_the_dimension_says(
    tmp_path: Path, dimension: str, numbered: bool
) -> None:
    rows = "".join(line(i + 2 if numbered else None, f"k{i}", str(100 + i), "x") for i in range(30))
    before = f'<dimension ref="{dimension}"/>' if dimension else ""
    path = workbook(tmp_path / "p.xlsx", sheet_xml(TOP + rows, before))
    found = await read(read_excel(path), "name")
    assert said(found) == [(f"k{i}", str(100 + i), "x") for i in range(30)]


async def test_rows_out_of_order_twice_or_far_apart_are_people_too(tmp_path: Path) -> None:
    rows = (
        line(1, "id") + line(9, "1") + line(3, "2") + line(3, "3") + line(None, "4")
        + line(1_048_576, "5") + line(None)[:0]
    )  # fmt: skip
    found = await read(read_excel(workbook(tmp_path / "p.xlsx", sheet_xml(rows))))
    assert [(r.id, r.where) for r in found] == [
        ("1", "row 9"),
        ("2", "row 3"),
        ("3", "row 3"),
        ("4", "row 4"),
        ("5", "row 1048576"),
    ]


async def test_headings_below_blank_rows_and_cells_anywhere(tmp_path: Path) -> None:
    rows = (
        "<row r='1'><c r='A1' s='0'/></row>" + line(2, " ") + "<row r='4'>"
        "<c r='XFD4' s='0'/><c r='C4' t='inlineStr'><is><t> id </t></is></c></row>"
        "<row r='5'><c r='c5'><v>7</v></c></row>"
    )
    found = await read(read_excel(workbook(tmp_path / "p.xlsx", sheet_xml(rows))))
    assert [(r.id, r.where) for r in found] == [("7", "row 5")]


async def test_the_strict_variant_prefixes_backslashes_and_capitals(tmp_path: Path) -> None:
    strict = 'xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"'
    rows = "<x:row r='1'><x:c r='A1' t='inlineStr'><x:is><x:t>id</x:t></x:is></x:c></x:row><x:row><x:c><x:v>5</x:v></x:c></x:row>"
    path = workbook(
        tmp_path / "p.xlsm",
        f"<x:worksheet {strict}><x:sheetData>{rows}</x:sheetData></x:worksheet>",
        rename=lambda n: n.replace("worksheets/sheet1", "Worksheets\\Sheet1"),
    )
    assert [r.id for r in await read(read_excel(path))] == ["5"]


async def test_shared_and_rich_texts_without_their_phonetic_guides(tmp_path: Path) -> None:
    strings = (
        f"<sst {NS}><si><t>id</t></si><si><t>name</t></si>"
        "<si><r><t>王</t></r><r><t>小明</t></r><rPh sb='0' eb='1'><t>ワン</t></rPh></si>"
        "<si><t>a_x000D__x000A_b _x_ _x005F_x000D_</t></si><si/><si><t>_xD800_</t></si></sst>"
    )
    rows = (
        "<row><c t='s'><v>0</v></c><c t='s'><v>1</v></c></row>"
        "<row><c><v>1</v></c><c t='s'><v>2</v></c></row>"
        "<row><c><v>2</v></c><c t='s'><v>3</v></c></row>"
        "<row><c><v>3</v></c><c t='s'><v>4</v></c></row><row><c><v>4</v></c><c t='s'><v>5</v></c></row>"
    )
    path = workbook(tmp_path / "p.xlsx", sheet_xml(rows), strings=strings)
    found = await read(read_excel(path), "name")
    assert [r.params["name"] for r in found] == ["王小明", "a\r\nb _x_ _x000D_", None, None]
    assert [r.problem and r.problem.code for r in found] == [None, None, None, Code.BAD_ROW]


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (120.0, "General", "120"),
        (1e16, "General", "10000000000000000"),
        (0.1 + 0.2, "General", "0.3"),
        (1e-7, "General", "0.0000001"),
        (12.5, "General", "12.5"),
        (42, "000000", "000042"),
        (42, '"K"0000', "K0042"),
        (13800138000, "000-0000-0000", "138-0013-8000"),
        (0.15, "0%", "15%"),
        (0.155, "0%", "16%"),
        (0.1234, "0.00%", "12.34%"),
        (-0.5, "0%", "-50%"),
        (99.9, "0.00", "99.90"),
        (99.9, '"¥"#,##0.00', "¥99.90"),
        (1234567, "#,##0", "1,234,567"),
        (1234.5, "[$¥-804]#,##0.00", "¥1,234.50"),
        (-3, "[Red]0;[Blue]-0", "-3"),
        (99, '0"元"', "99元"),
        (0.5, "# ?/?", "0.5"),
        (12345, "0.00E+00", "12345"),
        (3, ";;;", "3"),
        (3, "@", "3"),
        (dt.datetime(2026, 11, 11), "yyyy-mm-dd h:mm:ss", "2026-11-11"),
        (dt.datetime(2026, 11, 11), 'yyyy"年"m"月"d"日"', "2026-11-11"),
        (dt.datetime(2026, 11, 11, 8, 30), "yyyy/m/d h:mm", "2026-11-11 08:30:00"),
        (dt.date(2026, 11, 11), "mm-dd-yy", "2026-11-11"),
        (dt.time(8, 30), "h:mm", "08:30:00"),
        (1.5, "[h]:mm", "36:00:00"),
        (True, "General", "TRUE"),
        (False, "General", "FALSE"),
        ("None of us", "General", "None of us"),
    ],
)
async def test_a_cell_is_sent_as_it_is_read(
    tmp_path: Path, value: Any, number_format: str, shown: str
) -> None:
    path = made(tmp_path / "p.xlsx", ["id", "name"], [1, value], formats={"B2": number_format})
    (row,) = await read(read_excel(path), "name")
    assert row.problem is None
    assert str(row.params["name"]) == shown


@pytest.mark.parametrize(
    ("value", "number_format", "address"),
    [
        (42, "000000", "000042"),
        (1001.0, "General", "1001"),
        (1001, "#,##0", "1001"),
        (1001, "0.00", "1001"),
        (999999999999999, "0", "999999999999999"),
        (1234567890123456, "0", None),
        (1.2e17, "0", None),
        (12.7, "0", None),
        (0.15, "0%", None),
        (True, "General", None),
    ],
)
async def test_an_id_is_its_number_padded_as_it_is_shown(
    tmp_path: Path, value: Any, number_format: str, address: str | None
) -> None:
    path = made(tmp_path / "p.xlsx", ["id"], [value], formats={"A2": number_format})
    (row,) = await read(read_excel(path))
    assert row.id == address
    assert (row.problem is None) is (address is not None)


async def test_days_of_the_1904_system_and_of_1900(tmp_path: Path) -> None:
    styles = f'<styleSheet {NS}><cellXfs><xf/><xf numFmtId="14"/></cellXfs></styleSheet>'
    rows = "<row><c t='inlineStr'><is><t>id</t></is></c><c t='inlineStr'><is><t>name</t></is></c></row>" + "".join(
        f"<row><c><v>{i}</v></c><c s='1'><v>{v}</v></c></row>"
        for i, v in enumerate(("1", "59", "61", "1e9", "-5"))
    )  # fmt: skip
    path = workbook(tmp_path / "p.xlsx", sheet_xml(rows), styles=styles)
    found = await read(read_excel(path), "name")
    days = [str(r.params["name"]) for r in found]
    assert days == ["1900-01-01", "1900-02-28", "1900-03-01", "None", "None"]
    assert [p and p.code for p in troubles(found)] == [None, None, None, *[Code.BAD_ROW] * 2]
    book = f'<workbook {NS} xmlns:r="{REL}"><workbookPr date1904="1"/><sheets><sheet name="One" r:id="rId1"/></sheets></workbook>'
    path = workbook(tmp_path / "q.xlsx", sheet_xml(rows), styles=styles, book=book)
    found = await read(read_excel(path), "name")
    assert str(found[0].params["name"]) == "1904-01-02"


async def test_errors_and_formulas_that_were_never_computed_fail_their_row(tmp_path: Path) -> None:
    rows = TOP + (
        "<row r='2'><c r='A2' t='inlineStr'><is><t>k2</t></is></c><c r='B2'><v>1</v></c>"
        "<c r='C2' t='e'><f>VLOOKUP(1,2,3)</f><v>#N/A</v></c></row>"
        "<row r='3'><c r='A3'><v>3</v></c><c r='B3' t='e'><v>#REF!</v></c></row>"
        "<row r='4'><c r='A4'><v>4</v></c><c r='B4'><f>1+1</f></c></row>"
        "<row r='5'><c r='A5'><v>5</v></c><c r='B5'><v>5</v></c><c r='C5'><f>A1</f><v></v></c></row>"
        "<row r='6'><c r='A6'><v>6</v></c><c r='B6'><v>6</v></c><c r='C6' t='str'><f>\"\"</f><v></v></c></row>"
        "<row r='7'><c r='A7'><v>7</v></c><c r='B7'><v>7</v></c><c r='C7' t='str'><f>A1</f><v>王</v></c></row>"
        "<row r='8'><c r='A8'><v>8</v></c><c r='B8'><v>8</v></c><c r='C8' t='str'><f>A1</f></c></row>"
    )
    path = workbook(tmp_path / "p.xlsx", sheet_xml(rows))
    found = await read(read_excel(path), "name")
    codes = [p and p.code for p in troubles(found)]
    assert codes == [
        Code.BAD_ROW, Code.BAD_ADDRESS, Code.BAD_ADDRESS, Code.BAD_ROW, None, None, Code.BAD_ROW,
    ]  # fmt: skip
    details = [p.detail if p else "" for p in troubles(found)]
    for detail, cell, word in zip(
        details,
        ["C2", "B3", "B4", "C5", "", "", "C8"],
        ["#N/A", "#REF!", "formula", "formula", "", "", "formula"],
        strict=True,
    ):
        assert cell in detail
        assert word in detail
    assert [r.params["name"] for r in found[4:6]] == [None, "王"]
    # Where the message does not use the column, it is nobody's trouble.
    assert troubles(await read(read_excel(path)))[0] is None
    path = workbook(tmp_path / "q.xlsx", sheet_xml("<row r='1'><c r='A1'><f>B1</f></c></row>"))
    with pytest.raises(UsageError, match="heading in cell A1 is a formula"):
        await read(read_excel(path))


async def test_which_sheet_is_read_and_what_is_hidden_is_said(tmp_path: Path) -> None:
    path = tmp_path / "p.xlsm"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.title = "名单"
    for cells in (["id"], [1], [2], [3]):
        page.append(cells)
    page.row_dimensions[3].hidden = True
    for name, state in (("2", "hidden"), ("old", "veryHidden")):
        other = book.create_sheet(name)
        other.append(["id"])
        other.append([9])
        other.sheet_state = state
    book.create_sheet("empty")
    book.save(path)
    source = read_excel(path)
    assert [r.id for r in await read(source)] == ["1", "2", "3"]
    assert source.notices == [
        f"{path}: the sheet '名单' is read, and not '2' (hidden), 'old' (hidden), 'empty'",
        f"{path}: 1 row is hidden (by a filter, or by hand), and read as the others are",
    ]
    for sheet in ("2", 2, " 2 ", "OLD"):
        source = read_excel(path, sheet=sheet)
        assert [r.id for r in await read(source)] == ["9"]
        assert any("is hidden, and is read" in notice for notice in source.notices)
    for wrong, match in (
        (5, "has no sheet 5, but 4"),
        ("none", "has no sheet 'none', but"),
        ("empty", "the sheet 'empty' is empty; say which one to read"),
    ):
        with pytest.raises(UsageError, match=match):
            await read(read_excel(path, sheet=wrong))
    for nothing in (0, -1, True, 1.0):
        with pytest.raises(UsageError, match="sheet"):
            read_excel(path, sheet=nothing)  # type: ignore[arg-type]


async def test_headings_that_are_none_may_be_those_of_the_wrong_sheet(tmp_path: Path) -> None:
    path = tmp_path / "p.xlsx"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.title = "summary"
    page.append(["campaign", "autumn"])
    book.create_sheet("people").append(["id", "name"])
    book["people"].append(["1001", "A"])
    book.save(path)
    with pytest.raises(UsageError, match=r"no column is called id.* say sheet = 'people'$"):
        await read(read_excel(path))
    with pytest.raises(UsageError, match="no column is called id") as told:
        await read(read_excel(path, sheet="summary"))
    assert "people" not in str(told.value)
    assert [row.id for row in await read(read_excel(path, sheet="people"))] == ["1001"]


async def test_a_chart_sheet_is_named_with_the_sheet_to_say(tmp_path: Path) -> None:
    path = tmp_path / "p.xlsx"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.append(["id"])
    book.create_chartsheet("Chart", 0)
    book.active = 0
    book.save(path)
    with pytest.raises(UsageError, match=r"'Chart' is a chart .* say sheet = 'Sheet'"):
        await read(read_excel(path))


async def test_shared_texts_are_read_once_for_the_look_and_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    begin = Workbook.__init__

    def counted(self: Workbook, *args: Any) -> None:
        opened.append(args)
        begin(self, *args)

    monkeypatch.setattr(Workbook, "__init__", counted)
    path = made(tmp_path / "p.xlsx", ["id"], [1])
    source = read_excel(path)
    source.check(frozenset())
    await read(source)
    assert len(opened) == 1
    made(path, ["id"], [1], [2])
    assert len(await read(source)) == 2


async def test_the_formats_that_a_file_need_not_spell_out() -> None:
    shown = {n: str(NumberFormat(n, None).as_shown("46337.5")) for n in (0, 1, 2, 3, 4, 9, 10, 49)}
    assert shown == {
        0: "46337.5", 1: "46338", 2: "46337.50", 3: "46,338", 4: "46,337.50", 9: "4633750%",
        10: "4633750.00%", 49: "46337.5",
    }  # fmt: skip
    for n in (14, 15, 16, 17, 22, 27, 31, 36, 50, 58):
        assert str(NumberFormat(n, None).as_shown("46337.5")) == "2026-11-11 12:00:00"
    for n in (18, 19, 20, 21, 32, 35, 45, 47):
        assert str(NumberFormat(n, None).as_shown("0.5")) == "12:00:00"


async def test_guards_of_other_programs_are_no_part_of_a_cell(tmp_path: Path) -> None:
    path = made(
        tmp_path / "p.xlsx",
        ["Key", "ID", "name"],
        ["'k1", "'1001", "'-5"],
        ["k2", "\u200b1002\ufeff", "'t Hooft"],
        ["k3", 1003, " "],
    )
    source = read_excel(path)
    rows = await read(source, "name")
    assert said(rows) == [("k1", "1001", "-5"), ("k2", "1002", "'t Hooft"), ("k3", "1003", " ")]
    assert any("was taken off 4 cells" in notice for notice in source.notices)


async def test_a_first_line_that_may_be_data_is_not_kept(tmp_path: Path) -> None:
    """A sheet may have no headings: its first cells may be somebody's key and user token."""
    source = read_excel(made(tmp_path / "p.xlsx", ("id", "TOKEN-0123456789"), (1001, "x")))
    assert [row.id for row in await read(source)] == ["1001"]
    assert source.describe()["columns"] == ["id", ""]
    assert "TOKEN" not in str(source.notices)
