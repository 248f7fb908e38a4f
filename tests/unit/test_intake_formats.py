"""Lists in every form that people have them: packed, arrays, piped in, several files, and wrong kinds."""

from __future__ import annotations

import bz2
import gc
import gzip
import json
import os
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from read_source import read
from waiting import until

from promomsg.errors import UsageError
from promomsg.intake.arrow.parquet import read_parquet
from promomsg.intake.by_suffix import read_file
from promomsg.intake.excel.excelfile import read_excel
from promomsg.intake.text.csvfile import CsvSource, read_csv
from promomsg.intake.text.jsonl import read_jsonl
from promomsg.intake.text.standard_input import StandardInput
from promomsg.model import Code

pytestmark = pytest.mark.asyncio

LINES = b'{"id": 1, "name": "\xe7\x8e\x8b"}\n{"id": 2}\n'
ARRAY = '[{"id": 1, "name": "王"},\n {"id": 2}]'.encode()


def ids(rows: list[Any]) -> list[str | None]:
    return [row.id for row in rows]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", LINES),
        ("a.ndjson", LINES),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("a.JSONL.GZ", gzip.compress(LINES[:35], mtime=0) + gzip.compress(LINES[35:], mtime=0)),
        ("a.json", ARRAY),
        ("a.json", b"\xef\xbb\xbf \n" + ARRAY + b"\n"),
        ("a.json", json.dumps([{"ID": "1", "params": {"name": "王"}}, "2"], indent=2).encode()),
        ("a.json", LINES),
        ("a.jsonl", ARRAY),
        ("a.json.gz", gzip.compress(ARRAY, mtime=0)),
    ],
)
async def test_json_in_all_its_forms(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for source in (read_file(path), read_jsonl(str(path))):
        rows = await read(source, "name", size=1)
        assert ids(rows) == ["1", "2"]
        assert [r.params["name"] for r in rows] == ["王", None]
        assert len(source.describe()["sha256"]) == 64


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"[]", "is empty"),
        (b"[{},", "not one JSON array"),
        (b"[" * 100_000, "not one JSON array"),
        ('[{"id": 1, "name": "客官"}]'.encode("gb18030"), r"not UTF-8 \(item 1\)"),
        (b'{\n  "recipients": [\n    {"id": 1}\n  ]\n}\n', "one JSON object"),
        (b'{"id": 1}\n' + b"x" * (17 << 20), "line 2 is longer than 16 MiB"),
    ],
)
async def test_json_that_is_no_list_is_one_line(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=match) as caught:
        await read(read_jsonl(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


async def test_an_odd_element_of_an_array_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"id": 1}, null, [2], true, "oA", {"id": 1.5}, {"id": 3}]')
    rows = await read(read_jsonl(path))
    assert [r.problem and r.problem.code for r in rows] == [
        None, Code.BAD_ROW, Code.BAD_ROW, Code.BAD_ROW, Code.BAD_ROW, Code.BAD_ADDRESS, None,
    ]  # fmt: skip
    assert [r.where for r in rows] == [f"item {n}" for n in range(1, 8)]


@pytest.mark.parametrize("keep", [0.5, 0.98])
async def test_a_packed_list_cut_short_reaches_nobody(tmp_path: Path, keep: float) -> None:
    packed = gzip.compress(b"".join(b'{"id": %d}\n' % n for n in range(20_000)))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(UsageError, match="damaged or cut short"):
        await read(read_jsonl(path))
    path.write_bytes(packed[:-8] + bytes(8))
    with pytest.raises(UsageError, match="damaged or cut short"):
        await read(read_jsonl(path))


async def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress((b'{"id": 1, "name": "' + b"a" * 60_000 + b'"}\n') * 1200))
    with pytest.raises(UsageError, match="which no list does"):
        await read(read_jsonl(path))


async def test_several_files_are_one_list(tmp_path: Path) -> None:
    one, two, three = tmp_path / "a.csv", tmp_path / "b.jsonl", tmp_path / "c.csv"
    one.write_text("id,name,x\n1,a,\n,b,\n")
    two.write_text('{"id": 2, "name": "c"}\n')
    three.write_text("openid,name\n,d\noC,e\n")
    source = read_file([one, two, str(three)])
    rows = await read(source, "name", size=1)
    assert [(r.key, r.params["name"]) for r in rows] == [
        ("1", "a"), ("row 2", "b"), ("2", "c"), ("row 4", "d"), ("oC", "e"),
    ]  # fmt: skip
    assert [r.where for r in rows] == [
        f"{one}, line 2", f"{one}, line 3", f"{two}, line 1", f"{three}, line 2", f"{three}, line 3",
    ]  # fmt: skip
    assert source.parameters == {"name", "x"}
    assert source.repeatable
    said = source.describe()
    assert [f["path"] for f in said["files"]] == [str(one), str(two), str(three)]
    before = said["sha256"]
    three.write_text("openid,name\n,d\noD,e\n")
    assert read_file([one, two, three]).describe()["sha256"] != before
    with pytest.raises(UsageError, match=r"b\.jsonl: the message uses \{x\}"):
        source.check(frozenset(("name", "x")))


@pytest.mark.parametrize(
    ("paths", "match"),
    [
        ([], "an empty list is no path"),
        (["a.csv", 5], "a int is no path"),
        (["a.csv", "./a.csv"], "named twice"),
        (7, "a int is no path"),
    ],
)
async def test_what_is_no_list_of_paths(paths: Any, match: str) -> None:
    for reader in (read_file, read_jsonl, read_excel, read_parquet):
        with pytest.raises(UsageError, match=match):
            reader(paths)


async def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    for n in (2, 1):
        (folder / f"day={n}").mkdir(parents=True)
        table = pa.table({"id": [n * 10, n * 10 + 1], "name": ["a", "b"]})
        pyarrow.parquet.write_table(table, folder / f"day={n}" / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "x.parquet").write_bytes(b"half")
    for source in (read_file(folder), read_parquet(folder)):
        assert ids(await read(source, "name")) == ["10", "11", "20", "21"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=r"without any \.parquet file"):
        read_file(empty)


@pytest.fixture
def pipe() -> Iterator[Any]:
    """Gives the source of what is piped in."""
    opened: list[int] = []

    def make(data: bytes) -> StandardInput:
        out, into = os.pipe()
        opened.append(out)
        os.write(into, data)
        os.close(into)
        source = read_file("-")
        assert isinstance(source, StandardInput)
        source._descriptor = out
        return source

    yield make
    for descriptor in opened:
        os.close(descriptor)


def workbook_bytes(tmp_path: Path) -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    for cells in (["id", "name"], [1, "王"], [2, None]):
        book.active.append(cells)
    path = tmp_path / "w.xlsx"
    book.save(path)
    return path.read_bytes()


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"id": [1, 2], "name": ["王", None]}), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.mark.parametrize("kind", ["csv", "jsonl", "array", "gz", "xlsx", "parquet"])
async def test_standard_input_is_told_by_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: Any, kind: str
) -> None:
    data = {
        "csv": lambda: "id,name\n1,王\n2,\n".encode(),
        "jsonl": lambda: LINES,
        "array": lambda: ARRAY,
        "gz": lambda: gzip.compress(LINES, mtime=0),
        "xlsx": lambda: workbook_bytes(tmp_path),
        "parquet": parquet_bytes,
    }[kind]()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    source = pipe(data)
    assert source.describe() == {"kind": "stdin", "path": "-"}
    assert source.parameters == frozenset()
    for _ in range(2):  # looked at and read, and read again
        rows = await read(source, "name")
        assert ids(rows) == ["1", "2"]
        assert (rows[0].params["name"], rows[1].params["name"] or None) == ("王", None)
    said = source.describe()
    assert (said["path"], len(said["sha256"])) == ("-", 64)
    assert source.parameters == {"name"}
    assert list(temporary.iterdir()) == []


async def test_standard_input_in_words(pipe: Any) -> None:
    with pytest.raises(UsageError, match=r"^standard input: the message uses \{x\}"):
        await read(pipe(b"id,name\n1,a\n"), "x")
    source = pipe(b"id,name\n1,a\n\n2,b\n")
    await read(source)
    assert source.notices[0] == "standard input: column 'name' is not used"
    with pytest.raises(UsageError, match="standard input is empty"):
        await read(pipe(b""))
    with pytest.raises(UsageError, match="standard input cannot be read"):
        await read(StandardInput(lambda path: CsvSource(path, None, "auto"), 999_999))
    out, into = os.openpty()
    try:
        with pytest.raises(UsageError, match="is a terminal: pipe the list in"):
            await read(StandardInput(lambda path: CsvSource(path, None, "auto"), into))
    finally:
        os.close(out)
        os.close(into)


async def test_what_was_piped_in_is_let_go(pipe: Any) -> None:
    source = pipe(b"id\n1\n")
    await read(source)
    descriptor = int(str(source._path).rpartition("/")[2])
    os.fstat(descriptor)
    del source

    def is_closed() -> bool:
        gc.collect()
        try:
            os.fstat(descriptor)
        except OSError:
            return True
        return False

    await until(is_closed)  # the thread that read it has it in hand for a moment more


def journal_bytes(tmp_path: Path) -> bytes:
    base = sqlite3.connect(tmp_path / "j.db")
    base.execute("CREATE TABLE a (b)")
    base.commit()
    base.close()
    return (tmp_path / "j.db").read_bytes()


def zipped(tmp_path: Path, part: str) -> bytes:
    path = tmp_path / "z"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(part, "id\n1\n")
    return path.read_bytes()


WRONG = {
    "xls": (lambda _: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), r"old Excel file \(\.xls\)"),
    "ods": (lambda p: zipped(p, "content.xml"), "OpenDocument"),
    "zip": (lambda p: zipped(p, "people.csv"), "zip archive"),
    "xlsb": (lambda p: zipped(p, "xl/workbook.bin"), "xlsb"),
    "pdf": (lambda _: b"%PDF-1.7\n", "a PDF"),
    "journal": (journal_bytes, "SQLite database, such as a campaign's journal"),
    "html": (lambda _: b"\n<HTML><table><tr><td>id</td></tr></table>", "HTML page"),
    "xml2003": (lambda _: b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>', "Excel 2003"),
    "bz2": (lambda _: bz2.compress(b"id\n1\n"), "bzip2"),
    "feather": (lambda _: b"ARROW1\0\0", "Arrow"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("reader", [read_jsonl, read_excel, read_parquet, read_csv, read_file])
async def test_a_wrong_kind_is_named_for_what_it_is(tmp_path: Path, kind: str, reader: Any) -> None:
    make, match = WRONG[kind]
    path = tmp_path / "people.dat"
    path.write_bytes(make(tmp_path))
    with pytest.raises(UsageError, match=match) as caught:
        reader(path).check(frozenset())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_one_table_format_under_the_name_of_another(tmp_path: Path) -> None:
    path = tmp_path / "people"
    path.write_bytes(workbook_bytes(tmp_path))
    for reader in (read_jsonl, read_parquet):
        with pytest.raises(UsageError, match="is an Excel workbook"):
            reader(path).check(frozenset())
    path.write_bytes(parquet_bytes())
    for other in (read_jsonl, read_excel):
        with pytest.raises(UsageError, match="is a Parquet file"):
            other(path).check(frozenset())
    path = tmp_path / "people.xls"
    path.write_bytes(workbook_bytes(tmp_path))
    assert ids(await read(read_file(path))) == ["1", "2"]
    path.write_text("id\tname\n1\tx\n")  # what half of the programs write under that name
    assert ids(await read(read_file(path))) == ["1"]


async def test_a_sheet_of_what_has_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sheet = 'x' goes with an Excel file"):
        read_file(tmp_path / "a.csv", sheet="x")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
async def test_what_stands_in_the_place_of_a_name_is_not_shown(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text('{"A9SECRETTOKEN": 1, "customer": "x"}\n')
    with pytest.raises(UsageError, match="no key is called id") as caught:
        await read(read_file(file))
    assert "SECRET" not in str(caught.value)
    assert "'customer'" in str(caught.value)
