"""A wallet's keys, in whatever text people have them: an environment variable, a portal, a file.

What can be read without a guess is read; what cannot be is named for what it is, without a piece
of it. Source of the forms: docs/facts/alipay.md, "Calling convention".
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import msgspec

from promomsg.alipay.base64_text import decode_base64
from promomsg.errors import UsageError
from promomsg.model import Secret

# cryptography takes as long to import as half of this package, and only keys need it: the functions
# below import it when they are called.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["KeyPair", "load_private_key", "load_public_key", "make_key_pair", "refuse_own_key"]

# re compiles these when they are first looked for, and keeps them.
_ARMOUR: Final = r"(?s)-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----"
_LINE_ENDS: Final = r"\\+r?\\*n|\\+r|\\+(?=\s|$)"
"""Line ends written as \\n, also twice escaped, and a shell's backslash at the end of a line."""
_AROUND: Final = "\\\ufeff\u200b\u200e\u200f\"'`\u2018\u2019\u201c\u201d"
"""What settings and chats put around a key: quotes of every kind, and what is not seen."""
_PEM_IN_BASE64: Final = "LS0tLS1CRUdJTi"
"""`-----BEGIN` in base64, as cluster secrets keep a whole file."""
_PATH: Final = r"(?i)[^\s=]{1,255}\.(?:pem|key|der|txt|cer|crt|pub|p8|p12|pfx|jks)"
_PRIVATE_FORMS: Final = "a PKCS#8 or PKCS#1 PEM, or the bare base64 of either"
_PUBLIC_FORMS: Final = "a PEM, a certificate, or the bare base64 that the portal shows"
_OTHER: Final = (
    ("ssh-", "an OpenSSH public key", "ssh-keygen -e -m PKCS8 -f key.pub"),
    ("<rsakeyvalue", "a .NET XML key", "have it as PEM"),
    ("{", "JSON", "have it as PEM"),
)
_SEQUENCE: Final = b"\x30"
_PKCS12: Final = rb"(?s)\x30(?:\x82..|\x81.|.)\x02\x01\x03"


class _Block(msgspec.Struct, frozen=True):
    """A PEM block: its label, and what stands in it."""

    label: str
    text: str


class KeyPair(msgspec.Struct, frozen=True):
    """A new key pair: keep the private half, give the portal the public one."""

    private_pem: Secret
    public_pem: str
    public_base64: str


def _found(key: str | bytes | Secret, name: str, forms: str, *wanted: str) -> tuple[str, bytes]:
    """A key's label in PEM, empty without one, and its bytes.

    Args:
        wanted: words in the label of the block to take where there are several, a private key and
            its certificate say.
    """
    if isinstance(key, Secret):
        key = key.reveal()
    if isinstance(key, bytes):
        if key.startswith(_SEQUENCE):
            return "", _no_store(key, name)
        try:
            key = key.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UsageError(f"{name}: neither text nor DER; give {forms}") from None
    if not isinstance(key, str):
        raise UsageError(f"{name}: give {forms}, not {type(key).__name__}")
    text = _bare(key)
    if not text:
        raise UsageError(f"{name}: empty; give {forms}")
    if text.startswith(_PEM_IN_BASE64):
        text = _bare(_unpacked("".join(text.split()), name, forms).decode("latin-1"))
    blocks = [_Block(*block.groups()) for block in re.finditer(_ARMOUR, text)]
    blocks.sort(key=lambda block: not any(word in block.label for word in wanted))
    label = blocks[0].label if blocks else ""
    text = blocks[0].text if blocks else text
    _refuse_other_kinds(label, text, name, forms)
    return label, _no_store(_unpacked("".join(text.split()), name, forms), name)


def _no_store(der: bytes, name: str) -> bytes:
    if re.match(_PKCS12, der):
        raise UsageError(
            f"{name}: a PKCS#12 store (.p12, .pfx); have its key as PEM: openssl pkcs12 -nodes"
        )
    return der


def _bare(text: str) -> str:
    text = re.sub(_LINE_ENDS, "\n", text).strip().strip(_AROUND).strip()
    return text.removeprefix("b'").removeprefix('b"')  # how Python shows bytes


def _unpacked(packed: str, name: str, forms: str) -> bytes:
    unpacked = decode_base64(packed)
    if unpacked is None:
        raise UsageError(f"{name}: not a key (broken PEM or base64); give {forms}")
    return unpacked


def _refuse_other_kinds(label: str, text: str, name: str, forms: str) -> None:
    if "ENCRYPTED" in label or "ENCRYPTED" in text:
        raise UsageError(
            f"{name}: the key is protected by a password; give one without "
            "(openssl pkcs8 -topk8 -nocrypt)"
        )
    if "OPENSSH" in label:
        raise UsageError(f"{name}: an OpenSSH key; have it as PEM: ssh-keygen -p -m PEM -f key")
    if "REQUEST" in label:
        raise UsageError(f"{name}: a request for a certificate, which is no key; give {forms}")
    if not label:
        start = text[:16].lower()
        for beginning, kind, mend in _OTHER:
            if start.startswith(beginning):
                raise UsageError(f"{name}: {kind}; {mend}")
        if "-----begin" in text.lower():
            raise UsageError(f"{name}: a PEM that is cut or broken; give {forms}")
        if re.fullmatch(_PATH, text):
            raise UsageError(f"{name}: a file's name; give what stands in the file")


def load_private_key(key: str | bytes | Secret) -> rsa.RSAPrivateKey:
    """The private key that signs, from PKCS#8 PEM, PKCS#1 PEM, bare base64 of either, or DER.

    Raises:
        UsageError: it is none of these; one line, without a piece of the key.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa

    label, der = _found(key, "private_key", _PRIVATE_FORMS, "PRIVATE")
    if "PUBLIC" in label or "CERTIFICATE" in label:
        raise UsageError(f"private_key: this is a {label.lower()}; give the private half")
    loaded = _private(der)
    if loaded is None:
        if _public(der) is not None:
            raise UsageError("private_key: this is a public key; give the private half")
        raise UsageError(f"private_key: not a private key; give {_PRIVATE_FORMS}")
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise UsageError("private_key: not an RSA key; the wallets sign with RSA256")
    return loaded


def load_public_key(key: str | bytes | Secret) -> rsa.RSAPublicKey:
    """The wallet's public key, from SPKI PEM, PKCS#1 PEM, a certificate, bare base64 or DER.

    Raises:
        UsageError: it is none of these; one line, without a piece of the key.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa

    label, der = _found(key, "public_key", _PUBLIC_FORMS, "PUBLIC", "CERTIFICATE")
    if "PRIVATE" in label:
        raise UsageError("public_key: this is a private key; give the wallet's public one")
    loaded = _public(der)
    if loaded is None:
        if _private(der) is not None:
            raise UsageError("public_key: this is a private key; give the wallet's public one")
        raise UsageError(f"public_key: not a public key; give {_PUBLIC_FORMS}")
    if not isinstance(loaded, rsa.RSAPublicKey):
        raise UsageError("public_key: not an RSA key; the wallets sign with RSA256")
    return loaded


def _private(der: bytes) -> object | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        # The DER says itself whether it is PKCS#8 or PKCS#1, also under the other one's label.
        return load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _public(der: bytes) -> object | None:
    """A public key's DER, or a certificate's, whose key it is."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        return load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    # Few give a certificate, and what reads one takes the longest to import.
    from cryptography.x509 import load_der_x509_certificate

    try:
        return load_der_x509_certificate(der).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def refuse_own_key(private: rsa.RSAPrivateKey, public: rsa.RSAPublicKey) -> None:
    """The user's own public key, which the portal shows beside the wallet's, proves no answer.

    Raises:
        UsageError: the two keys are one pair.
    """
    if private.public_key().public_numbers() == public.public_numbers():
        raise UsageError(
            "public_key: this is your own public key, the other half of private_key; give the "
            "wallet's, which its portal shows beside it"
        )


def make_key_pair(bits: int = 2048) -> KeyPair:
    """A new RSA key pair: PKCS#8 PEM, and the public half as PEM and as one line of base64."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    public = private.public_key()
    pkcs8 = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    spki = PublicFormat.SubjectPublicKeyInfo
    return KeyPair(
        private_pem=Secret(pkcs8.decode("ascii")),
        public_pem=public.public_bytes(Encoding.PEM, spki).decode("ascii"),
        public_base64=b64encode(public.public_bytes(Encoding.DER, spki)).decode("ascii"),
    )
