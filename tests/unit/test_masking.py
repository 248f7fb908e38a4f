"""No secret of 8 characters and more in a text, nor a telling piece of one; the rest stays."""

from __future__ import annotations

import random
import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg.masking import Masker, printable

SECRET = "77_secret-TOKEN/with+odd=signs-" + "Zq7x" * 30
WORDS = st.text(string.ascii_letters + string.digits + " _-:,", max_size=60)


def pieces(text: str, secret: str, size: int = 24) -> list[str]:
    low, looked_for = text.lower(), secret.lower()
    return [
        looked_for[at : at + size]
        for at in range(len(looked_for) - size + 1)
        if looked_for[at : at + size] in low
    ]


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        SECRET.upper(),
        quote(SECRET, safe=""),
        quote(SECRET),
        SECRET.replace("/", "\\/"),
        SECRET[:40],
        SECRET[-40:],
        SECRET[11:37],
        f"{SECRET[:60]}\n{SECRET[60:]}",
        f"x{SECRET}{SECRET}y",
        f"/cgi-bin/x?access_token={quote(SECRET, safe='')}&a=b",
    ],
)
def test_a_secret_is_found_whole_in_pieces_and_escaped(said: str) -> None:
    text = Masker([SECRET])(f"invalid credential: {said}, asked again")
    assert text.startswith("invalid credential: ")
    assert text.endswith(", asked again")
    assert "…" in text
    assert not pieces(text, SECRET)
    assert not pieces(text, quote(SECRET, safe=""))


@given(before=WORDS, after=WORDS, data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_piece_anywhere_goes_and_what_is_around_it_stays(
    before: str, after: str, data: st.DataObject
) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    secrets = [
        "".join(rng.choices(string.ascii_letters + string.digits, k=rng.choice((16, 32, 157, 512))))
        for _ in range(3)
    ]
    secret = rng.choice(secrets)
    size = rng.randint(min(24, len(secret)), len(secret))
    at = rng.randint(0, len(secret) - size)
    text = Masker(secrets)(f"{before}|{secret[at : at + size]}|{after}")
    assert not pieces(text, secret, min(24, len(secret)))
    assert text.startswith(before)
    assert text.endswith(after)


@pytest.mark.parametrize("short", ["", "x", "1", "e", "sec", "the", "is"])
def test_a_very_short_secret_garbles_no_text(short: str) -> None:
    text = "40001: the access token is not the latest, 1 of 32 rid: 65b0a77b-3857ef84-7d2c553e"
    assert Masker([short])(text) == text


def test_a_short_secret_goes_where_it_stands_alone() -> None:
    mask = Masker(["secret", "test-1"])
    assert mask("the appsecret, secrets and test-12 are kept") == (
        "the appsecret, secrets and test-12 are kept"
    )
    assert mask("bad secret: test-1") == "bad …: …"


@pytest.mark.parametrize("size", [100, 500, 4000, 100_000])
def test_a_text_is_masked_before_it_is_cut(size: int) -> None:
    """What a cut leaves of a secret is found by nobody afterwards."""
    for before in range(size - 200 if size < 1000 else 380, min(size, 520)):
        said = "x" * before + SECRET + "y" * size
        shown = printable(said, 500, Masker([SECRET]))
        assert len(shown) <= 500
        assert not pieces(shown, SECRET, 16)


def test_what_is_taken_out_of_a_text_may_have_stood_in_a_secret() -> None:
    split = "\u202e".join(SECRET[at : at + 10] for at in range(0, len(SECRET), 10))
    assert not pieces(printable(split, 500, Masker([SECRET])), SECRET)


def test_a_masker_tells_debuggers_nothing() -> None:
    mask = Masker([SECRET])
    mask(f"once {SECRET}")
    assert SECRET[:10] not in repr(mask)


@pytest.mark.parametrize("left", [1, 5, 15, 16, 30])
def test_the_beginning_of_a_secret_where_a_long_text_ends_does_not_stay(left: int) -> None:
    # All before it is one space in the end, so that what is left is short enough to be shown.
    text = "\0" * (8 * 40 - left) + SECRET
    assert printable(text, 40, Masker([SECRET])).strip(" …") == ""
