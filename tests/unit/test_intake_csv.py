"""CSV files as people have them: any encoding, any line end, and bad rows that harm no other."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from read_source import read

from promomsg.errors import UsageError
from promomsg.intake.arrow.parquet import read_parquet
from promomsg.intake.by_suffix import read_file
from promomsg.intake.excel.excelfile import read_excel
from promomsg.intake.text.csvfile import read_csv
from promomsg.intake.text.jsonl import read_jsonl
from promomsg.model import Code

pytestmark = pytest.mark.asyncio


def put(tmp_path: Path, data: str | bytes, name: str = "people.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


async def fails(path: Path, *names: str, **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        await read(read_csv(path, **options), *names)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text


async def test_rows_come_with_their_parameters_and_lines(tmp_path: Path) -> None:
    path = put(tmp_path, "key,id,name,city\nu1,101,王,北京\nu2,102,李,上海\n")
    rows = await read(read_csv(path), "name")
    assert [(r.key, r.id, dict(r.params), r.where) for r in rows] == [
        ("u1", "101", {"name": "王"}, "line 2"),
        ("u2", "102", {"name": "李"}, "line 3"),
    ]
    rows = await read(read_csv(path), "name", "city")
    assert dict(rows[1].params) == {"name": "李", "city": "上海"}
    assert dict((await read(read_csv(path)))[0].params) == {}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    text = end.join(["id,name", "1,客官", "2,老板", ""])
    source = read_csv(put(tmp_path, text.encode(encoding)))
    rows = await read(source, "name")
    assert [(r.id, r.params["name"]) for r in rows] == [("1", "客官"), ("2", "老板")]
    label = "GB18030" if encoding in ("gbk", "gb18030") else "UTF-8"
    assert source.notices == [f"{tmp_path / 'people.csv'} is read as {label}"]
    assert source.describe()["encoding"] == ("GB18030" if encoding[0] == "g" else "UTF-8")


async def test_one_chinese_row_late_in_the_file_decides_for_all_of_it(tmp_path: Path) -> None:
    text = "id,name\n" + "1,a\n" * 20_000 + "2,客官\n"
    source = read_csv(put(tmp_path, text.encode("gb18030")))
    rows = await read(source, "name")
    assert rows[-1].params["name"] == "客官"
    assert "GB18030" in source.notices[0]


async def test_a_list_that_might_be_either_says_how_to_settle_it(tmp_path: Path) -> None:
    # In GBK the two bytes of 小 are a character of UTF-8, those of the headings are none.
    lines = ["id,姓名", *(f"{n},小{n}" for n in range(100)), ""]
    path = put(tmp_path, "\n".join(lines).encode("gbk"))
    assert (await fails(path)).endswith(
        "or, if all of it is GBK or GB18030, say encoding = 'gb18030'"
    )
    rows = await read(read_csv(path, encoding="gb18030"), "姓名")
    assert rows[7].params["姓名"] == "小7"


async def test_a_damaged_list_of_utf_8_is_not_said_to_be_gbk(tmp_path: Path) -> None:
    path = put(tmp_path, "id,name\n1,客官\n2,老板\n".encode() + "3,客官\n".encode("gbk"))
    text = await fails(path)
    assert "line 4" in text
    assert "GBK" not in text


async def test_blanks_around_keys_are_kept_and_counted(tmp_path: Path) -> None:
    source = read_csv(put(tmp_path, b"key,id\nM1 ,1001 \n M2,1002\nM3,1003\n"))
    rows = await read(source)
    assert [(row.key, row.id) for row in rows] == [("M1 ", "1001"), (" M2", "1002"), ("M3", "1003")]
    assert any("2 keys have blanks around them, which are kept" in n for n in source.notices)


async def test_a_named_encoding_is_taken_at_its_word(tmp_path: Path) -> None:
    path = put(tmp_path, "id,name\n1,客官\n".encode("utf-16"))
    for encoding in ("utf-16", "auto"):
        source = read_csv(path, encoding=encoding)
        assert (await read(source, "name"))[0].params["name"] == "客官"
        assert "UTF-16" in source.notices[0].upper()
    assert "UTF-16" in await fails(path, encoding="utf-8")
    path = put(tmp_path, "id,name\n1,客官\n".encode("gbk"))
    assert (await read(read_csv(path, encoding="GB2312"), "name"))[0].params["name"] == "客官"
    text = await fails(path, encoding="utf-8")
    assert "UTF-8" in text
    assert "line 2" in text
    with pytest.raises(UsageError, match="no encoding 'utf-9'"):
        read_csv(path, encoding="utf-9")


@pytest.mark.parametrize(
    "name",
    [
        "base64",
        "rot13",
        "hex",
        "zlib",
        "punycode",
        "idna",
        "undefined",
        "unicode_escape",
        "a\0b",
        "",
    ],
)
async def test_only_encodings_of_text_files_are_taken(name: str) -> None:
    with pytest.raises(UsageError, match="no encoding"):
        read_csv("people.csv", encoding=name)


@pytest.mark.parametrize("order", ["le", "be"])
async def test_utf_16_without_a_bom_is_known_and_named(tmp_path: Path, order: str) -> None:
    text = "key,推广员,id\n" + "".join(f"客{n},某某某,{n}\n" for n in range(9))
    path = put(tmp_path, text.encode(f"utf-16-{order}"))
    for encoding in ("auto", "utf-8", "utf-16"):
        assert f"encoding = 'utf-16-{order}'" in await fails(path, encoding=encoding)
    rows = await read(read_csv(path, encoding=f"utf-16-{order}"))
    assert [r.key for r in rows] == [f"客{n}" for n in range(9)]
    bom = "\ufeff".encode(f"utf-16-{order}")
    for encoding in ("utf-16", f"utf-16-{order}"):
        source = read_csv(put(tmp_path, bom + path.read_bytes()), encoding=encoding)
        assert len(await read(source)) == len(await read(source, check=False)) == 9
        path = put(tmp_path, text.encode(f"utf-16-{order}"))
    assert "encoding = 'utf-32'" in await fails(put(tmp_path, text.encode("utf-32")))


async def test_a_wide_encoding_that_does_not_fit_is_said(tmp_path: Path) -> None:
    path = put(tmp_path, "id,name\n1,x\n")
    assert "no byte order mark" in await fails(path, encoding="utf-16")
    with pytest.raises(UsageError, match="no byte order mark"):
        await read(read_csv(path, encoding="utf-16"), check=False)
    torn = put(tmp_path, "id,name\n1,x\n2,y\n".encode("utf-16-le") + b"\x00\xd8\x00\x00")
    assert "not UTF-16-LE" in await fails(torn, encoding="utf-16-le")
    half = put(tmp_path, "id\n1\n".encode("utf-16-le") + b"2")
    assert "not UTF-16-LE" in await fails(half, encoding="utf-16-le")


async def test_what_no_encoding_fits_names_the_line(tmp_path: Path) -> None:
    path = put(tmp_path, b"id,name\n1,a\n2,\xff\xff\xff\n")
    assert "neither UTF-8 nor GB18030 (line 3)" in await fails(path)
    late = put(tmp_path, b"id,name\n" + b"1,a\n" * 20_000 + b"2,\xff\xff\xff\n")
    assert "line 20002" in await fails(late)


async def test_other_tools_files_are_named(tmp_path: Path) -> None:
    assert "read_excel" in await fails(put(tmp_path, b"PK\x03\x04...."))
    assert "read_parquet" in await fails(put(tmp_path, b"PAR1...."))


async def test_missing_unreadable_and_odd_files(tmp_path: Path) -> None:
    assert "No such file" in await fails(tmp_path / "none.csv")
    assert "a folder" in await fails(tmp_path)
    assert "not a regular file" in await fails(Path("/dev/null"))
    os.mkfifo(pipe := tmp_path / "pipe")
    assert "is a pipe, which can be read only once" in await fails(pipe)
    assert "is empty" in await fails(put(tmp_path, ""))
    assert "is empty" in await fails(put(tmp_path, "\n\n"))
    assert "no rows" in await fails(put(tmp_path, "id,name\n\n"))
    with pytest.raises(UsageError, match="is empty"):
        await read(read_csv(put(tmp_path, "")), check=False)


async def test_headings_that_cannot_be_used(tmp_path: Path) -> None:
    text = await fails(put(tmp_path, "opneid,name\noA,x\n"))
    assert "'opneid', 'name'" in text
    assert 'openid = "opneid"' in text
    assert 'id = "its heading"' in await fails(put(tmp_path, "推广员\n1\n"))
    assert 'id = "promoter"' in await fails(put(tmp_path, "promoter;name\n1;x\n"), "name")
    twice = put(tmp_path, "id,name,name\n1,x,y\n")
    assert "'name' is there twice" in await fails(twice, "name")
    assert "no headings" in await fails(put(tmp_path, ",,\n1,x,\n"))
    data = await fails(put(tmp_path, "123456\n123457\n"))
    assert "123456" not in data
    assert "not headings" in data
    assert "not headings" in await fails(put(tmp_path, "o" + "A" * 27 + ",王\n"))
    assert "cannot be read" in await fails(put(tmp_path, "id," + "x" * 140_000 + "\n1,2\n"))
    assert "heading line" in await fails(put(tmp_path, '"id"x,name\n1,2\n'))


async def test_a_file_of_keys_alone_is_for_a_token_store(tmp_path: Path) -> None:
    rows = await read(read_csv(put(tmp_path, "key,name\nalice,A\n")))
    assert rows[0].key == "alice"
    assert rows[0].id is rows[0].openid is rows[0].token is None
    assert "'opneid'" in await fails(put(tmp_path, "key,opneid\nalice,oA\n"))


async def test_own_headings(tmp_path: Path) -> None:
    path = put(tmp_path, "推广员ID,姓名,id\n101,王,x9\n")
    source = read_csv(path, columns={"id": "推广员ID", "name": "姓名"})
    rows = await read(source, "name")
    assert (rows[0].id, rows[0].key, rows[0].params["name"]) == ("101", "101", "王")
    assert source.notices == [f"{path}: column 'id' is not used", f"{path} is read as UTF-8"]
    text = await fails(path, columns={"id": "推广员Id"})
    assert "推广员ID" in text


@pytest.mark.parametrize("reader", [read_csv, read_jsonl, read_parquet, read_excel])
async def test_columns_that_are_no_mapping_of_text(reader: Any) -> None:
    for columns in (["id"], "id", {"id": None}, {"id": ""}, {1: "a"}):
        with pytest.raises(UsageError, match=r"as in \{\"id\": \"推广员ID\"\}"):
            reader("people", columns=columns)


@pytest.mark.parametrize("columns", [{"idd": "id"}, {"opneid": "OpenID", "id": "id"}, {"x": "id"}])
async def test_a_slip_in_the_columns_is_said(tmp_path: Path, columns: dict[str, str]) -> None:
    slip = next(iter(columns))
    meant = "openid" if slip == "opneid" else "id"
    path = put(
        tmp_path, "id,OpenID,name\n1,oA,x\n".replace("OpenID", columns.get("opneid", "微信"))
    )
    text = await fails(path, columns=columns)
    assert f"did you mean {meant!r}?" in text
    assert f"{{{slip}}}" in text
    lines = put(tmp_path, '{"id": 1, "OpenID": "oA"}\n', "p.jsonl")
    with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
        await read(read_jsonl(lines, columns=columns))
    # A column for a message that does not use it is no slip.
    source = read_csv(path, columns={"id": "id", "客户": "name"})
    assert len(await read(source)) == 1
    assert "'name' " in source.notices[0]
    assert "not used" in source.notices[0]
    # A placeholder of the message may be called as it likes.
    if slip != "opneid":
        text = await fails(path, slip, columns=columns)
        assert "no column is called id, openid" in text
    else:
        [row] = await read(read_csv(path, columns=columns), slip)
        assert dict(row.params) == {"opneid": "oA"}


async def test_a_placeholder_without_a_column(tmp_path: Path) -> None:
    path = put(tmp_path, "id,name,city\n1,x,y\n")
    text = await fails(path, "nmae")
    assert "{nmae}" in text
    assert "did you mean 'name'" in text
    assert "{key}" in await fails(path, "id")
    source = read_csv(path)
    source.check(frozenset({"name"}))
    read_as = f"{path} is read as UTF-8"
    assert source.notices == [f"{path}: column 'city' is not used", read_as]
    source.check(frozenset())
    assert source.notices == [f"{path}: columns 'name', 'city' are not used", read_as]


async def test_a_fallback_without_a_column_is_for_everybody_and_said(tmp_path: Path) -> None:
    path = put(tmp_path, "id,city\n1,x\n")
    source = read_csv(path)
    source.check(frozenset({"name", "city"}), frozenset({"name"}))
    [row] = await read(source, "name", "city", check=False)
    assert row.params == {"city": "x"}
    assert source.notices == [
        f"{path}: no column is called 'name': everybody gets the fallback of {{name|…}}",
        f"{path} is read as UTF-8",
    ]
    for slip in ("citi", "id"):  # a typo, and an address
        with pytest.raises(UsageError, match=f"{{{slip}}}"):
            read_csv(path).check(frozenset({slip}), frozenset({slip}))


@pytest.mark.parametrize(
    "address", ["1.0", "1.2E+17", "1.2e17", "1,2E+17", "nan", "NaN", "inf", "#N/A", "-5.25", "1 2"]
)
async def test_what_a_spreadsheet_mangled_fails_its_row_alone(tmp_path: Path, address: str) -> None:
    path = put(tmp_path, f'key,id\na,101\nb,"{address}"\nc,103\n')
    rows = await read(read_csv(path))
    assert [r.problem is None for r in rows] == [True, False, True]
    assert rows[1].problem is not None
    assert rows[1].problem.code == Code.BAD_ADDRESS
    assert repr(address) in rows[1].problem.detail
    assert rows[1].id is None
    assert (rows[1].key, rows[1].where) == ("b", "line 3")


@pytest.mark.parametrize("column", ["openid", "unionid", "id"])
async def test_every_address_column_is_looked_at(tmp_path: Path, column: str) -> None:
    good = "oAbC-_" + "1" * 22 if column != "id" else "12"
    rows = await read(read_csv(put(tmp_path, f"{column}\n{good}\n 7.0 \n1e9\n")))
    assert [r.problem is None for r in rows] == [True, False, False]
    assert [r.key for r in rows] == [good, "7.0", "1e9"]


async def test_control_characters_fail_their_row(tmp_path: Path) -> None:
    path = put(tmp_path, 'key,openid\na,oA\0B\n"b\x07",oB\nc,oC\n,o\x01D\n')
    rows = await read(read_csv(path))
    codes = [r.problem.code if r.problem else None for r in rows]
    assert codes == [Code.BAD_ADDRESS, Code.BAD_ROW, None, Code.BAD_ADDRESS]
    assert [r.key for r in rows] == ["a", "b\\x07", "c", "row 4"]
    assert all(r.problem is None or r.problem.detail.isprintable() for r in rows)


async def test_ragged_rows_fail_alone(tmp_path: Path) -> None:
    path = put(tmp_path, "id,name\n1,x\n2\n3,y,z\n4,w\n")
    rows = await read(read_csv(path), "name")
    assert [r.problem.code if r.problem else None for r in rows] == [
        None, Code.BAD_ROW, Code.BAD_ROW, None,
    ]  # fmt: skip
    assert [r.key for r in rows] == ["1", "row 2", "row 3", "4"]
    assert rows[1].problem is not None
    assert "1 fields under 2 headings" in rows[1].problem.detail


async def test_blank_lines_are_left_out(tmp_path: Path) -> None:
    source = read_csv(put(tmp_path, "\nid,name\n\n1,x\n,\n\n2,y\n"))
    rows = await read(source, "name")
    assert [(r.id, r.where) for r in rows] == [("1", "line 4"), ("2", "line 7")]
    assert any("1 blank line" in n for n in source.notices)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
async def test_quoted_line_ends(tmp_path: Path, size: int) -> None:
    path = put(tmp_path, 'id,name\r\n1,"a\r\nb"\r\n2,c\r\n3,"d ""e"", f"\r\n4,"g\nh\ni"\r\n5,j')
    rows = await read(read_csv(path), "name", size=size)
    assert [(r.id, r.params["name"], r.where) for r in rows] == [
        ("1", "a\r\nb", "line 2"),
        ("2", "c", "line 4"),
        ("3", 'd "e", f', "line 5"),
        ("4", "g\nh\ni", "line 6"),
        ("5", "j", "line 9"),
    ]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
async def test_a_quote_left_open_costs_its_own_row(tmp_path: Path, size: int) -> None:
    lines = [f"{i},n{i}" for i in range(1, 1300)]
    lines[9] = '10,"n10'
    lines[19] = '20,"n20"x'
    rows = await read(read_csv(put(tmp_path, "\n".join(["id,name", *lines]))), size=size)
    assert len(rows) == 1299
    assert [r.where for r in rows if r.problem] == ["line 11", "line 21"]
    assert [r.id for r in rows if not r.problem] == [
        str(i) for i in range(1, 1300) if i not in (10, 20)
    ]


async def test_keys_are_verbatim_and_default_to_the_address(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "key,id,openid,unionid\n a b ,1,,\n,2,oB,uB\n  ,3,,uC\n,4,,\n1.0,5,,\n,,,\n  \nz,,,\n",
    )
    rows = await read(read_csv(path))
    assert [r.key for r in rows] == [" a b ", "oB", "uC", "4", "1.0", "z"]
    assert rows[0].openid is None
    assert not any(r.problem for r in rows)


async def test_no_address_is_left_to_the_channel(tmp_path: Path) -> None:
    rows = await read(read_csv(put(tmp_path, "id,name\n1,x\n,y\n")))
    assert (rows[1].key, rows[1].id, rows[1].problem) == ("row 2", None, None)


async def test_tokens_are_nowhere_but_in_the_row(tmp_path: Path) -> None:
    path = put(tmp_path, "access_token,request_id\nTOKEN-ONE,2024.001\nTOKEN TWO,r2\nT,1.2E+17\n")
    source = read_csv(path)
    rows = await read(source)
    assert [r.token for r in rows] == ["TOKEN-ONE", None, "T"]
    assert [r.key for r in rows] == ["row 1", "row 2", "row 3"]
    assert rows[0].problem is None
    assert rows[0].request_id == "2024.001"
    assert rows[1].problem is not None
    assert rows[2].problem is not None
    for text in (repr(rows), str(rows[1].problem), repr(source.describe()), str(source.notices)):
        assert "TOKEN" not in text


async def test_describe_is_what_a_resume_compares(tmp_path: Path) -> None:
    path = put(tmp_path, "id,name\n1,x\n")
    source = read_csv(path)
    await read(source)
    assert source.describe() == {
        "kind": "csv",
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "encoding": "UTF-8",
        "columns": ["id", "name"],
    }
    assert read_csv(path).describe()["columns"] == []
    assert source.repeatable
    assert await read(source) == await read(source)


async def test_batches_are_bounded_and_numbered_on(tmp_path: Path) -> None:
    path = put(tmp_path, "openid,name\n" + ",x\n" * 25)
    source = read_csv(path)
    sizes = [len(b) async for b in source.batches(frozenset(), 10)]
    assert max(sizes) <= 10
    assert (await read(source, size=10))[-1].key == "row 25"


async def test_files_are_told_by_their_ending(tmp_path: Path) -> None:
    csv = read_file(put(tmp_path, "id\n1\n"))
    jsonl = read_file(put(tmp_path, '{"id": 1}\n', "a.JSONL"))
    assert [(await read(s))[0].id for s in (csv, jsonl)] == ["1", "1"]
    assert jsonl.describe()["kind"] == "jsonl"
    for name in ("a.parquet", "a.xlsx"):
        with pytest.raises(UsageError, match="No such file"):
            read_file(tmp_path / name).check(frozenset())


async def test_headings_after_blank_lines_and_headings_gone_wrong_since_the_check(
    tmp_path: Path,
) -> None:
    path = put(tmp_path, "\n\n\nid\n1\n")
    assert [(r.id, r.where) for r in await read(read_csv(path), size=1)] == [("1", "line 5")]
    broken = read_csv(put(tmp_path, '"id"x\n1\n'))
    with pytest.raises(UsageError, match=r"the heading line \(line 1\) cannot be read"):
        await read(broken, check=False)
