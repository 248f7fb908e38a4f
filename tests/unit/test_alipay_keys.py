"""Keys in the texts that people have them in: read, or named for what they are."""

from __future__ import annotations

import datetime
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from promomsg.alipay.keys import load_private_key, load_public_key, refuse_own_key
from promomsg.errors import UsageError

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = PRIVATE.public_key()
PKCS8 = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PKCS1 = PRIVATE.private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
).decode()
SPKI = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
BARE_PRIVATE = "".join(PKCS8.splitlines()[1:-1])
BARE_PUBLIC = "".join(SPKI.splitlines()[1:-1])


def certificate(key: Any = PRIVATE) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wallet")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, SHA256())


CERTIFICATE = certificate().public_bytes(Encoding.PEM).decode()
WRAPPED = {
    "as it is": lambda text: text,
    "escaped": lambda text: text.replace("\n", "\\n"),
    "twice escaped": lambda text: text.replace("\n", "\\\\n"),
    "three times": lambda text: text.replace("\n", "\\\\\\n"),
    "escaped, Windows": lambda text: text.replace("\n", "\\r\\n"),
    "twice, Windows": lambda text: text.replace("\n", "\\\\r\\\\n"),
    "Windows": lambda text: text.replace("\n", "\r\n"),
    "one line": lambda text: text.replace("\n", " "),
    "no line ends": lambda text: text.replace("\n", ""),
    "quoted": lambda text: f'"{text}"',
    "single quotes": lambda text: f"'{text}'",
    "quoted, escaped": lambda text: '"' + text.replace("\n", "\\n") + '"',
    "quoted inside": lambda text: '\\"' + text.replace("\n", "\\\\n") + '\\"',
    "curly quotes": lambda text: f"“{text}”",
    "Python's bytes": lambda text: repr(text.encode()),
    "BOM": lambda text: "\ufeff" + text,
    "indented": lambda text: "\n".join(f"    {line}" for line in text.splitlines()),
    "continued lines": lambda text: text.strip().replace("\n", "\\\n"),
    "bytes": lambda text: text.encode(),
    "base64 of the file": lambda text: b64encode(text.encode()).decode(),
}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("text", [PKCS8, PKCS1], ids=["PKCS8", "PKCS1"])
def test_a_private_key_is_read_however_it_was_pasted(text: str, wrap: str) -> None:
    assert load_private_key(WRAPPED[wrap](text)).private_numbers() == PRIVATE.private_numbers()


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("text", [SPKI, CERTIFICATE], ids=["SPKI", "certificate"])
def test_a_public_key_is_read_however_it_was_pasted(text: str, wrap: str) -> None:
    assert load_public_key(WRAPPED[wrap](text)).public_numbers() == PUBLIC.public_numbers()


@pytest.mark.parametrize("wrap", [wrap for wrap in WRAPPED if wrap != "base64 of the file"])
def test_bare_base64_too(wrap: str) -> None:
    assert load_private_key(WRAPPED[wrap](BARE_PRIVATE)).key_size == 2048


@pytest.mark.parametrize(
    "key",
    [
        BARE_PUBLIC,
        f'"{BARE_PUBLIC}"',
        BARE_PUBLIC.translate(str.maketrans("+/", "-_")),
        certificate().public_bytes(Encoding.DER),
        b64encode(certificate().public_bytes(Encoding.DER)).decode(),
        f"Bag Attributes\n  friendlyName: wallet\n{CERTIFICATE}{certificate().public_bytes(Encoding.PEM).decode()}",
    ],
    ids=["bare", "quoted", "url-safe", "DER", "bare certificate", "chain with attributes"],
)
def test_bare_and_certified_public_keys(key: Any) -> None:
    assert load_public_key(key).public_numbers() == PUBLIC.public_numbers()


def test_of_a_key_and_its_certificate_the_right_half_is_taken() -> None:
    both = CERTIFICATE + PKCS8
    assert load_private_key(both).private_numbers() == PRIVATE.private_numbers()
    assert load_public_key(PKCS8 + CERTIFICATE).public_numbers() == PUBLIC.public_numbers()


EC = ec.generate_private_key(ec.SECP256R1())
NAMED = {
    "a certificate": (CERTIFICATE, "private half"),
    "an OpenSSH key": (
        PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "OpenSSH",
    ),
    "an OpenSSH public key": (
        PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "OpenSSH public key",
    ),
    "a store": (
        pkcs12.serialize_key_and_certificates(
            b"k", PRIVATE, certificate(), None, BestAvailableEncryption(b"x")
        ),
        "PKCS#12",
    ),
    "a store in base64": (
        b64encode(
            pkcs12.serialize_key_and_certificates(
                b"k", PRIVATE, certificate(), None, BestAvailableEncryption(b"x")
            )
        ).decode(),
        "PKCS#12",
    ),
    "XML": ("<RSAKeyValue><Modulus>abc</Modulus></RSAKeyValue>", "XML"),
    "a JWK": ('{"kty":"RSA","n":"abc"}', "JSON"),
    "a path": ("/etc/keys/wallet.pem", "file's name"),
    "a request": (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(PRIVATE, SHA256())
        .public_bytes(Encoding.PEM),
        "request for a certificate",
    ),
    "a PEM without its end": (PKCS8[:-30], "cut or broken"),
    "a password's": (
        PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
        "password",
    ),
    "another kind": (
        EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "RSA",
    ),
    "url-safe nonsense": (urlsafe_b64encode(b"\xff" * 99).decode(), "not a private key"),
}


@pytest.mark.parametrize("what", NAMED)
def test_what_is_no_private_key_is_named_in_one_line(what: str) -> None:
    key, says = NAMED[what]
    with pytest.raises(UsageError, match=r"^private_key: ") as caught:
        load_private_key(key)
    text = str(caught.value)
    assert says in text
    assert "\n" not in text
    assert BARE_PRIVATE[40:60] not in text


def test_another_curves_certificate_is_no_rsa_key() -> None:
    with pytest.raises(UsageError, match="not an RSA key"):
        load_public_key(certificate(EC).public_bytes(Encoding.PEM))


def test_a_pair_is_told_from_two_keys() -> None:
    refuse_own_key(rsa.generate_private_key(public_exponent=65537, key_size=2048), PUBLIC)
    with pytest.raises(UsageError, match="your own public key"):
        refuse_own_key(PRIVATE, load_public_key(CERTIFICATE))
