"""Characters that nobody sees: refused, replaced or written out, by one rule each."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promomsg.control_characters import (
    escaped,
    excerpt,
    find_control,
    has_blank,
    has_half_character,
    is_garbled,
    is_invisible,
    one_line,
    replace_halves,
    trimmed,
)

CONTROL = ("Cc", "Cs")


@given(st.text(st.characters(), max_size=20))
def test_a_control_character_is_what_unicode_calls_one(text: str) -> None:
    first = next((c for c in text if unicodedata.category(c) in CONTROL), None)
    assert find_control(text) == first
    assert has_half_character(text) == any(unicodedata.category(c) == "Cs" for c in text)
    assert not has_half_character(replace_halves(text))
    assert find_control(one_line(text)) is None
    assert escaped(text).isprintable()
    assert has_blank(text) == any(map(str.isspace, text))


def test_what_is_allowed_is_not_found() -> None:
    assert find_control("a\tb\r\n", "\t\n\r") is None
    assert find_control("a\nb\x07", "\n") == "\x07"
    assert find_control("a\nb\x07") == "\n"
    assert find_control("小明 é\u200b\u2028") is None


@pytest.mark.parametrize("text", ["a\0", "a\u2028", "\u2029a", "\x85", "a\ufffd", "\udc80"])
def test_an_id_that_may_have_lost_a_character_is_garbled(text: str) -> None:
    assert is_garbled(text)
    assert not is_garbled("2247483_1 小")


def test_a_strangers_text_is_one_line() -> None:
    assert one_line("a\r\n\x1b[31mb\u2028c\ud800") == "a [31mb c "


def test_a_terminal_shows_what_it_would_obey() -> None:
    assert escaped("a\x1b[2J\u202eb小") == "a\\x1b[2J\\u202eb小"


def test_an_excerpt_is_quoted_and_cut() -> None:
    assert excerpt("a\nb") == "'a\\nb'"
    assert excerpt("x" * 41) == repr("x" * 39 + "…")
    assert excerpt("x" * 40) == repr("x" * 40)
    assert excerpt("xyz", 2) == "'x…'"


def test_only_what_is_around_a_text_is_taken_off() -> None:
    assert trimmed(" \u200b a\u200bb \ufeff\r\n") == "a\u200bb"
    assert trimmed("\u200b\ufeff") == ""
    assert is_invisible("\u200b")
    assert not is_invisible("a")
