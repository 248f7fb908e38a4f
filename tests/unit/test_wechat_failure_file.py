"""A failure file in every plausible shape, and in none."""

from __future__ import annotations

import pytest

from promomsg.model import Failure
from promomsg.plural import counted
from promomsg.wechat.failure_file import parse_failures

TWO = [Failure("123", "103010"), Failure("456", "43101")]


@pytest.mark.parametrize(
    "text",
    [
        '[{"id":"123","errcode":103010},{"id":"456","errcode":43101}]',
        ' [ {"id":123,"errcode":"103010"} ,\n{"id":"456","errcode":43101,"x":[1]} ] \n',
        '{"id":"123","errcode":103010}\n{"id":"456","errcode":43101}\n',
        '{"id":"123","errcode":103010}\r\n\r\n{"id":"456","errcode":43101}',
        '{"fail_info":[{"id":"123","errcode":103010},{"id":"456","errcode":43101}]}',
        "123,103010\n456,43101\n",
        "id,errcode\r\n123,103010\r\n456,43101\r\n",
        "ID,ErrCode\r123,103010\r456,43101\r",
        '"id","errcode"\n"123","103010"\n"456","43101"',
        'errmsg,errcode,id\n"no, sorry",103010,123\n"",43101,456\n',
        "id\terrcode\n123\t103010\n456\t43101\n",
        "123;103010\n456;43101",
        " 123 , 103010 \n\n456,43101,more\n",
    ],
)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_every_shape_gives_the_same_failures_and_no_warning(text: str, bom: bytes) -> None:
    assert parse_failures(bom + text.encode()) == (TWO, None)


def test_one_object_is_one_failure() -> None:
    assert parse_failures(b'{"id":"1","errcode":5}') == ([Failure("1", "5")], None)


def test_an_empty_array_is_no_failure() -> None:
    assert parse_failures(b"[]") == ([], None)


@pytest.mark.parametrize("raw", [b"", b"\xef\xbb\xbf", b" \r\n "])
def test_an_empty_file_says_so(raw: bytes) -> None:
    assert parse_failures(raw) == ([], "failure file: it is empty")


@pytest.mark.parametrize(
    ("raw", "read", "says"),
    [
        (
            b"123,103010\nwhat,is this\n456,43101",
            2,
            "1 cannot be read as id and errcode (the first: line 2)",
        ),
        (b"123,103010\n456,43101\n123,5", 2, "1 name a promoter again"),
        (b"123,103010\n456,43101\n789,0", 2, "1 have errcode 0, which is no failure"),
        (b'{"id":"123","errcode":1}\n{"id":"4\n{"id":"5","errcode":1}', 2, "the first: line 2"),
        (
            b'[{"id":"123","errcode":1},{"id":"456","errcode":1},{"id":"7',
            2,
            "cut or broken from character 51 on, record 3",
        ),
        (b'[{"id":"123","errcode":1},{"id":"456","errcode":1}', 2, "cut or broken"),
        (b'[{"id":"123","errcode":1},5,{"id":"456","errcode":1}]', 2, "the first: record 2"),
        (b'[{"id":"123","errcode":1}]<html>', 1, "what follows the array"),
        (b"[" * 100_000, 0, "cut or broken"),
        (b'{"a":' * 100_000, 0, "cannot be read"),
        (b"<html><body>not found, 404</body></html>", 0, "1 cannot be read"),
        (b"\x89PNG\r\n\x1a\n\x00\x00,1\n", 0, "cannot be read"),
        (b'12"3,1\n"456,43101\n789,43101', 1, "2 cannot be read"),
        (b'"' + b"x" * 200_000 + b'",1', 0, "1 cannot be read"),
        (b"123\n456\n", 0, "2 cannot be read"),
        (b"1.0,43101\n1.2E+17,43101", 0, "2 cannot be read"),
        (b'{"id":"1","id":"2","errcode":5}', 0, "1 cannot be read"),
        (b'{"total":2}', 0, "1 cannot be read"),
        (b"\xff123,1\n456,1", 1, "the first: line 1"),
    ],
)
def test_what_cannot_be_read_is_counted_and_the_rest_is_kept(
    raw: bytes, read: int, says: str
) -> None:
    failures, warning = parse_failures(raw)
    assert len(failures) == read
    assert warning is not None
    assert warning.startswith(f"failure file, {counted(read, 'failure')} read: ")
    assert says in warning
    assert len(warning) < 300


@pytest.mark.parametrize(
    "raw",
    [
        b"{\n" * 3_000_000,
        b"[" + b"5," * 3_000_000,
        b"x\n" * 3_000_000,
        b'{"id":"1","errcode":\n' * 300_000,
    ],
    ids=["braces", "numbers", "lines", "halves"],
)
def test_a_file_of_nothing_readable_is_given_up(raw: bytes) -> None:
    failures, warning = parse_failures(raw)
    assert failures == []
    assert warning is not None
    assert "what follows so many unreadable records is not read" in warning
    assert "20000 cannot be read" in warning
