"""Tokens, sessions and the tokens of forms."""

from __future__ import annotations

import pytest

from promomsg.console.sign_in import (
    LASTS,
    Attempts,
    Sessions,
    Tokens,
    form_token,
    is_form_token,
    is_session_id,
    new_session_id,
)
from promomsg.errors import UsageError
from promomsg.model import Secret

READER, OPERATOR = "r" * 32, "o" * 32


class Now:
    """Monotonic seconds that are set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_each_token_gives_its_role() -> None:
    tokens = Tokens(Secret(READER), Secret(OPERATOR))
    assert (tokens.role_of(READER), tokens.role_of(OPERATOR)) == ("reader", "operator")
    for wrong in ("", READER[:-1], READER + "r", "ö" * 32, "\ud800"):
        assert tokens.role_of(wrong) is None
    assert tokens
    assert not Tokens()
    assert Tokens().role_of("") is None
    assert Tokens(reader=Secret(READER)).role_of(OPERATOR) is None


def test_tokens_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="--operator-token: it has fewer than 16"):
        Tokens(operator=Secret("short"))
    with pytest.raises(UsageError, match="the same"):
        Tokens(Secret(READER), Secret(READER))


def test_a_session_lasts_twelve_hours() -> None:
    now = Now()
    sessions = Sessions(now)
    one = sessions.begin("reader")
    assert is_session_id(one)
    found = sessions.find(one)
    assert found is not None
    assert found.role == "reader"
    assert sessions.find(new_session_id()) is None
    now.at += LASTS
    assert sessions.find(one) is None
    assert len(sessions) == 0


def test_a_session_that_is_ended_is_over_and_the_oldest_make_room() -> None:
    sessions = Sessions(Now(), most=3)
    ids = [sessions.begin("operator") for _ in range(5)]
    assert [sessions.find(one) is not None for one in ids] == [False, False, True, True, True]
    sessions.end(ids[4])
    sessions.end("nobody's")
    assert sessions.find(ids[4]) is None
    assert len(sessions) == 2


def test_who_guesses_is_slowed_down_and_nobody_else() -> None:
    now = Now()
    attempts = Attempts(now)
    for _ in range(8):
        assert attempts.wait("10.0.0.1") == 0
        attempts.failed("10.0.0.1")
    assert attempts.wait("10.0.0.1") == pytest.approx(10)
    assert attempts.wait("10.0.0.2") == 0
    now.at += 10
    assert attempts.wait("10.0.0.1") == 0
    attempts.failed("10.0.0.1")
    assert attempts.wait("10.0.0.1") > 9
    now.at += 1000
    attempts.failed("10.0.0.1")
    assert attempts.wait("10.0.0.1") == 0


def test_an_ipv6_network_is_one_peer_and_few_are_remembered() -> None:
    attempts = Attempts(Now(), most=10)
    for number in range(8):
        attempts.failed(f"2001:db8:1:2::{number}")
    assert attempts.wait("2001:db8:1:2:ffff::1") > 0
    assert attempts.wait("2001:db8:1:3::1") == 0
    for number in range(8):
        attempts.failed(f"::ffff:10.0.0.{number}")
    assert attempts.wait("::ffff:10.0.0.1") == 0
    for number in range(1000):
        attempts.failed(f"somebody {number}")
    assert len(attempts) == 10


def test_a_form_is_bound_to_its_session_and_its_path() -> None:
    key, session, path = b"k" * 32, new_session_id(), "/campaigns/1/autumn.db/pause"
    token = form_token(key, session, path)
    assert is_form_token(token, key, session, path)
    for other in (
        (b"j" * 32, session, path),
        (key, new_session_id(), path),
        (key, session, "/campaigns/1/autumn.db/cancel"),
    ):
        assert not is_form_token(token, *other)
    for wrong in ("", token[:-1], token.upper(), "ü", "\ud800"):
        assert not is_form_token(wrong, key, session, path)
