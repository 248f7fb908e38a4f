"""RSA256 over `POST <path>`, the client, the time and the very bytes of the body; both ways.

Source of every rule: facts/alipay.md, Calling convention. The path is the whole one, the wallet's
prefix included. What is signed is what is sent: bytes come in, nothing is serialised here.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping
from enum import Enum
from typing import Final, Literal, NamedTuple, get_args
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from promomsg.errors import UsageError
from promomsg.model import Secret

__all__ = [
    "ENCODINGS",
    "KeyPair",
    "Signature",
    "SignatureEncoding",
    "check_answer",
    "content_to_sign",
    "load_private_key",
    "load_public_key",
    "make_key_pair",
    "sign",
    "signature_header",
    "verify",
]

SignatureEncoding = Literal["percent", "base64", "base64url"]
ENCODINGS: Final[tuple[str, ...]] = get_args(SignatureEncoding)

_URLSAFE: Final = str.maketrans("-_", "+/")
_PADDING: Final = padding.PKCS1v15()
_HASH: Final = SHA256()
_ARMOUR: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_PRIVATE_FORMS: Final = "a PKCS#8 or PKCS#1 PEM, or the bare base64 of either"
_PUBLIC_FORMS: Final = "a PEM, or the bare base64 that the portal shows"


class Signature(Enum):
    """What is known of an answer's signature."""

    GOOD = "good"
    MISSING = "missing"
    BAD = "bad"
    UNCHECKED = "unchecked"
    """Verification is off, by the user's word."""


class KeyPair(NamedTuple):
    """A new key pair: keep the private half, give the portal the public one."""

    private_pem: Secret
    public_pem: str
    public_base64: str


def _der(key: str | bytes | Secret, name: str, forms: str) -> tuple[str, bytes]:
    """The PEM label (empty without one) and the DER bytes of a key's text."""
    if isinstance(key, Secret):
        key = key.reveal()
    if isinstance(key, bytes):
        if key[:1] == b"\x30":  # an ASN.1 SEQUENCE: DER as it is
            return "", key
        try:
            key = key.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UsageError(f"{name}: neither text nor DER; give {forms}") from None
    if not isinstance(key, str):
        raise UsageError(f"{name}: give {forms}, not {type(key).__name__}")
    # Environment variables often hold a PEM with its line ends written as \n.
    text = key.replace("\\n", "\n").strip().lstrip("\ufeff")
    if not text:
        raise UsageError(f"{name}: empty; give {forms}")
    armour = _ARMOUR.search(text)
    label, text = (armour.group(1), armour.group(2)) if armour else ("", text)
    if "ENCRYPTED" in label or "ENCRYPTED" in text:
        raise UsageError(
            f"{name}: the key is protected by a password; give one without "
            "(openssl pkcs8 -topk8 -nocrypt)"
        )
    packed = "".join(text.split())
    if not _BASE64.fullmatch(packed) or len(packed) % 4:
        raise UsageError(f"{name}: not a key (broken PEM or base64); give {forms}")
    return label, b64decode(packed)


def load_private_key(key: str | bytes | Secret) -> rsa.RSAPrivateKey:
    """The private key that signs, from PKCS#8 PEM, PKCS#1 PEM, bare base64 of either, or DER.

    Raises:
        UsageError: it is none of these; one line, without a piece of the key.
    """
    label, der = _der(key, "private_key", _PRIVATE_FORMS)
    if "PUBLIC" in label or "CERTIFICATE" in label:
        raise UsageError(f"private_key: this is a {label.lower()}; give the private half")
    try:
        # The DER says itself whether it is PKCS#8 or PKCS#1, also under the other one's label.
        loaded = load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(f"private_key: not a private key; give {_PRIVATE_FORMS}") from None
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise UsageError("private_key: not an RSA key; the wallets sign with RSA256")
    return loaded


def load_public_key(key: str | bytes | Secret) -> rsa.RSAPublicKey:
    """The wallet's public key, from SPKI PEM, PKCS#1 PEM, bare base64 of either, or DER.

    Raises:
        UsageError: it is none of these; one line, without a piece of the key.
    """
    label, der = _der(key, "public_key", _PUBLIC_FORMS)
    if "PRIVATE" in label:
        raise UsageError("public_key: this is a private key; give the wallet's public one")
    try:
        loaded = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(f"public_key: not a public key; give {_PUBLIC_FORMS}") from None
    if not isinstance(loaded, rsa.RSAPublicKey):
        raise UsageError("public_key: not an RSA key; the wallets sign with RSA256")
    return loaded


def make_key_pair(bits: int = 2048) -> KeyPair:
    """A new RSA key pair: PKCS#8 PEM, and the public half as PEM and as one line of base64."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    public = private.public_key()
    pkcs8 = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    spki = PublicFormat.SubjectPublicKeyInfo
    return KeyPair(
        private_pem=Secret(pkcs8.decode("ascii")),
        public_pem=public.public_bytes(Encoding.PEM, spki).decode("ascii"),
        public_base64=b64encode(public.public_bytes(Encoding.DER, spki)).decode("ascii"),
    )


def content_to_sign(path: str, client_id: str, time: str, body: bytes) -> bytes:
    """`POST <path>\\n<Client-Id>.<Request-Time or Response-Time>.<body>`."""
    # An answer's header may hold bytes that are no UTF-8; they are verified as they came.
    return f"POST {path}\n{client_id}.{time}.".encode("utf-8", "surrogateescape") + body


def sign(
    private_key: rsa.RSAPrivateKey,
    path: str,
    client_id: str,
    time: str,
    body: bytes,
    encoding: SignatureEncoding = "percent",
) -> str:
    """The signature of a request, written as the wallet wants it.

    `"percent"` is base64 with every reserved character percent-encoded, `/` too; `"base64"` and
    `"base64url"` (padding kept) are what some wallets take.
    """
    raw = private_key.sign(content_to_sign(path, client_id, time, body), _PADDING, _HASH)
    if encoding == "base64url":
        return urlsafe_b64encode(raw).decode("ascii")
    plain = b64encode(raw).decode("ascii")
    return plain if encoding == "base64" else quote(plain, safe="")


def signature_header(signature: str, key_version: int | str = 1) -> str:
    """The value of the `Signature` header."""
    return f"algorithm=RSA256, keyVersion={key_version}, signature={signature}"


def verify(
    public_key: rsa.RSAPublicKey, path: str, client_id: str, time: str, body: bytes, signature: str
) -> bool:
    """Whether `signature` (percent-encoded, plain or url-safe base64) is the key's over this.

    `unquote`, never `unquote_plus`: a plain base64 has `+` in it, which is no space.
    """
    plain = unquote(signature.strip()).rstrip("=").translate(_URLSAFE)
    padded = plain + "=" * (-len(plain) % 4)
    if not _BASE64.fullmatch(padded):
        return False
    try:
        raw = b64decode(padded)
        public_key.verify(raw, content_to_sign(path, client_id, time, body), _PADDING, _HASH)
    except (binascii.Error, InvalidSignature):
        return False
    return True


def check_answer(
    public_key: rsa.RSAPublicKey | None,
    path: str,
    client_id: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Signature:
    """What the answer's `Signature` and `Response-Time` headers prove of its raw body.

    Header names are case-insensitive. It is checked for *our* client id: an answer made for
    somebody else proves nothing. A signature without a Response-Time cannot be checked: BAD.
    Without a `public_key` nothing is: UNCHECKED.
    """
    if public_key is None:
        return Signature.UNCHECKED
    found = {name.lower(): value for name, value in headers.items()}
    header = found.get("signature", "").strip()
    if not header:
        return Signature.MISSING
    pairs = (part.partition("=") for part in header.split(","))
    signature = {name.strip().lower(): value.strip() for name, _, value in pairs}.get("signature")
    time = found.get("response-time", "").strip()
    if not signature or not time:
        return Signature.BAD
    good = verify(public_key, path, client_id, time, body, signature)
    return Signature.GOOD if good else Signature.BAD
