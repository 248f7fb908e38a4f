"""The keys that secrets in the database are encrypted with: `$PROMOMSG_FLEET_KEY`.

AES-GCM with a random nonce. What a secret is of (an account, a recipient) is authenticated with it, so
that one that was put elsewhere in the database does not open. Each campaign's tokens have a key of their
own, made of the fleet's: AES-GCM's bound for random nonces (2^32 messages a key) then holds for each.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
from base64 import b64decode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from promomsg.control_characters import trimmed
from promomsg.errors import JournalError, UsageError
from promomsg.model import Secret

__all__ = ["VARIABLE", "FleetKeys", "KeyMissing", "NotAsSealed", "Sealer", "key_of"]

VARIABLE: Final = "PROMOMSG_FLEET_KEY"
_MAKE: Final = "make one with `openssl rand -base64 32`"
_BYTES: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")

# What is stored: version, fingerprint of the key, its id with its length, nonce, text and tag.
_VERSION: Final = b"\x01"
_FINGERPRINT: Final = 6
_ID_AT: Final = len(_VERSION) + _FINGERPRINT
_NONCE: Final = 12


class KeyMissing(JournalError):
    """A secret was encrypted with a key that this process has not."""


class NotAsSealed(Exception):
    """It is not what was encrypted here, or not for this place."""


class _Key(NamedTuple):
    id: str
    fingerprint: bytes
    secret: Secret  # hexadecimal

    def header(self) -> bytes:
        name = self.id.encode()
        return _VERSION + self.fingerprint + bytes([len(name)]) + name


class FleetKeys:
    """The keys of a fleet: the first encrypts, all decrypt.

    Args:
        text: 32 bytes in base64, or several of these with commas between them, each with an id of
            its own before it or without (`"b:MTIz…,a:NDU2…"`).

    Raises:
        UsageError: one of them is no key, or an id is there twice. No piece of a key is said.
    """

    __slots__ = ("_keys",)

    def __init__(self, text: Secret) -> None:
        self._keys = tuple(_read(text))

    def __repr__(self) -> str:
        return f"FleetKeys({', '.join(key.id for key in getattr(self, '_keys', ()))})"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> FleetKeys | None:
        """Those of `$PROMOMSG_FLEET_KEY`; None: it is not set, or empty."""
        text = Secret(trimmed((os.environ if environ is None else environ).get(VARIABLE, "")))
        return _kept(text) if text else None

    def sealer(self, purpose: str) -> Sealer:
        """Encrypts and decrypts for one purpose; what one has encrypted no other decrypts."""
        return Sealer(self._keys, purpose)


@lru_cache(maxsize=4)
def _kept(text: Secret) -> FleetKeys:
    return FleetKeys(text)


class Sealer:
    """Encrypts with the first key, decrypts with all. See `FleetKeys.sealer`."""

    __slots__ = ("_ciphers", "_header", "_seal")

    def __init__(self, keys: tuple[_Key, ...], purpose: str) -> None:
        # cryptography takes long to import, and only those who have a key need it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        def cipher(key: _Key) -> AESGCM:
            main = bytes.fromhex(key.secret.reveal())
            return AESGCM(hmac.digest(main, purpose.encode("utf-8", "surrogatepass"), "sha256"))

        self._ciphers: dict[bytes, Any] = {key.fingerprint: cipher(key) for key in keys}
        self._header = keys[0].header()
        self._seal = self._ciphers[keys[0].fingerprint].encrypt

    def __repr__(self) -> str:
        return "Sealer(…)"

    def seal(self, text: str, place: bytes) -> bytes:
        """A secret as it is stored.

        Args:
            place: what it is of.
        """
        nonce = os.urandom(_NONCE)
        raw = text.encode("utf-8", "surrogatepass")
        return self._header + nonce + bytes(self._seal(nonce, raw, self._header + place))

    def open(self, sealed: bytes, place: bytes) -> Secret:
        """The secret again.

        Raises:
            KeyMissing: it was encrypted with a key that is not among ours.
            NotAsSealed: it was changed, or is of another place.
        """
        from cryptography.exceptions import InvalidTag

        key_id, fingerprint, end = _header_of(sealed)
        cipher = self._ciphers.get(fingerprint)
        if cipher is None:
            raise KeyMissing(f"it is encrypted with the key {key_id!r}, which {VARIABLE} has not")
        nonce, rest = sealed[end : end + _NONCE], sealed[end + _NONCE :]
        try:
            raw = cipher.decrypt(nonce, rest, sealed[:end] + place)
        except (InvalidTag, ValueError):
            raise NotAsSealed from None
        return Secret(raw.decode("utf-8", "surrogatepass"))

    def has_key_of(self, sealed: bytes) -> bool:
        """Whether the key is here that it was encrypted with."""
        return _header_of(sealed)[1] in self._ciphers


def key_of(sealed: bytes) -> str:
    """The id of the key that it was encrypted with."""
    return _header_of(sealed)[0]


def _header_of(sealed: bytes) -> tuple[str, bytes, int]:
    """(id of its key, fingerprint of its key, where the nonce begins). Raises NotAsSealed."""
    if sealed[:1] != _VERSION or len(sealed) <= _ID_AT:
        raise NotAsSealed
    end = _ID_AT + 1 + sealed[_ID_AT]
    key_id = sealed[_ID_AT + 1 : end].decode("ascii", "replace")
    if not _ID.fullmatch(key_id):
        raise NotAsSealed
    return key_id, sealed[len(_VERSION) : _ID_AT], end


def _read(text: Secret) -> list[_Key]:
    keys: list[_Key] = []
    for number, given in enumerate(map(Secret, text.reveal().split(",")), 1):
        key = _key(given)
        if key is None:
            raise UsageError(
                f"{VARIABLE}: key {number} is not {_BYTES} bytes in base64, with an id and a colon "
                f"before it or without; {_MAKE}"
            )
        if any(key.id == other.id or key.fingerprint == other.fingerprint for other in keys):
            raise UsageError(f"{VARIABLE}: the key {key.id!r} is there twice; keep one")
        keys.append(key)
    return keys


def _key(given: Secret) -> _Key | None:
    """A key and its id; None: it is none."""
    key_id, colon, encoded = trimmed(given.reveal()).rpartition(":")
    encoded = encoded.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        raw = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _BYTES or (colon and not _ID.fullmatch(key_id.strip())):
        return None
    mark = hashlib.blake2b(raw, digest_size=_FINGERPRINT, person=b"promomsg-key").digest()
    return _Key(key_id.strip() if colon else mark.hex(), mark, Secret(raw.hex()))
