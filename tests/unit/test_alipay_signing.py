"""RSA256 signatures: the wallet group's own bytes, every key form, every encoding, both ways.

`alipay_vectors.json` was made with the group's published Python package (global-open-sdk-python
1.7.1) from a key made for it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from textwrap import wrap
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from promomsg.alipay import signing
from promomsg.alipay.signing import Signature
from promomsg.errors import UsageError
from promomsg.model import Secret

KNOWN = json.loads(Path(__file__).with_name("alipay_vectors.json").read_text("utf-8"))
PRIVATE = signing.load_private_key(KNOWN["private_key_pkcs1_base64"])
PUBLIC = signing.load_public_key(KNOWN["public_key_base64"])
VECTORS = [pytest.param(v, id=v["name"]) for v in KNOWN["vectors"]]
PATH, CLIENT, TIME = "/api/v2/x", "client", "2026-11-24T21:00:00.123+00:00"


def pem(private_format: PrivateFormat) -> str:
    return PRIVATE.private_bytes(Encoding.PEM, private_format, NoEncryption()).decode()


def bare(text: str) -> str:
    return "".join(text.split("-----")[2].split())


PKCS8, PKCS1 = pem(PrivateFormat.PKCS8), pem(PrivateFormat.TraditionalOpenSSL)


@pytest.mark.parametrize("vector", VECTORS)
def test_signatures_are_the_published_packages_byte_for_byte(vector: dict[str, str]) -> None:
    parts = (vector["path"], vector["client_id"], vector["time"], vector["body"].encode())
    assert signing.sign(PRIVATE, *parts) == vector["signature"]
    assert signing.verify(PUBLIC, *parts, vector["signature"])


@pytest.mark.parametrize("encoding", ["percent", "base64", "base64url"])
@pytest.mark.parametrize("vector", VECTORS)
def test_each_encoding_verifies(vector: dict[str, str], encoding: Any) -> None:
    parts = (vector["path"], vector["client_id"], vector["time"], vector["body"].encode())
    signature = signing.sign(PRIVATE, *parts, encoding)
    assert signing.verify(PUBLIC, *parts, signature)
    assert signing.verify(PUBLIC, *parts, signature.rstrip("="))
    assert not signing.verify(PUBLIC, parts[0], parts[1], parts[2], parts[3] + b" ", signature)


@pytest.mark.parametrize("vector", VECTORS)
def test_a_signature_verifies_with_small_hex_digits_and_with_part_of_it_encoded(
    vector: dict[str, str],
) -> None:
    parts = (vector["path"], vector["client_id"], vector["time"], vector["body"].encode())
    percent = signing.sign(PRIVATE, *parts)
    for written in (
        percent.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d"),
        percent.replace("%3D", "="),
        percent.replace("%2F", "/"),
        f" {percent} ",
    ):
        assert signing.verify(PUBLIC, *parts, written)
    for written in (percent + "%", percent.replace("%3D", "%3"), f'{percent}"', percent[8:], "é"):
        assert not signing.verify(PUBLIC, *parts, written)


def test_percent_leaves_no_reserved_character_and_base64_is_plain() -> None:
    bodies = [str(n).encode() for n in range(20)]
    percent = "".join(signing.sign(PRIVATE, PATH, CLIENT, TIME, b) for b in bodies)
    assert not set(percent) & set("+/= ")
    url = "".join(signing.sign(PRIVATE, PATH, CLIENT, TIME, b, "base64url") for b in bodies)
    assert not set(url) & set("+/% ")


@pytest.mark.parametrize(
    "key",
    [
        PKCS8,
        PKCS1,
        bare(PKCS8),
        bare(PKCS1),
        PKCS8.encode(),
        b64decode(bare(PKCS8)),
        Secret(PKCS1),
        "\n".join(wrap(bare(PKCS8), 64)),
        PKCS8.replace("\n", "\r\n"),
        PKCS8.replace("\n", "\\n"),
        "\ufeff" + PKCS1,
        PKCS1.replace("RSA PRIVATE", "PRIVATE"),
    ],
    ids=[
        "pkcs8",
        "pkcs1",
        "bare-pkcs8",
        "bare-pkcs1",
        "bytes",
        "der",
        "secret",
        "wrapped-base64",
        "crlf",
        "escaped-line-ends",
        "bom",
        "wrong-label",
    ],
)
def test_every_private_key_form_loads(key: Any) -> None:
    assert signing.load_private_key(key).private_numbers() == PRIVATE.private_numbers()


@pytest.mark.parametrize("public_format", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_every_public_key_form_loads(public_format: PublicFormat) -> None:
    text = PUBLIC.public_bytes(Encoding.PEM, public_format).decode()
    for key in (text, bare(text), text.encode(), Secret(text)):
        assert signing.load_public_key(key).public_numbers() == PUBLIC.public_numbers()


EC = ec.generate_private_key(ec.SECP256R1())
LOCKED = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
LOCKED_PKCS1 = PRIVATE.private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")
)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "empty"),
        ("not a key!", "broken PEM or base64"),
        (PKCS8[:300], "a PEM that is cut or broken"),
        (bare(PKCS8)[:400], "not a private key"),
        (KNOWN["public_key_base64"], "this is a public key"),
        (b"\xff\xfe\x00", "neither text nor DER"),
        (7, "not int"),
        (LOCKED, "password"),
        (LOCKED_PKCS1, "password"),
        (PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "private half"),
        (EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "not an RSA key"),
    ],
)
def test_what_is_no_private_key_says_so_in_one_line(key: Any, says: str) -> None:
    with pytest.raises(UsageError, match=r"^private_key: ") as caught:
        signing.load_private_key(key)
    text = str(caught.value)
    assert says in text
    assert "\n" not in text
    assert "MII" not in text
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (PKCS8, "this is a private key"),
        (bare(PKCS8), "this is a private key"),
        (EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "RSA"),
    ],
)
def test_what_is_no_public_key_says_so(key: Any, says: str) -> None:
    with pytest.raises(UsageError, match=r"^public_key: ") as caught:
        signing.load_public_key(key)
    assert says in str(caught.value)
    assert "MII" not in str(caught.value)


def test_a_new_pair_fits_itself_and_hides_its_private_half() -> None:
    pair = signing.make_key_pair()
    private = signing.load_private_key(pair.private_pem)
    assert private.key_size == 2048
    assert pair.private_pem.reveal().startswith("-----BEGIN PRIVATE KEY-----")
    assert pair.public_pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert "\n" not in pair.public_base64
    signature = signing.sign(private, PATH, CLIENT, TIME, b"{}")
    for public in (pair.public_pem, pair.public_base64):
        assert signing.verify(signing.load_public_key(public), PATH, CLIENT, TIME, b"{}", signature)
    assert "PRIVATE KEY" not in repr(pair)


def headers(body: bytes = b"{}", **changed: str | None) -> dict[str, str]:
    signature = signing.sign(PRIVATE, PATH, CLIENT, TIME, body)
    given = {"Signature": signing.signature_header(signature, 3), "Response-Time": TIME}
    given.update({name.replace("_", "-"): value for name, value in changed.items()})  # type: ignore[misc]
    return {name: value for name, value in given.items() if value is not None}


def check(given: dict[str, str], body: bytes = b"{}", public: Any = PUBLIC) -> Signature:
    return signing.check_answer(public, PATH, CLIENT, given, body)


def test_the_header_is_as_documented() -> None:
    assert signing.signature_header("abc") == "algorithm=RSA256, keyVersion=1, signature=abc"


def test_an_answers_signature_is_found_whatever_the_case_and_spacing() -> None:
    good = headers()
    assert check(good) is Signature.GOOD
    assert check({name.upper(): value for name, value in good.items()}) is Signature.GOOD
    assert check({name.lower(): v.replace(", ", ",") for name, v in good.items()}) is Signature.GOOD


def test_an_answer_that_proves_nothing() -> None:
    assert check(headers(Signature=None)) is Signature.MISSING
    assert check(headers(Signature=" ")) is Signature.MISSING
    assert check(headers(Response_Time=None)) is Signature.BAD
    assert check(headers(Signature="algorithm=RSA256")) is Signature.BAD
    assert check(headers(Signature="signature=%%%")) is Signature.BAD
    assert check(headers(Signature="signature=AAAAA")) is Signature.BAD
    assert check(headers(Response_Time="2020-01-01T00:00:00Z")) is Signature.BAD
    assert check(headers(Response_Time="caf\udce9")) is Signature.BAD
    assert check(headers(), b'{"changed": 1}') is Signature.BAD
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    assert check(headers(), public=other) is Signature.BAD
    somebody = signing.check_answer(PUBLIC, PATH, "somebody-else", headers(), b"{}")
    assert somebody is Signature.BAD


def test_without_a_public_key_nothing_is_checked() -> None:
    assert check({}, public=None) is Signature.UNCHECKED
