"""RSA256 both ways (docs/facts/alipay.md, "Calling convention"): requests verified, answers
signed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from promomsg.errors import UsageError

__all__ = ["public_key_pem", "read_signature", "sign", "verifies", "wallet_key"]

_HEADER: Final = re.compile(
    r"\s*algorithm\s*=\s*(\w+)\s*,\s*keyVersion\s*=\s*(\d+)\s*,\s*signature\s*=\s*(\S+)\s*"
)
_PADDING: Final = padding.PKCS1v15()
_HASH: Final = hashes.SHA256()
_ALPHABETS: Final[Mapping[str, re.Pattern[str]]] = {
    # Percent-encoding keeps letters, digits and "_.-~"; "+", "/" and "=" of base64 are encoded.
    "percent": re.compile(r"(?:[A-Za-z0-9]|%2B|%2F|%3D|%2b|%2f|%3d)+"),
    "base64": re.compile(r"[A-Za-z0-9+/]+={0,2}"),
    "base64url": re.compile(r"[A-Za-z0-9_-]+={0,2}"),
}


@lru_cache(maxsize=1)
def wallet_key() -> rsa.RSAPrivateKey:
    """The stand-in wallet's own key, made when it is first needed and kept for the process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_key_pem(key: rsa.RSAPrivateKey) -> str:
    """The public half, PEM."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@lru_cache(maxsize=8)
def load_public_key(text: str | bytes) -> rsa.RSAPublicKey:
    """A client's public key from PEM, or the bare base64 that portals ask for.

    Raises:
        UsageError: it is no RSA public key.
    """
    data = text.encode() if isinstance(text, str) else text
    try:
        if b"-----" in data:
            key = serialization.load_pem_public_key(data)
        else:
            key = serialization.load_der_public_key(base64.b64decode(data))
    except (ValueError, TypeError) as exc:
        raise UsageError(f"sandbox settings: client_public_key is no public key: {exc}") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise UsageError("sandbox settings: client_public_key is not an RSA key")
    return key


def read_signature(header: str, encoding: str) -> tuple[int, bytes] | None:
    """`(keyVersion, signature)` of a Signature header; None when it does not have the form."""
    match = _HEADER.fullmatch(header)
    if match is None or match[1] != "RSA256":
        return None
    raw = match[3]
    if encoding != "any" and _ALPHABETS[encoding].fullmatch(raw) is None:
        return None
    # Never unquote_plus: a plain base64 signature has "+" in it.
    plain = unquote(raw).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return int(match[2]), base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _signed(path: str, client_id: str, at: str, body: bytes) -> bytes:
    return f"POST {path}\n{client_id}.{at}.".encode() + body


def verifies(
    public_key: str | bytes, signature: bytes, path: str, client_id: str, at: str, body: bytes
) -> bool:
    """Whether the signature is this client's over these very bytes."""
    key = load_public_key(public_key)
    try:
        key.verify(signature, _signed(path, client_id, at, body), _PADDING, _HASH)
    except InvalidSignature:
        return False
    return True


def sign(path: str, client_id: str, at: str, body: bytes) -> str:
    """The Signature header of an answer, percent-encoded base64."""
    raw = wallet_key().sign(_signed(path, client_id, at, body), _PADDING, _HASH)
    value = quote(base64.b64encode(raw).decode(), safe="")
    return f"algorithm=RSA256, keyVersion=1, signature={value}"
