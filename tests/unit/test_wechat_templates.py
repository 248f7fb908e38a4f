"""The kinds of template fields: what passes, what does not, and that the error says why."""

from __future__ import annotations

import pytest

from promomsg.model import Code
from promomsg.wechat.templates import KINDS, check, kind_of


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("first", "x" * 9),
        ("first", "四个字\n四个字"),
        ("thing", "优" * 20),
        ("time", "2022/10/28"),
        ("time", "2022-10-28"),
        ("time", "2019年10月1日 15:01"),
        ("time", "2019年10月1日"),
        ("time", "15:01"),
        ("time", "15:01:59"),
        ("time", "9:05"),
        ("time", "24:00"),
        ("time", "2022/10/28 23:59"),
        ("time", "10:00~12:00"),
        ("time", "2022/10/28 ~ 2022/11/11"),
        ("time", "2024/02/29"),
        ("amount", "¥12345678.90元"),
        ("amount", "$1"),
        ("amount", "¥8"),
        ("amount", "€1234567890"),
        ("amount", "199.00元"),
        ("number", "9" * 32),
        ("number", "3.14"),
        ("number", "-1"),
    ],
)
def test_lawful_text_passes(kind: str, text: str) -> None:
    assert check("content.f", kind, text) is None


@pytest.mark.parametrize(
    ("kind", "text", "code", "says"),
    [
        ("first", "x" * 10, Code.OVER_LIMIT, "at most 9 characters, given 10"),
        ("first", "a\nb\nc", Code.OVER_LIMIT, "at most one line feed, given 2"),
        ("thing", "x" * 21, Code.OVER_LIMIT, "at most 20 characters, given 21"),
        ("thing", "a\nb", Code.OVER_LIMIT, "no line feed, given 1"),
        ("time", "", Code.BAD_ROW, "time takes 15:01"),
        ("time", "25:00", Code.BAD_ROW, "given '25:00'"),
        ("time", "12:60", Code.BAD_ROW, "'~'"),
        ("time", "3pm", Code.BAD_ROW, "24 hours"),
        ("time", "2022/13/01", Code.BAD_ROW, "given '2022/13/01'"),
        ("time", "2023/02/29", Code.BAD_ROW, "2022/10/28"),
        ("time", "2022/10-28", Code.BAD_ROW, "time"),
        ("time", "2022/10/2815:01:", Code.BAD_ROW, ""),
        ("time", "10:00-12:00", Code.BAD_ROW, "'~'"),
        ("time", "1:00~2:00~3:00", Code.BAD_ROW, "two of them"),
        ("time", "10:00~", Code.BAD_ROW, ""),
        ("time", "１５:０１", Code.BAD_ROW, ""),
        ("amount", "¥12345678901", Code.OVER_LIMIT, "at most 10 digits, given 11"),
        ("amount", "¥123456789.01", Code.OVER_LIMIT, "given 11"),
        ("amount", "¥¥1", Code.BAD_ROW, "one currency sign"),
        ("amount", "x1", Code.BAD_ROW, "one currency sign"),
        ("amount", "¥1,000", Code.BAD_ROW, "given '¥1,000'"),
        ("amount", "免费", Code.BAD_ROW, ""),
        ("number", "9" * 33, Code.OVER_LIMIT, "at most 32 digits, given 33"),
        ("number", "1.2E+17", Code.BAD_ROW, "number takes digits"),
        ("number", "", Code.BAD_ROW, "number"),
    ],
)
def test_unlawful_text_names_field_limit_and_what_was_given(
    kind: str, text: str, code: Code, says: str
) -> None:
    problem = check("content.f", kind, text)
    assert problem is not None
    assert problem.code == code
    assert problem.detail.startswith(f"content.f: {kind} takes ")
    assert says in problem.detail


def test_a_long_text_is_shown_cut() -> None:
    problem = check("content.f", "thing", "x" * 10_000)
    assert problem is not None
    assert len(problem.detail) < 200


def test_every_kind_is_one() -> None:
    assert [kind_of(kind, "t") for kind in KINDS] == list(KINDS)
