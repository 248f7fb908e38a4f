"""What spreadsheets put around a value comes off; what somebody wrote stays."""

from __future__ import annotations

import pytest

from promomsg.control_characters import trimmed
from promomsg.intake.spreadsheet_guards import (
    guard_formula,
    key_without_guards,
    may_hold_guards,
    parameter_without_guards,
    with_and_without_guards,
    without_guards,
)

ROUND = [
    "1001", " 1001 ", "\t1001", "1001\t", "\u00a01001\u00a0", "\u30001001", "1001\u200b",
    "\ufeff1001", "\u200e1001\u200f", "\u202a1001\u202c", "\u20661001\u2069", "1001\u00ad",
    "\u20601001", "\u2003\u200b 1001 \u200d", "\u31641001", "1001\u2800", "1001\r", "\x0c1001",
]  # fmt: skip
GUARDED = [
    '="1001"', '= "1001"', '=""1001""', "'1001", "`1001", "'\t1001", ' "1001"', '"1001"',
    "\t'1001", "'=\"1001\"", '="\t1001"', "\u200b'1001\u200b", "''1001", '="1001 "',
]  # fmt: skip


@pytest.mark.parametrize("cell", [*ROUND, *GUARDED])
def test_an_address_comes_out_of_all_that_is_put_around_it(cell: str) -> None:
    assert without_guards(cell) == "1001"
    assert key_without_guards(cell).strip() == "1001"
    assert "1001" in with_and_without_guards(cell)
    assert may_hold_guards("2002" + cell + "2003") or cell == "1001"


@pytest.mark.parametrize("cell", ROUND)
def test_what_is_trimmed_has_one_form(cell: str) -> None:
    assert trimmed(cell) == "1001"
    assert with_and_without_guards(cell) == ("1001",)


@pytest.mark.parametrize("cell", ["", " ", "\u200b", "\u3000\u00a0", "\ufeff", "'", "`", '=""'])
def test_nothing_is_nothing(cell: str) -> None:
    assert without_guards(cell) == ""
    assert all(with_and_without_guards(cell))


@pytest.mark.parametrize(
    "cell",
    [
        "1001",
        "o-_Ab",
        "1002=",
        "a'b",
        "=1001",
        '=A1&"x"',
        '1001"',
        '"',
        "合计",
        "10\u200b01",
        "1 2",
    ],
)
def test_what_is_no_guard_stays(cell: str) -> None:
    assert without_guards(cell) == cell
    assert with_and_without_guards(cell) == (cell,)


def test_a_name_with_an_apostrophe_is_both_on_a_list_and_itself_as_a_key() -> None:
    assert with_and_without_guards("'t Hooft") == ("'t Hooft", "t Hooft")
    assert key_without_guards("'t Hooft") == "'t Hooft"
    assert parameter_without_guards("'t Hooft") == "'t Hooft"
    assert key_without_guards(" a b ") == " a b "


@pytest.mark.parametrize(
    "key", ["-k2", "＝1+1", "＠ann", "=1+1", "+8613800138000", "@ann", "- a b", "\tx"]
)
def test_our_own_report_read_again_gives_the_key_it_was_written_for(key: str) -> None:
    written = guard_formula(key)
    assert key_without_guards(written) == key.strip()
    assert key.strip() in with_and_without_guards(written)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("\t小明", "小明"), ('="007"', "007"), ("'00123", "00123"), ("'-5", "-5"),
        ("'+86 138", "+86 138"), ("'=x", "=x"), (' "小明"', "小明"), ("\ufeff小明", "小明"),
        ("'90s kid", "'90s kid"), ('"小明"', '"小明"'), ("=1", "=1"), (" a ", " a "),
        ("`code`", "`code`"), ("a\tb", "a\tb"), ("❤️", "❤️"), ('="a""b"', 'a"b'), ("", ""),
        ('"', '"'), (' "', ' "'), ("👨‍👩‍👧", "👨‍👩‍👧"),
    ],
)  # fmt: skip
def test_a_parameter_loses_only_what_is_surely_a_guard(cell: str, text: str) -> None:
    assert parameter_without_guards(cell) == text


def test_a_clean_column_needs_no_look() -> None:
    assert not may_hold_guards("1001" * 1000)
    assert not may_hold_guards("o6_bmjrPTlm6_2sgVt7hMZOPfL2M小明é")
