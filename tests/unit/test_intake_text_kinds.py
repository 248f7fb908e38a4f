"""Text lists of many programs: each kind in many forms, none of which may reach a wrong person."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from read_source import read

from promomsg.errors import UsageError
from promomsg.intake.sources import Row
from promomsg.intake.text.csvfile import read_csv
from promomsg.model import Code

pytestmark = pytest.mark.asyncio
NAMES = frozenset({"name"})


def put(tmp_path: Path, data: str | bytes) -> Path:
    path = tmp_path / "people.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


async def rows_of(tmp_path: Path, data: str | bytes, **options: Any) -> tuple[list[Row], str]:
    """The rows, and what the plan would say."""
    source = read_csv(put(tmp_path, data), **options)
    rows = await read(source, "name")
    return rows, " ".join(source.notices)


async def refused(tmp_path: Path, data: str | bytes, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        await rows_of(tmp_path, data, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def codes(rows: list[Row]) -> list[Code | None]:
    return [row.problem.code if row.problem else None for row in rows]


# Wrong people: a file that changes while it is read.


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.write("k9,10024484,x\n")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def overwrite(path: Path) -> None:
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1001", b"2002"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


CHANGES: list[Callable[[Path], None]] = [grow, replace, overwrite, cut, touch, Path.unlink]
PEOPLE = "key,id,name\n" + "".join(f"k{n},{1001 + n},x\n" for n in range(50))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", ["before the scan", "before the rows", "at the first row", "at the last row"])  # fmt: skip
async def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, change: Callable[[Path], None], moment: str
) -> None:
    path = put(tmp_path, PEOPLE)
    source = read_csv(path)
    source.check(NAMES)
    if moment == "before the scan":
        change(path)
    elif moment == "before the rows":
        assert source.notices == [f"{path} is read as UTF-8"]
        change(path)
    seen = 0

    async def read_on() -> None:
        nonlocal seen
        async with aclosing(source.batches(NAMES, 10)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                seen += len(batch)
                if seen == {"at the first row": 9, "at the last row": 50}.get(moment):
                    change(path)

    with pytest.raises(UsageError) as caught:
        await read_on()
    said = str(caught.value)
    assert "\n" not in said
    assert "while it was read" in said or "cannot be read" in said
    assert (seen > 0) is moment.startswith("at")


async def test_a_file_may_change_between_two_campaigns(tmp_path: Path) -> None:
    path = put(tmp_path, PEOPLE)
    source = read_csv(path)
    assert len(await read(source)) == 50
    before = source.describe()["sha256"]
    grow(path)
    assert len(await read(source)) == 51
    assert source.describe()["sha256"] != before
    grow(path)
    with pytest.raises(UsageError, match=r"grew from .* bytes while it was read"):
        source.describe()


# Wrong people: a quote that is left open and closed by somebody else's.


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('key,id,name\nk1,1001,"A\nk2,1002,B"\n', 3),
        ('key,id,name\nk1,1001,"A\nk2,1002,B\nk3,1003,C"\nk4,1004,D\n', 3),
        ('key,id,name\nk1,1001,"A\n\nk2,1002,B"\n', 4),
        ('key,id,name\nk1,1001,"A\nk2,1002,"\nk3,1003,C\n', 3),
        ('key,id,name\nk1,1001,"A\nk2,1002,B",x\n', 3),
        ('key,id,name\n"k1,1001,A\nk2",1002,B\n', 3),
        ('key,id,name\nk1,"1001,A\nk2,1002,B"\n', 3),
        ('key,id,name\nk1,1001,"A\nk2,=1,B\nk3,\'1003,C"\n', 4),
        ('key,id,name\nk1,1001,"A\n k2 , 1002 ,B"\n', 3),
        ('key;id;name\nk1;1001;"A\nk2;1002;B"\n', 3),
        ('sep=|\nkey|id|name\nk1|1001|"A\nk2|1002|B"\n', 4),
        ('id\n"1001\n1002"\n', 3),
        ('name,id\n"A,1001\nB,1002"\n', 3),
        ('key,openid,name\nk1,oAbC1,"A\nk2,oAbC2,B"\n', 3),
        ('key,id,openid,name\nk1,1001,o1,"A\nk2,,o2,B"\n', 3),
        ('key,access_token,name\nk1,TOKEN.1,"A\nk2,TOKEN.2,B"\n', 3),
        ('key,name\nk1,"A\nk2,B"\n', 3),
        ('key,id,name,\nk1,1001,"A\nk2,1002,B"\n', 3),
        ('key,id,"name\nk1,1001,A\nk2,1002,B"\nk3,1003,C\n', 2),
        ('key,id,name\r\nk1,1001,"A\r\nk2,1002,B"\r\n', 3),
        ('key,id,name\rk1,1001,"A\rk2,1002,B"\r', 3),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_a_quote_that_swallows_a_row_is_refused(
    tmp_path: Path, text: str, line: int, size: int
) -> None:
    with pytest.raises(UsageError, match=f"line {line} in it looks like a row"):
        await read(read_csv(put(tmp_path, text)), size=size)


@pytest.mark.parametrize(
    "name",
    [
        "a\nb",
        "Room 5,\nMain Street, North",
        "first,\nsecond, third, fourth",
        "\n",
        "a\n\nb,c",
        "x\n合计,y",
    ],
)
async def test_a_text_of_several_lines_is_said_and_sent(tmp_path: Path, name: str) -> None:
    rows, said = await rows_of(tmp_path, f'id,name\n1001,"{name}"\n1002,z\n')
    assert [(row.id, row.params["name"]) for row in rows] == [("1001", name), ("1002", "z")]
    assert "1 row runs over several lines" in said
    assert "line 2" in said


# Wrong people: ids that cannot be ids, and files that were joined.


@pytest.mark.parametrize(
    "text",
    [
        "key,id,name\nk1,1001,a\nk2,1002,b\n{},2,\n",
        "key,id,name\nk1,1001,a\nk2,1002,b\n{},2003,a\n",
        "name,id\na,1001\nb,1002\n{},2\n",
    ],
)
@pytest.mark.parametrize(
    "word", ["合计", "总计：", "小计", "Total", "TOTAL:", "Grand Total", "subtotal"]
)
async def test_a_row_of_sums_is_nobody_whatever_number_it_ends_in(
    tmp_path: Path, text: str, word: str
) -> None:
    rows, _ = await rows_of(tmp_path, text.format(word))
    assert codes(rows) == [None, None, Code.BAD_ROW]


@pytest.mark.parametrize(
    "text", ["key,id,name\nk1,1001,合计\nk2,1002,Total\n", "id,name\n1001,合计\n1002,合计\n"]
)
async def test_a_word_for_a_sum_may_be_what_people_are_to_read(tmp_path: Path, text: str) -> None:
    rows, _ = await rows_of(tmp_path, text)
    assert codes(rows) == [None, None]


@pytest.mark.parametrize(
    "cell",
    ["合计", "Total:", "１００１", "10\u200b01", "1001;1002", "+1001", "#REF!", "1001 1002", "id",
     "Open ID", "KEY", "１", "©", '"""1001"" x"', "=1001", "’1001", "1001。", "a" * 129],
)  # fmt: skip
@pytest.mark.parametrize("column", ["id", "openid", "unionid"])
async def test_what_cannot_be_an_address_fails_its_row(
    tmp_path: Path, column: str, cell: str
) -> None:
    rows, _ = await rows_of(tmp_path, f"key,{column},name\nk1,1001,a\nk2,{cell},b\nk3,1003,c\n")
    assert codes(rows) == [None, Code.BAD_ADDRESS, None]
    assert rows[1].key == "k2"


@pytest.mark.parametrize(
    "cell",
    ['="1002"', '"=""1002"""', '=""1002""', "'1002", "`1002", "\t1002", ' "1002"', "1002\u200b",
     "\u200e1002\u202c", "\u00a01002", "\u30001002 ", "\ufeff1002", "1002\u00ad", '"1002\n"'],
)  # fmt: skip
@pytest.mark.parametrize("column", ["id", "openid", "unionid"])
async def test_what_is_put_around_an_address_is_taken_off(
    tmp_path: Path, column: str, cell: str
) -> None:
    rows, _ = await rows_of(tmp_path, f"{column},name\n1001,a\n{cell},b\n1002,c\n")
    assert codes(rows) == [None, None, None]
    assert [getattr(row, column) for row in rows] == ["1001", "1002", "1002"]
    assert [row.key for row in rows] == ["1001", "1002", "1002"]  # the third is a duplicate


@pytest.mark.parametrize(
    "again",
    ["key,id,name", "\ufeffkey,id,name", "Key,ID,name", '"key","id","name"', "key,id,name,,",
     "key , id , name", '="key",="id",="name"', "\ufeff\"key\",id,name"],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_a_heading_line_again_is_no_recipient(tmp_path: Path, again: str, size: int) -> None:
    source = read_csv(put(tmp_path, f"key,id,name\nk1,1,a\n{again}\nk2,2,b\n"))
    rows = await read(source, "name", size=size)
    assert [(row.key, row.id) for row in rows] == [("k1", "1"), ("k2", "2")]
    assert "heading line stands there once more" in " ".join(source.notices)


@pytest.mark.parametrize(
    ("headings", "again", "columns"),
    [
        ("id", "\ufeffID", {}),
        ("openid,name", "open_id,name", {}),
        ("推广员,name", "\ufeff推广员,name", {"id": "推广员"}),
        ("who,name", "who,name", {"openid": "who"}),
        ("key,name", "Key,name", {}),
    ],
)
async def test_whatever_the_column_is_called(
    tmp_path: Path, headings: str, again: str, columns: dict[str, str]
) -> None:
    rest = ",x" * headings.count(",")
    data = f"{headings}\n1001{rest}\n{again}\n1002{rest}\n"
    rows = await read(read_csv(put(tmp_path, data), columns=columns))
    assert [row.key for row in rows] == ["1001", "1002"]


@pytest.mark.parametrize(
    "again",
    ["id,key,name", "key,id,nick", "key,id", "key,id,name,city", "name,key,id", "key,openid,name",
     "\ufeffid,name,key", "id,nick,key", "name,key,city", "ID,Key,Name"],
)  # fmt: skip
async def test_the_heading_line_of_another_table_is_refused(tmp_path: Path, again: str) -> None:
    text = await refused(tmp_path, f"key,id,name\nk1,1001,a\n{again}\n1002,k2,b\n")
    assert "line 3 is the heading line of another table" in text


async def test_a_heading_in_an_address_column_is_no_address(tmp_path: Path) -> None:
    rows, _ = await rows_of(tmp_path, "key,id,name\nk1,name,a\nk2,2,b\nk3,Name,c\n")
    assert codes(rows) == [Code.BAD_ADDRESS, None, Code.BAD_ADDRESS]
    assert [row.key for row in rows] == ["k1", "k2", "k3"]


async def test_exports_joined_with_their_sep_lines(tmp_path: Path) -> None:
    export = "sep=;\nkey;id;name\n"
    rows, _ = await rows_of(tmp_path, f"{export}k1;1;a\n{export}k2;2;b\n")
    assert [row.key for row in rows] == ["k1", "k2"]


# Encodings.

MANY = "key,id,name\n" + "".join(f"k{n},{1000 + n},小明{n}\n" for n in range(1000))


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (MANY.encode() + "k,7,王五\n".encode("gbk"), 1002),
        (MANY.encode() + "k,7,René\n".encode("latin-1"), 1002),
        ((MANY + "k,7,小红").encode()[:-1], 1002),
        ((MANY + "k,7,小红").encode()[:-2], 1002),
        (MANY.encode().replace("小明500\n".encode(), "小明500\n".encode()[:4] + b"\n"), 502),
        ("key,id,name\n".encode("utf-8-sig") + "k,7,王五\n".encode("gbk"), 2),
        ("key,id,name\r1,1,小明\r2,2,小红\r".encode() + "3,3,王\r".encode("gbk"), 4),
        ("key,id,name\na,1,José\nb,2,Zoë\n".encode() + "c,3,René\n".encode("latin-1"), 4),
    ],
)
async def test_a_damaged_line_of_utf_8_is_named(tmp_path: Path, data: bytes, line: int) -> None:
    text = await refused(tmp_path, data)
    assert f"line {line} is not" in text
    source = read_csv(tmp_path / "people.csv")
    with pytest.raises(UsageError, match=f"line {line} is not"):
        await read(source, check=False)


@pytest.mark.parametrize(
    "data",
    [
        "key,id,name\na,1,José\nb,2,Zoë\n".encode("latin-1"),
        "key,id,name\na,1,王小明\nb,2,陳怡君\n".encode("big5"),
        b"key,id,name\na,1,\xaa\xa1\xaa\xa2\n",  # GBK's private use
        b"key,id,name\na,1,\x84\x31\xa5\x30\n" + b"b,2,\xfe\xfe\n",
    ],
)
async def test_what_is_neither_is_never_made_into_something(tmp_path: Path, data: bytes) -> None:
    assert "neither UTF-8 nor GB18030 (line 2)" in await refused(tmp_path, data)
    with pytest.raises(UsageError, match="neither UTF-8 nor GB18030"):
        await read(read_csv(tmp_path / "people.csv"), check=False)


async def test_gbk_lists_are_still_read(tmp_path: Path) -> None:
    people = ["王伟", "李娜", "张秀英", "刘洋", "陈静", "欧阳锋", "€", "鑫"]
    data = "key,id,name\n" + "".join(f"k{n},{n},{who}\n" for n, who in enumerate(people))
    for encoding in ("gbk", "gb18030"):
        rows, said = await rows_of(tmp_path, data.replace("€\n", "\n").encode(encoding))
        assert [row.params["name"] for row in rows if row.params["name"]] == [
            who for who in people if who != "€"
        ]
        assert "GB18030" in said


async def test_a_name_for_the_encoding_that_is_not_so_is_refused(tmp_path: Path) -> None:
    for encoding in ("gbk", "gb2312", "gb18030"):
        assert "is UTF-8" in await refused(tmp_path, MANY, encoding=encoding)
    rows, _ = await rows_of(tmp_path, "key,id,name\nk,1,x\n", encoding="gbk")
    assert rows[0].id == "1"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
async def test_utf_16_with_a_mark(tmp_path: Path, encoding: str) -> None:
    text = "key\tid\tname\r\nk1\t1001\t小明\r\n"
    mark = b"" if encoding == "utf-16" else "\ufeff".encode(encoding)
    rows, said = await rows_of(tmp_path, mark + text.encode(encoding))
    assert [(row.key, row.id, row.params["name"]) for row in rows] == [("k1", "1001", "小明")]
    assert "UTF-16" in said
    assert "UTF-16" in await refused(tmp_path, mark + text.encode(encoding)[:-1])


# Headings and widths.


async def test_headings_of_known_columns(tmp_path: Path) -> None:
    rows, said = await rows_of(tmp_path, " KEY ;Open ID;Union_ID;ID;name\nk1;o1;u1;1;x\n")
    assert [(r.key, r.openid, r.unionid, r.id) for r in rows] == [("k1", "o1", "u1", "1")]
    assert "not used" not in said


@pytest.mark.parametrize(
    ("headings", "columns", "said"),
    [
        ("openid,Open ID", None, "both mean openid"),
        ("id,id", None, "there are two id"),
        ("key,id,KEY", None, "both mean key"),
        ("who,who", {"id": "who"}, "'who' is there twice"),
    ],
)
async def test_two_headings_of_one_meaning_are_refused(
    tmp_path: Path, headings: str, columns: dict[str, str] | None, said: str
) -> None:
    cells = ",".join("1" * (headings.count(",") + 1))
    assert said in await refused(tmp_path, f"{headings}\n{cells}\n", columns=columns)


async def test_a_mapping_goes_before_what_a_heading_means(tmp_path: Path) -> None:
    source = read_csv(
        put(tmp_path, "OpenID,openid,name,name\no1,o2,a,b\n"), columns={"openid": "openid"}
    )
    rows = await read(source)
    assert rows[0].openid == "o2"
    assert "'OpenID', 'name' are not used" in source.notices[0]


async def test_parameters_keep_their_case(tmp_path: Path) -> None:
    path = put(tmp_path, "id,Name,name\n1,A,b\n")
    [row] = await read(read_csv(path), "name", "Name")
    assert row.params == {"name": "b", "Name": "A"}


@pytest.mark.parametrize("tail", ["", ",", ",,", ", ,\u00a0", ",,,,,,"])
@pytest.mark.parametrize("heading_tail", ["", ",", ",,,"])
async def test_surplus_empty_cells_are_nothing(
    tmp_path: Path, tail: str, heading_tail: str
) -> None:
    data = f"key,id,name{heading_tail}\nk1,1,a{tail}\nk2,2,b\n"
    rows, _ = await rows_of(tmp_path, data)
    assert [(row.key, row.id, row.params["name"]) for row in rows] == [
        ("k1", "1", "a"), ("k2", "2", "b"),
    ]  # fmt: skip


async def test_a_surplus_cell_with_something_in_it_breaks_its_row(tmp_path: Path) -> None:
    rows, _ = await rows_of(tmp_path, "key,id,name\nk1,1,Lee, Ann\nk2,2,b\n")
    assert codes(rows) == [Code.BAD_ROW, None]
    assert [row.key for row in rows] == ["row 1", "k2"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
async def test_rows_of_another_delimiter_are_said_so(tmp_path: Path, delimiter: str) -> None:
    odd = delimiter.join(["k1", "1", "a"])
    rows, _ = await rows_of(tmp_path, f"key,id,name\n{odd}\n{odd},,\nk2,2,b\n")
    assert codes(rows) == [Code.BAD_ROW, Code.BAD_ROW, None]
    assert all("separated by" in row.problem.detail for row in rows if row.problem)
    assert [row.key for row in rows] == ["row 1", "row 2", "k2"]


async def test_a_key_with_a_semicolon_is_a_key(tmp_path: Path) -> None:
    rows, _ = await rows_of(tmp_path, "key,id,name\na;b,1,x\n")
    assert (rows[0].key, rows[0].id, rows[0].problem) == ("a;b", "1", None)


async def test_full_width_commas_are_named(tmp_path: Path) -> None:
    assert "in ASCII" in await refused(tmp_path, "key，id，name\nk1，1，a\n")


async def test_what_could_be_either_names_the_file(tmp_path: Path) -> None:
    text = await refused(tmp_path, "key,id;openid\nk1,1;o1\n")
    assert text.startswith(str(tmp_path / "people.csv"))
    assert "',' and by ';'" in text


@pytest.mark.parametrize("cell", ["", " ", "\u00a0", "\u3000\u2003", "\u200b", "\ufeff"])
async def test_rows_of_blanks_are_blank_lines(tmp_path: Path, cell: str) -> None:
    for size in (1, 2, 1000):
        source = read_csv(put(tmp_path, f"key,id,name\nk1,1,a\n{cell},{cell},{cell}\nk2,2,b\n"))
        rows = await read(source, "name", size=size)
        assert [row.key for row in rows] == ["k1", "k2"]
        assert "1 blank line left out" in " ".join(source.notices)


# What is found only late in a long file.

LONG = "key,id,name\n" + "".join(f"k{n},{n},王小明\n" for n in range(20_000))


async def test_bytes_overwritten_while_they_are_read_are_a_change(tmp_path: Path) -> None:
    path = put(tmp_path, LONG)
    source = read_csv(path)
    source.check(NAMES)

    async def read_on() -> None:
        async with aclosing(source.batches(NAMES, 100)) as batches:  # type: ignore[type-var]
            async for _ in batches:
                with path.open("r+b") as file:
                    file.seek(200_000)
                    file.write(b"\xff" * 1000)

    with pytest.raises(UsageError, match="was changed while it was read"):
        await read_on()


async def test_late_lines_decide_too(tmp_path: Path) -> None:
    data = LONG.encode("gb18030") + b"k,1,\xaa\xa1\n"
    assert "neither UTF-8 nor GB18030" in await refused(tmp_path, data)
    data = LONG.encode("gb18030") + b"k,1,\xff\n"
    assert "is not GB18030 (line 20002)" in await refused(tmp_path, data, encoding="gbk")


async def test_a_cell_too_long_for_a_table_costs_its_row(tmp_path: Path) -> None:
    data = f'key,id,name\nk1,1,"a\n{"x" * 140_000}"\nk2,2,b\n'
    rows, _ = await rows_of(tmp_path, data)
    assert codes(rows)[0] is Code.BAD_ROW
    assert (rows[-1].key, rows[-1].problem) == ("k2", None)


async def test_what_may_be_data_is_not_kept_in_the_journal(tmp_path: Path) -> None:
    source = read_csv(put(tmp_path, "Key,28100TOKENofU1,Ann\nu2,28100TOKENofU2,Bo\n"))
    await read(source)
    said = f"{source.describe()} {source.notices}"
    assert "TOKEN" not in said
    assert "Ann" not in said
    assert source.describe()["columns"] == ["Key", "", ""]
    with pytest.raises(UsageError) as caught:
        source.check(frozenset({"who"}))
    assert "TOKEN" not in str(caught.value)
