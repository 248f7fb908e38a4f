"""`$PROMOMSG_FLEET_KEY`: what is encrypted with it opens with it alone, and only in its place."""

from __future__ import annotations

import base64

import pytest

from promomsg.errors import UsageError
from promomsg.journal.postgres.sealed.fleet_keys import (
    FleetKeys,
    KeyMissing,
    NotAsSealed,
    key_of,
)
from promomsg.model import Secret

A = base64.b64encode(b"a" * 32).decode()
B = base64.b64encode(b"b" * 32).decode()
TEXT = "令牌-a-token"


def keys(text: str) -> FleetKeys:
    return FleetKeys(Secret(text))


def test_a_secret_opens_with_the_key_it_was_encrypted_with_in_its_place_and_for_its_purpose() -> (
    None
):
    sealer = keys(A).sealer("tokens")
    sealed = sealer.seal(TEXT, b"7/1")
    assert TEXT.encode() not in sealed
    assert sealer.seal(TEXT, b"7/1") != sealed
    assert keys(A).sealer("tokens").open(sealed, b"7/1").reveal() == TEXT
    for other, place in ((sealer, b"7/2"), (keys(A).sealer("others"), b"7/1")):
        with pytest.raises(NotAsSealed):
            other.open(sealed, place)


def test_a_secret_that_was_changed_does_not_open() -> None:
    sealer = keys(A).sealer("tokens")
    sealed = sealer.seal(TEXT, b"1")
    for changed in (
        b"",
        sealed[:5],
        b"\x02" + sealed[1:],
        sealed[:-1],
        sealed[:-1] + b"\0",
        b"\x01",
    ):
        with pytest.raises(NotAsSealed):
            sealer.open(changed, b"1")
    for at in range(len(sealed)):
        one = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises((NotAsSealed, KeyMissing)):
            sealer.open(one, b"1")


def test_keys_are_rotated_by_a_new_one_before_the_old() -> None:
    old = keys(f"a:{A}").sealer("tokens")
    both = keys(f"b:{B},a:{A}").sealer("tokens")
    before, after = old.seal(TEXT, b"1"), both.seal(TEXT, b"1")
    assert (key_of(before), key_of(after)) == ("a", "b")
    assert both.open(before, b"1").reveal() == both.open(after, b"1").reveal() == TEXT
    assert not old.has_key_of(after)
    with pytest.raises(KeyMissing, match="with the key 'b', which PROMOMSG_FLEET_KEY has not"):
        old.open(after, b"1")
    # An id is only a name: the key itself decides.
    assert keys(f"z:{A}").sealer("tokens").open(before, b"1").reveal() == TEXT
    with pytest.raises(KeyMissing, match="'a'"):
        keys(f"a:{B}").sealer("tokens").open(before, b"1")


@pytest.mark.parametrize(
    "text", [A, f" {A}\n", A.rstrip("="), A.replace("+", "-").replace("/", "_"), f"x , : {B}"]
)
def test_a_key_is_read_as_people_paste_it_or_refused_in_one_line(text: str) -> None:
    if "x" in text[:1]:
        with pytest.raises(UsageError, match="key 1 is not 32 bytes in base64"):
            keys(text)
    else:
        assert keys(text).sealer("t").seal(TEXT, b"")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("secret-phrase", "key 1 is not 32 bytes in base64.*openssl rand -base64 32"),
        (f"{A},", "key 2 is not 32 bytes"),
        (base64.b64encode(b"c" * 16).decode(), "key 1 is not 32 bytes"),
        (f"a b:{A}", "key 1 is not 32 bytes"),
        (f"a:{A},a:{B}", "the key 'a' is there twice"),
        (f"a:{A},b:{A}", "the key 'b' is there twice"),
    ],
)
def test_what_is_no_key_is_refused_without_being_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        keys(text)
    assert "secret-phrase" not in str(refused.value)
    assert A not in str(refused.value)


def test_the_environment_has_the_keys_and_nothing_shows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert FleetKeys.from_environment({}) is None
    assert FleetKeys.from_environment({"PROMOMSG_FLEET_KEY": " "}) is None
    monkeypatch.setenv("PROMOMSG_FLEET_KEY", f"a:{A}")
    found = FleetKeys.from_environment()
    assert repr(found) == "FleetKeys(a)"
    assert found is FleetKeys.from_environment()
    assert found is not None
    assert repr(found.sealer("x")) == "Sealer(…)"
