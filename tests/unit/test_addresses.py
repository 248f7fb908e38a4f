"""What an address is: letters, digits, - and _, up to 128 of them, and no column's name."""

from __future__ import annotations

import pytest

from promomsg.addresses import is_clean_column, known_column, parse_address
from promomsg.model import Problem

ADDRESSES = ("id", "openid", "unionid")
NOT_ONE = [
    "合计",
    '="1001"',
    "'1001",
    "1001;asked",
    "1001#asked",
    "10\u200b01",
    "ann@x.com",
    "+8613800138000",
    "１００１",
    "a" * 129,
    "id",
    "Open ID",
    "open_id",
    "UNIONID",
    "key",
    "access_token",
    "Request ID",
]


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("text", NOT_ONE)
def test_what_cannot_be_an_address_fails_its_row(name: str, text: str) -> None:
    got = parse_address(name, text)
    assert isinstance(got, Problem)
    assert got.detail.startswith(f"{name} ")
    assert not is_clean_column(name, text, [text])


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(
    "text", ["1001", "oAbC_1-2", "a" * 128, "-", "ideal", "keyring", "openid1", "0o", "accessory"]
)
@pytest.mark.parametrize(
    "around", ["{}", " {} ", "\ufeff{}", "\u3000{}\u200b", "\u00a0{}\u200e\u2060"]
)
def test_blanks_and_invisible_characters_around_an_address_are_taken_off(
    name: str, text: str, around: str
) -> None:
    assert parse_address(name, around.format(text)) == text


@pytest.mark.parametrize("name", ["access_token", "request_id"])
@pytest.mark.parametrize("text", ["a+b/c==", "a" * 200, "id", "2026:1"])
def test_tokens_and_request_ids_keep_their_own_rules(name: str, text: str) -> None:
    assert parse_address(name, text) == text


def test_a_heading_is_known_whatever_its_case_blanks_and_underscores() -> None:
    for heading in ("openid", "OpenID", " Open ID", "OPEN_ID", "\ufeffopenId", "o p e n i d"):
        assert known_column(heading) == "openid"
    assert known_column("Access Token") == known_column("accessToken") == "access_token"
    assert known_column("id2") is known_column("name") is known_column("") is None
