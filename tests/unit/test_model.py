"""The words every layer speaks: what a recipient is, whom an audience reaches, what a secret shows."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import msgspec
import pytest

from promomsg.errors import UsageError
from promomsg.model import (
    GROUP_THRESHOLD,
    Everyone,
    Outcome,
    Promoters,
    Recipient,
    Retailers,
    Roles,
    Secret,
    State,
)
from promomsg.suggest import did_you_mean, nearest, quoted


def test_fifty_is_a_group() -> None:
    assert GROUP_THRESHOLD == 50


@pytest.mark.parametrize(
    ("recipient", "key"),
    [
        (Recipient("mine", id="1", openid="o"), "mine"),
        (Recipient(id="1", openid="o", unionid="u"), "o"),
        (Recipient(id="1", unionid="u"), "u"),
        (Recipient(id="1"), "1"),
        (Recipient(access_token="t"), None),
    ],
)
def test_the_key_defaults_to_the_address(recipient: Recipient, key: str | None) -> None:
    assert recipient.key == key


def test_whole_numbers_are_ids_and_keys() -> None:
    got = Recipient(7, id=101)  # type: ignore[arg-type]
    assert (got.key, got.id) == ("7", "101")


@pytest.mark.parametrize("value", [1.0, True, b"1", ["1"]])
@pytest.mark.parametrize("field", ["key", "id", "openid", "unionid", "request_id"])
def test_an_address_that_is_no_text_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"Recipient\({field}="):
        Recipient(**{field: value})


def test_a_recipient_hides_its_token() -> None:
    got = Recipient("a", access_token="TOKEN")
    assert isinstance(got.access_token, Secret)
    assert got.access_token.reveal() == "TOKEN"
    for text in (repr(got), str(got), f"{got}", repr(Outcome(got, State.SENT))):
        assert "TOKEN" not in text
    with pytest.raises(TypeError):
        msgspec.json.encode(got)


def test_a_recipient_stays_as_it_is() -> None:
    with pytest.raises(AttributeError):
        Recipient("a").key = "b"  # type: ignore[misc]


def test_a_secret_shows_nothing() -> None:
    secret = Secret("s3cret")
    for text in (repr(secret), str(secret), f"{secret}", f"{secret:>30}", f"{secret!r}"):
        assert "s3cret" not in text
    assert secret.reveal() == Secret(secret).reveal() == "s3cret"
    assert secret == Secret("s3cret")
    assert secret != Secret("other")
    assert secret != "s3cret"
    assert len({secret, Secret("s3cret")}) == 1
    assert secret
    assert not Secret("")
    for spread in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            spread(secret)


def test_a_secret_is_not_in_a_traceback_with_locals() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(f"with {secret}")

    try:
        fail(Secret("s3cret"))
    except ValueError as error:
        text = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    assert "Secret(…)" in text
    assert "reveal" not in text
    assert text.count("s3cret") == 1  # this file's own source line


@pytest.mark.parametrize("kind", [Promoters, Roles, Retailers])
def test_an_empty_audience_is_refused(kind: Any) -> None:
    for nobody in ([], (), iter([])):
        with pytest.raises(UsageError, match=r"\[\]\): the list is empty"):
            kind(nobody)
    for value in ("12", b"12", None, 5):
        with pytest.raises(UsageError, match="give a list"):
            kind(value)


@pytest.mark.parametrize("kind", [Promoters, Retailers])
def test_an_empty_name_is_refused(kind: Any) -> None:
    with pytest.raises(UsageError, match="an empty name"):
        kind(["1", " "])
    assert kind([1, "2"]).ids == ("1", "2")


@pytest.mark.parametrize("ids", [["1"], [True], [-1], [1.0], [None]])
def test_roles_are_whole_numbers(ids: Any) -> None:
    assert Roles([0, 2]).ids == (0, 2)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="whole numbers"):
        Roles(ids)


@pytest.mark.parametrize("confirm", [False, 1, "yes", None])
def test_everyone_is_never_an_accident(confirm: Any) -> None:
    with pytest.raises(UsageError, match="confirm=True"):
        Everyone()
    with pytest.raises(UsageError, match="confirm=True"):
        Everyone(confirm)
    assert Everyone(confirm=True).confirm


def test_suggestions() -> None:
    known = ("recipients", "openid", "test_to")
    assert nearest("recipient", known) == "recipients"
    assert nearest("OpenID", known) == "openid"
    assert nearest("test-to", known) == "test_to"
    assert nearest("zzz", known) is None
    assert did_you_mean("opneid", known) == "; did you mean 'openid'?"
    assert did_you_mean("zzz", known) == ""
    assert quoted("abc") == "'a', 'b', 'c'"
    assert quoted("abc", 2) == "'a', 'b' and 1 more"
