"""The suppression list: whoever is on it must not be lost to a bad line."""

from __future__ import annotations

from pathlib import Path

import pytest

from promomsg.errors import UsageError
from promomsg.intake import read_suppression


def values(tmp_path: Path, text: str | bytes, **options: object) -> list[str]:
    path = tmp_path / "blocked.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [v for batch in read_suppression(path, **options) for v in batch]  # type: ignore[arg-type]


def test_one_value_a_line(tmp_path: Path) -> None:
    assert values(tmp_path, "\ufeff101\r\n\r\n oB \r\nkey 3") == ["101", "oB", "key 3"]


def test_columns_by_heading(tmp_path: Path) -> None:
    text = "Key,why,openid\na,x,oA\n b ,y,\n,z\n"
    assert values(tmp_path, text) == ["a", "oA", "b", " b "]
    assert values(tmp_path, "推广员,x\n1,2\n", columns={"id": "推广员"}) == ["1"]


def test_gbk(tmp_path: Path) -> None:
    assert values(tmp_path, "客户一\n客户二\n".encode("gbk")) == ["客户一", "客户二"]


def test_an_empty_list_is_no_list(tmp_path: Path) -> None:
    assert values(tmp_path, "") == values(tmp_path, "id\n") == []


def test_batches_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("id\n" + "5\n" * 25)
    assert [len(b) for b in read_suppression(path, size=10)] == [9, 10, 6]


def test_quoted_line_ends_are_read(tmp_path: Path) -> None:
    assert values(tmp_path, 'key,why\na,"x\ny"\nb,z\n') == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id\n1\n1.2E+17\n", "line 3"),
        ("101\n102.0\n", "line 2"),
        ("name,phone\nx,y\n", "'name', 'phone'"),
        ("101\n102,103\n", "line 2 has several"),
        ('id,why\n1,"x"y\n2,z\n', "line 2 cannot be read"),
    ],
)
def test_what_cannot_be_read_stops_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        values(tmp_path, text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        list(read_suppression(tmp_path / "none.csv"))


def test_keys_may_look_like_numbers(tmp_path: Path) -> None:
    assert values(tmp_path, "key\n1.0\n") == ["1.0"]
