"""What separates the cells: told by the heading line, never guessed against it."""

from __future__ import annotations

from io import StringIO

import pytest

from promomsg.errors import UsageError
from promomsg.intake.headings import column_of_heading, folded_heading
from promomsg.intake.text.dialect import COMMA, Dialect, find_dialect
from promomsg.intake.text.textfile import read_records


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_the_headings_tell(delimiter: str, end: str, start: str, quote: str) -> None:
    cells = [["key", "id", "name"], ["k1", "1001", "a, b; c"], ["k2", "1002", "x|y"]]
    text = start + end.join(delimiter.join(f"{quote}{c}{quote}" for c in row) for row in cells)
    assert find_dialect(text) == Dialect(delimiter, 0)


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("id\n1;2\n", ","),
        ("id\n1001\n", ","),
        ("", ","),
        ("\n\n", ","),
        ("1001\n1002\n", ","),
        ("1001;asked\n", ";"),
        ("1001\tasked\n", "\t"),
        ("推广员;姓名\n1;a,b\n2;c\n", ";"),
        ("姓名;推广员,x\n1;a\n2;b\n", ";"),
        ("id,name;nick\n1,a\n", ","),
        ("id;name,nick\n1;a\n", ";"),
        ('"id","why;not"\n1,"a;b"\n', ","),
        ("Open ID;why\n", ";"),
        ("OPENID|a\n", "|"),
        ('id,name\n1,"a;b;c"\n', ","),
    ],
)
def test_a_careful_choice(head: str, delimiter: str) -> None:
    assert find_dialect(head) == Dialect(delimiter, 0)


def test_mapped_headings_are_known() -> None:
    assert find_dialect("a,b;推广员\n1,2;3\n", ["推广员"]).delimiter == ";"
    assert find_dialect("推广员ID,b;c\n", ["推广员ID"]).delimiter == ","


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        ("sep=;", ";"), ("SEP=;", ";"), ('"sep=;"', ";"), ("\ufeffsep=;", ";"), ("sep=,", ","),
        ("\ufeffSep=|", "|"), ("sep=\t", "\t"), ("sep=\\t", "\t"), ("sep=;;;", ";"),
        ("sep=,,,", ","), ("sep=", None), ('"sep=,",,', ","), ("sep=; ", ";"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_sep_line_is_obeyed_and_left_out(line: str, delimiter: str | None, end: str) -> None:
    mark = delimiter or ";"
    text = end.join([line, mark.join(["key", "id"]), mark.join(["k1", "1"]), ""])
    dialect = find_dialect(text)
    assert dialect == Dialect(mark, 1)
    [block] = read_records(StringIO(text, newline=""), 10, dialect)
    assert block == (2, [["key", "id"], ["k1", "1"]])


def test_a_sep_line_decides_where_headings_cannot() -> None:
    assert find_dialect("sep=|\na;b|c;d\n1|2\n") == Dialect("|", 1)
    assert find_dialect("\nsep=;\nid\n") == Dialect(";", 2)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("key,id;openid\n", "',' and by ';'"),
        ("sep=;\nkey,id\n", "line 1 says that ';'"),
        ("sep=:\nkey:id\n", "':'"),
        ("sep=x\nid\n", "'x'"),
        ("id\tkey|openid,unionid\n", None),
    ],
)
def test_what_could_be_either_is_refused_in_one_line(head: str, said: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        find_dialect(head)
    assert "\n" not in str(caught.value)
    assert said is None or said in str(caught.value)


def test_lines_keep_their_numbers_after_a_sep_line() -> None:
    text = 'sep=;\nid;name\n1;"a\nb"\n2;c\n'
    blocks = list(read_records(StringIO(text, newline=""), 2, find_dialect(text)))
    records = [r for block in blocks if isinstance(block, list) for r in block]
    assert [(r.line, r.fields) for r in records] == [
        (2, ["id", "name"]), (3, ["1", "a\nb"]), (5, ["2", "c"]),
    ]  # fmt: skip
    assert Dialect(",", 0) == COMMA


@pytest.mark.parametrize(
    "heading",
    ["openid", "Open ID", "OPENID", "open_id", "openId", " open-id ", "\ufeffopenid", "ｏｐｅｎｉｄ",
     '="openid"', "'openid", "Open\u00a0ID", "open\u200bid"],
)  # fmt: skip
def test_known_columns_are_known_however_they_are_spelt(heading: str) -> None:
    assert column_of_heading(heading) == "openid"
    assert folded_heading(heading) == "openid"


def test_other_headings_are_not() -> None:
    assert column_of_heading("open") is column_of_heading("name") is column_of_heading("") is None
    assert column_of_heading("Access Token") == "access_token"
    assert column_of_heading("requestId") == "request_id"
