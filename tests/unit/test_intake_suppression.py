"""The suppression list in a file: whoever is on it must not be lost to a bad line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promomsg.errors import UsageError
from promomsg.intake.suppression.list_kind import kind_of_list
from promomsg.intake.suppression.listed_values import ListedValues
from promomsg.intake.suppression.suppression_file import SuppressionFile


def read(tmp_path: Path, text: str | bytes, **options: Any) -> tuple[SuppressionFile, ListedValues]:
    path = tmp_path / "blocked.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    file, found = SuppressionFile(path, **options), ListedValues()
    for batch in file.batches():
        found.values += batch.values
        found.spellings += batch.spellings
        found.doubtful += batch.doubtful
    return file, found


def values(tmp_path: Path, text: str | bytes, **options: Any) -> list[str]:
    return read(tmp_path, text, **options)[1].values


def test_one_value_a_line(tmp_path: Path) -> None:
    assert values(tmp_path, "\ufeff101\r\n\r\n oB \r\nkey/3") == ["101", "oB", "key/3"]


def test_columns_by_heading(tmp_path: Path) -> None:
    text = "Key,why,openid\na,x,oA\n b ,y,\n,z,o3\n"
    _, found = read(tmp_path, text)
    assert sorted([*found.values, *found.spellings]) == [" b ", "a", "b", "o3", "oA"]
    assert values(tmp_path, "推广员,x\n1,2\n", columns={"id": "推广员"}) == ["1"]


def test_gbk(tmp_path: Path) -> None:
    assert values(tmp_path, "客户一\n客户二\n".encode("gbk")) == ["客户一", "客户二"]


def test_a_heading_alone_is_a_list_of_nobody_and_is_said(tmp_path: Path) -> None:
    file, found = read(tmp_path, "id\n")
    assert found.values == []
    assert file.notices == [f"{file.path} has headings and nobody under them"]


def test_batches_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("id\n" + "5\n" * 25)
    batches = list(SuppressionFile(path).batches(size=10))
    assert [len(batch.values) for batch in batches] == [9, 10, 6]


def test_quoted_line_ends_are_read(tmp_path: Path) -> None:
    assert values(tmp_path, 'key,why\na,"x\ny"\nb,z\n') == ["a", "b"]


def test_words_without_headings_are_values_too(tmp_path: Path) -> None:
    assert values(tmp_path, "name,phone\nx,y\n") == ["name", "phone", "x", "y"]


@pytest.mark.parametrize(
    ("cell", "all_spellings"),
    [
        ("'1001", {"1001", "'1001"}),
        ("`1001", {"1001", "`1001"}),
        ('"=""1001"""', {"1001", '="1001"'}),
        ("'-k2", {"-k2", "'-k2"}),
    ],
)
@pytest.mark.parametrize("heading", ["", "key\n", "id\n"])
def test_a_guard_is_taken_off_and_both_forms_are_on_the_list(
    tmp_path: Path, heading: str, cell: str, all_spellings: set[str]
) -> None:
    _, found = read(tmp_path, f"{heading}{cell}\n")
    assert len(found.values) == 1
    assert all_spellings == {*found.values, *found.spellings}


def test_a_name_that_begins_with_an_apostrophe_is_on_the_list_as_it_is(tmp_path: Path) -> None:
    _, found = read(tmp_path, "key\n't Hooft\n")
    assert {"'t Hooft", "t Hooft"} == {*found.values, *found.spellings}


@pytest.mark.parametrize(
    "text", ["key\n1.0\n", "key\n1.38E+10\n", "1.0\n", "key,id\n1.0,5\n", "*k\n"]
)
def test_a_key_that_looks_mangled_is_doubted(tmp_path: Path, text: str) -> None:
    [(key, said, inside, _)] = read(tmp_path, text)[1].doubtful
    assert inside is None
    assert key in text
    assert said.startswith(f"{tmp_path / 'blocked.csv'} line ")


@pytest.mark.parametrize("key", ["a key", "小明，红", "[x]", "#1", "１００１", "a|b", 'say "no"'])
def test_a_key_column_takes_any_text(tmp_path: Path, key: str) -> None:
    quoted = key.replace('"', '""')
    assert values(tmp_path, f'key,why\n"{quoted}",x\n') == [key]


@pytest.mark.parametrize(
    "text", ["access_token,why\nt+A/1=,x\n", "t+A/1=\n", "key,access_token\nk,t+A/1=\n"]
)
def test_a_wallets_list_may_hold_user_tokens(tmp_path: Path, text: str) -> None:
    assert "t+A/1=" in values(tmp_path, text, secret=True)


@pytest.mark.parametrize(
    "text",
    [
        "SECRET TOKEN\n",
        "SECRET,TOKEN[1]\n",
        "access_token\nSECRET TOKEN\n",
        "id\nSECRET.TOKEN\n",
        "key\nSECRET\u200bTOKEN\n",
        "access_token,why\n,SECRET\n",
        "why,access_token\nSECRET\n",
        'key,why\n"SECRET"TOKEN,x\n',
        "request_id,SECRET\n1,2\n",
        "key,SECRETopenid\n1,2\n",
        "key,key\nSECRET,TOKEN\n",
    ],
)
def test_no_error_shows_a_cell_of_a_wallets_list(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        values(tmp_path, text, secret=True)
    assert "SECRET" not in str(caught.value)
    assert "TOKEN" not in str(caught.value)
    assert "line 1" in str(caught.value) or "line 2" in str(caught.value)


def test_no_doubt_shows_a_cell_of_a_wallets_list(tmp_path: Path) -> None:
    for text in ("123.5\n", "SECRET-TOKEN:asked\n", "key\nSECRET-TOKEN (asked)\n"):
        doubted = read(tmp_path, text, secret=True)[1].doubtful
        assert doubted
        assert not any("123.5" in doubt.message or "TOKEN" in doubt.message for doubt in doubted)


def test_a_report_counts_every_key_and_says_how_many_were_not_sent(tmp_path: Path) -> None:
    text = (
        "key,verdict,code,detail,attempts,group,at\n"
        "k1,sent,,,1,,2026-11-24T12:00:00.250+00:00\n"
        "'-k2,failed,43101,no,1,,2026-11-24T12:00:00.250+00:00\n"
        "k3,skipped,SUPPRESSED,on it,0,,\n"
        "row 4,failed,NO_ADDRESS,nothing there,0,,\n"
    )
    file, found = read(tmp_path, text)
    assert found.values == ["k1", "-k2", "k3"]
    assert file.notices == [
        f"{file.path} is a report: every key in it is left out, 2 of the 3 were not sent"
    ]


@pytest.mark.parametrize("verdict", ["sent", "unknown", "pending", "intended"])
def test_somebody_of_a_report_without_a_key_cannot_be_told(tmp_path: Path, verdict: str) -> None:
    head = "key,verdict,code,detail,attempts,group,at\n"
    with pytest.raises(UsageError, match="line 2: this person has no key"):
        values(tmp_path, f"{head}row 1,{verdict},,,1,,\n")


def test_the_encoding_that_was_guessed_is_said(tmp_path: Path) -> None:
    file, _ = read(tmp_path, "编号\n1001\n".encode("gbk"))
    assert file.notices == [f"{file.path} is read as GB18030"]


def test_what_a_file_is_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "any.xlsx"
    for start, kind in (
        (b"SQLite format 3\0", "journal"),
        (b"PK\x03\x04", "table"),
        (b"PAR1", "table"),
    ):
        path.write_bytes(start + bytes(20))
        assert kind_of_list(path) == kind


def test_a_key_may_begin_as_a_zip_archive_does(tmp_path: Path) -> None:
    (path := tmp_path / "blocked.txt").write_text("PK1001\n")
    assert kind_of_list(path) == "text"
    assert values(tmp_path, "PK1001\n") == ["PK1001"]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04" + bytes(40), "a damaged zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"\x89PNG\r\n", "a picture"),
        (b"{\\rtf1 1001}", "an RTF document"),
    ],
)
def test_what_can_be_no_list_is_named(tmp_path: Path, start: bytes, kind: str) -> None:
    (path := tmp_path / "blocked.csv").write_bytes(start)
    with pytest.raises(UsageError, match=f"is {kind}, and no suppression list"):
        kind_of_list(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        kind_of_list(tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["key\nSECRET-TOKEN (asked)\n", "SECRET-TOKEN:asked\n"])
def test_a_user_token_with_a_remark_is_doubted_in_any_column(tmp_path: Path, text: str) -> None:
    doubted = read(tmp_path, text, secret=True)[1].doubtful
    assert ("SECRET-TOKEN", False) in {(doubt.inside, doubt.is_key) for doubt in doubted}
