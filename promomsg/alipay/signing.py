"""RSA256 over `POST <path>`, the client, the time and the very bytes of the body; both ways.

Source of every rule: docs/facts/alipay.md, "Calling convention". The path is the whole one, the
wallet's prefix included. What is signed is what is sent: bytes come in, nothing is serialised here.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, get_args
from urllib.parse import unquote

import msgspec

from promomsg.alipay.base64_text import decode_base64
from promomsg.alipay.keys import KeyPair, load_private_key, load_public_key, make_key_pair

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

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
    "sign_content",
    "signature_header",
    "verify",
    "write_signature",
]

SignatureEncoding = Literal["percent", "base64", "base64url"]
ENCODINGS: Final[tuple[str, ...]] = get_args(SignatureEncoding)
_base64_in_json: Final = msgspec.json.Decoder(bytes).decode


class _Rsa256(msgspec.Struct, frozen=True):
    """What every signature is made and checked with, and what a wrong one raises."""

    padding: padding.PKCS1v15
    hash: SHA256
    invalid: type[Exception]


@cache
def _rsa256() -> _Rsa256:
    # cryptography takes long to import, and only a wallet's calls need it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    return _Rsa256(padding.PKCS1v15(), SHA256(), InvalidSignature)


class Signature(Enum):
    """What is known of an answer's signature."""

    GOOD = "good"
    MISSING = "missing"
    BAD = "bad"
    UNCHECKED = "unchecked"
    """Verification is off, by the user's word."""


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
    content = content_to_sign(path, client_id, time, body)
    return write_signature(sign_content(private_key, content), encoding)


def sign_content(private_key: rsa.RSAPrivateKey, content: bytes) -> bytes:
    """The signature of what `content_to_sign` gives. Any thread may call it."""
    rsa256 = _rsa256()
    return private_key.sign(content, rsa256.padding, rsa256.hash)


def write_signature(signature: bytes, encoding: SignatureEncoding = "percent") -> str:
    """A signature as the wallet wants it: see `sign`."""
    packed = b2a_base64(signature, newline=False)
    if encoding == "percent":
        # The three reserved characters that base64 has. `quote` looks at each character: 14 µs.
        packed = packed.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
    elif encoding == "base64url":
        packed = packed.replace(b"+", b"-").replace(b"/", b"_")
    return packed.decode("ascii")


def signature_header(signature: str, key_version: int | str = 1) -> str:
    """The value of the `Signature` header."""
    return f"algorithm=RSA256, keyVersion={key_version}, signature={signature}"


def verify(
    public_key: rsa.RSAPublicKey, path: str, client_id: str, time: str, body: bytes, signature: str
) -> bool:
    """Whether `signature` (percent-encoded, plain or url-safe base64) is the key's over this.

    `unquote`, never `unquote_plus`: a plain base64 has `+` in it, which is no space.
    """
    raw = _read_signature(signature)
    if raw is None:
        return False
    rsa256 = _rsa256()
    content = content_to_sign(path, client_id, time, body)
    try:
        public_key.verify(raw, content, rsa256.padding, rsa256.hash)
    except rsa256.invalid:
        return False
    return True


def _read_signature(written: str) -> bytes | None:
    """The bytes of a signature, however it is written; None: it is none."""
    # As nearly every one is written: what percent stands for is what JSON has an escape for, and
    # msgspec reads both that and base64 in a third of the time that replacing and binascii take.
    try:
        return _base64_in_json('"' + written.replace("%", "\\u00") + '"')
    except (msgspec.MsgspecError, ValueError):  # what is no base64; half a character
        pass
    plain = unquote(written.strip()).rstrip("=")
    return decode_base64(plain + "=" * (-len(plain) % 4))


def _header(headers: Mapping[str, str], name: str) -> str:
    """A header's value, empty without one, whatever the case of its name."""
    found = headers.get(name)  # at once where it is written so, or where `headers` know no case
    if found is None:
        name = name.lower()
        found = next((value for key, value in headers.items() if key.lower() == name), "")
    return found.strip()


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
    header = _header(headers, "Signature")
    if not header:
        return Signature.MISSING
    # As nearly every one is written; any other is taken apart.
    _, _, signature = header.partition(", signature=")
    left = "" if signature and "," not in signature else header
    while left:
        left, _, part = left.rpartition(",")  # the last one counts
        name, _, value = part.partition("=")
        if name.strip().lower() == "signature":
            signature = value.strip()
            break
    time = _header(headers, "Response-Time")
    if not signature or not time:
        return Signature.BAD
    good = verify(public_key, path, client_id, time, body, signature)
    return Signature.GOOD if good else Signature.BAD
