"""Tables of other tools: DataFrames, Parquet, Excel, JSON lines."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import openpyxl.styles
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from read_source import read

from promomsg.errors import UsageError
from promomsg.intake.arrow.frames import from_frame
from promomsg.intake.arrow.parquet import read_parquet
from promomsg.intake.excel.excelfile import read_excel
from promomsg.intake.text.jsonl import read_jsonl
from promomsg.model import Code

pytestmark = pytest.mark.asyncio
NAN = float("nan")


def codes(rows: list[Any]) -> list[Code | None]:
    return [r.problem.code if r.problem else None for r in rows]


async def test_a_frame_by_its_own_or_given_columns() -> None:
    df = pd.DataFrame({"推广员": [101, 102], "name": ["王", None], "n": [1, 2]})
    source = from_frame(df, id="推广员")
    rows = await read(source, "name", "n", size=1)
    assert [(r.id, r.params["name"], r.params["n"]) for r in rows] == [
        ("101", "王", 1),
        ("102", None, 2),
    ]
    assert [r.where for r in rows] == ["row 1", "row 2"]
    assert source.describe() == {"kind": "frame", "columns": ["推广员", "name", "n"]}
    assert source.repeatable
    with pytest.raises(UsageError, match="'推广员'"):
        await read(from_frame(df, id="推广"))
    with pytest.raises(UsageError, match="did you mean 'name'"):
        await read(source, "nmae")


async def test_fractional_ids_fail_and_an_empty_cell_is_absent_when_another_address_is_there() -> (
    None
):
    df = pd.DataFrame(
        {
            "key": ["a", "b", "c", None],
            "id": [101, NAN, NAN, 1.5],
            "openid": [None, "oB", None, None],
        }
    )
    rows = await read(from_frame(df))
    assert codes(rows) == [None, None, Code.BAD_ADDRESS, Code.BAD_ADDRESS]
    assert (rows[0].id, rows[1].openid, rows[1].id, rows[3].key) == ("101", "oB", None, "1.5")
    text = pd.DataFrame({"id": ["1", NAN, "1.2E+17"]})
    assert codes(await read(from_frame(text))) == [None, Code.BAD_ADDRESS, Code.BAD_ADDRESS]
    nullable = pd.DataFrame({"id": pd.array([1, None], dtype="Int64"), "openid": ["oA", "oB"]})
    assert [r.id for r in await read(from_frame(nullable))] == ["1", None]


async def test_missing_parameters_are_missing_not_nan() -> None:
    df = pd.DataFrame(
        {"id": ["1", "2"], "x": [1.5, NAN], "t": pd.to_datetime(["2024-01-01", None])}
    )
    rows = await read(from_frame(df), "x", "t")
    assert [r.params["x"] for r in rows] == [1.5, None]
    assert rows[1].params["t"] is None


async def test_no_frame_and_no_rows() -> None:
    with pytest.raises(UsageError, match="not a DataFrame"):
        from_frame([{"id": 1}])
    with pytest.raises(UsageError, match="no rows"):
        await read(from_frame(pd.DataFrame({"id": []})))


async def test_an_arrow_table() -> None:
    table = pa.table({"id": [1, None, 3], "openid": ["oA", "oB", None]})
    rows = await read(from_frame(table), size=2)
    assert [(r.id, r.openid) for r in rows] == [("1", "oA"), (None, "oB"), ("3", None)]


async def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(
        pa.table({"id": [1, 2, 3], "name": ["a", "b", None], "big": ["x"] * 3}), path
    )
    source = read_parquet(path)
    rows = await read(source, "name", size=2)
    assert [(r.id, r.params["name"]) for r in rows] == [("1", "a"), ("2", "b"), ("3", None)]
    assert source.notices == [f"{path}: column 'big' is not used"]
    said = source.describe()
    assert (said["kind"], said["path"], len(said["sha256"])) == ("parquet", str(path), 64)
    path.write_bytes(b"not one")
    with pytest.raises(UsageError, match="not a Parquet file"):
        await read(read_parquet(path))


async def test_excel(tmp_path: Path) -> None:
    path = tmp_path / "p.xlsx"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for line in (
        ["id", "name", None],
        [101, "王", None],
        ["102", 3, None],
        [1.5, "x", None],
        [1234567890123456, "y", None],
        [1.2e17, "z", None],
    ):
        page.append(line)
    book.create_sheet("other").append(["openid"])
    book.save(path)
    source = read_excel(path)
    rows = await read(source, "name", size=2)
    assert codes(rows) == [None, None, *[Code.BAD_ADDRESS] * 3]
    assert [r.id for r in rows[2:]] == [None] * 3
    assert [(r.id, r.params["name"], r.where) for r in rows[:2]] == [
        ("101", "王", "row 2"),
        ("102", 3, "row 3"),
    ]
    assert source.describe()["kind"] == "excel"
    with pytest.raises(UsageError, match="no rows"):
        await read(read_excel(path, sheet="other"))
    with pytest.raises(UsageError, match="no sheet 'none'"):
        await read(read_excel(path, sheet="none"))
    path.write_bytes(b"not one")
    with pytest.raises(UsageError, match=r"no \.xlsx workbook"):
        await read(read_excel(path))


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_blank_rows_of_excel_are_left_out_as_those_of_a_csv_are(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "p.xlsx"
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for line in (["id", "name", "city"], [1, "a", "x"], [], [2, "b", "y"], [None, None, "z"]):
        page.append(line)
    for number in (3, 6, 7):
        page.cell(number, 1).font = openpyxl.styles.Font(bold=True)
    page["A7"] = ""
    book.save(path)
    source = read_excel(path)
    rows = await read(source, "name", size=size)
    assert [(r.key, r.id, r.where) for r in rows] == [
        ("1", "1", "row 2"),
        ("2", "2", "row 4"),
        ("row 3", None, "row 5"),
    ]
    assert source.notices == [
        f"{path}: column 'city' is not used",
        f"{path}: 3 blank rows left out",
    ]
    page.delete_rows(2, 4)
    book.save(path)
    with pytest.raises(UsageError, match="no rows"):
        await read(read_excel(path))


async def test_whole_decimals_are_ids_and_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    ids = [Decimal(t) for t in ("12.00", "900719925474099312.00", "1.50")]
    pyarrow.parquet.write_table(pa.table({"id": ids, "key": ids}), path)
    rows = await read(read_parquet(path))
    assert [(r.id, r.key) for r in rows] == [
        ("12", "12"),
        ("900719925474099312", "900719925474099312"),
        (None, "1.50"),
    ]
    assert codes(rows) == [None, None, Code.BAD_ADDRESS]
    odd = [Decimal(t) for t in ("1.2E+17", "NaN", "Infinity", "7")]
    for rows in (await read(odd), await read([{"id": d} for d in odd])):
        assert codes(rows) == [*[Code.BAD_ADDRESS] * 3, None]
    assert [r.key for r in await read([{"key": Decimal("NaN"), "id": 5}])] == ["5"]


async def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"id": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda: read_parquet("x"), lambda: from_frame(frame).check(frozenset())):
        with pytest.raises(UsageError, match=r"needs pyarrow: pip install 'promomsg\[files\]'"):
            call()


async def test_excel_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.xlsx"
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["id"])
    book.active.append([7])
    book.save(path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert [r.id for r in await read(read_excel(path))] == ["7"]


def jsonl(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "p.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


async def test_json_lines(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path,
        '\ufeff{"id": "1", "name": "王"}\r\n\n{"id": 2, "params": {"name": "李"}}\n'
        '12\n"13"\n{"编号": "5", "id": "x"}\n',
    )
    source = read_jsonl(path)
    rows = await read(source, "name", size=2)
    assert [(r.id, r.params["name"], r.where) for r in rows] == [
        ("1", "王", "line 1"),
        ("2", "李", "line 3"),
        ("12", None, "line 4"),
        ("13", None, "line 5"),
        ("x", None, "line 6"),
    ]
    assert (await read(read_jsonl(path, columns={"id": "编号"})))[4].id == "5"
    said = source.describe()
    assert (said["kind"], len(said["sha256"])) == ("jsonl", 64)
    assert source.describe() == said
    assert source.repeatable
    assert source.notices == []


@pytest.mark.parametrize(
    "line",
    [b"{", b"[1]", b"null", b"true", b'"oA"', b'{"id": NaN}', b'{"id": "\xff"}', b"[" * 100_000],
)
async def test_a_bad_json_line_fails_alone(tmp_path: Path, line: bytes) -> None:
    path = jsonl(tmp_path, b'{"id": 1}\n' + line + b'\n{"id": 3}\n')
    rows = await read(read_jsonl(path))
    assert codes(rows) == [None, Code.BAD_ROW, None]
    assert rows[1].key == "row 2"


async def test_json_ids_that_are_fractions(tmp_path: Path) -> None:
    path = jsonl(tmp_path, '{"id": 1.0}\n{"id": 1.2E+17}\n1.5\n{"id": 120000000000000001}\n')
    rows = await read(read_jsonl(path))
    assert codes(rows) == [None, *[Code.BAD_ADDRESS] * 2, None]
    assert rows[0].id == "1"
    assert rows[3].id == "120000000000000001"


async def test_json_files_that_cannot_be_used(tmp_path: Path) -> None:
    async def fails(text: str, *names: str, check: bool = True) -> str:
        with pytest.raises(UsageError) as caught:
            await read(read_jsonl(jsonl(tmp_path, text)), *names, check=check)
        return str(caught.value)

    assert "is empty" in await fails("\n")
    assert "is empty" in await fails("\n", check=False)
    assert "not one JSON array" in await fails('[{"id": 1}]\n{"id": 2}')
    assert "'IDS'" in await fails('{"IDS": 1}')
    assert "did you mean 'name'" in await fails('{"id": 1, "name": "x"}', "nmae")
    assert "{other}" in await fails('{"id": 1, "name": "x"}', "other")
    many = '{"id": 1, "name": "x"}\n' * 200
    assert "did you mean 'name'" in await fails(many, "nmae")
    rows = await read(read_jsonl(jsonl(tmp_path, many + '{"id": 2, "other": 5}')), "other")
    assert rows[-1].params["other"] == 5
    with pytest.raises(UsageError, match="No such file"):
        await read(read_jsonl(tmp_path / "none.jsonl"))
    assert codes(await read(read_jsonl(jsonl(tmp_path, "{\n")))) == [Code.BAD_ROW]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le"])
async def test_json_lines_of_another_encoding_are_said_once(tmp_path: Path, encoding: str) -> None:
    for text in ('{"id": 1, "name": "客官"}\n', '{"id": 1}\n{"name": "客"}\n{"name": "官"}\n'):
        with pytest.raises(UsageError, match="UTF-8") as caught:
            await read(read_jsonl(jsonl(tmp_path, text.encode(encoding))))
        assert "codec" not in str(caught.value)
    torn = '{"id": 1, "name": "客"}\n'.encode() + b'{"id": 2, "name": "\xff"}\n' * 3
    rows = await read(read_jsonl(jsonl(tmp_path, torn)))
    assert codes(rows) == [None, *[Code.BAD_ROW] * 3]


@pytest.mark.parametrize("reader", [read_jsonl, read_parquet, read_excel])
async def test_a_file_that_has_gone_is_said_in_one_line(reader: Any, tmp_path: Path) -> None:
    source = reader(tmp_path / "gone")
    for look in (source.describe, lambda: source.check(frozenset())):
        with pytest.raises(UsageError, match="gone cannot be read: No such file"):
            look()
