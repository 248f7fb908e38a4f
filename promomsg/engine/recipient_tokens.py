"""Where user tokens wait for their turn: encrypted, in a file without a name, gone with the process.

The journal keeps no user token (issue: secrets), and memory must not grow with the recipients.
So each token goes, under a key that exists only in this process, into a fixed-size record of an
unlinked temporary file, found again by the recipient's number.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import Final, Self

from promomsg.model import Secret

__all__ = ["RecipientTokens"]

_NONCE: Final = 12
_TAG: Final = 16
_RECORD: Final = 2 + 128 + _NONCE + _TAG
"""Bytes of one record: nearly every token is ASCII; a longer one is kept apart in memory."""


class RecipientTokens:
    """Tokens by recipient number."""

    def __init__(self) -> None:
        # cryptography takes long to import, and only wallets need it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._file = tempfile.TemporaryFile(  # noqa: SIM115 - closed by `close`
            prefix="promomsg-", buffering=0
        )
        self._cipher = AESGCM(AESGCM.generate_key(bit_length=128))
        self._long: dict[int, Secret] = {}

    def put(self, tokens: Iterable[tuple[int, str]]) -> None:
        """Keeps the tokens of consecutive recipients in one write a run of numbers."""
        start: int | None = None
        run = bytearray()
        for seq, token in tokens:
            if start is None:
                start = seq
            elif seq != start + len(run) // _RECORD:
                self._write(start, run)
                start, run = seq, bytearray()
            run += self._seal(seq, token)
        if start is not None:
            self._write(start, run)

    def _seal(self, seq: int, token: str) -> bytes:
        raw = token.encode("utf-8", "surrogatepass")
        if len(raw) > 128:
            self._long[seq] = Secret(token)
            return bytes(_RECORD)
        nonce = os.urandom(_NONCE)
        padded = len(raw).to_bytes(2, "big") + raw.ljust(128, b"\0")
        return nonce + self._cipher.encrypt(nonce, padded, None)

    def _write(self, start: int, run: bytearray) -> None:
        os.pwrite(self._file.fileno(), run, start * _RECORD)

    def get(self, seq: int) -> Secret | None:
        """The token of one recipient; None when it has none."""
        if seq in self._long:
            return self._long[seq]
        record = os.pread(self._file.fileno(), _RECORD, seq * _RECORD)
        if len(record) < _RECORD or not any(record):
            return None
        padded = self._cipher.decrypt(record[:_NONCE], record[_NONCE:], None)
        size = int.from_bytes(padded[:2], "big")
        return Secret(padded[2 : 2 + size].decode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """Forgets everything."""
        self._long.clear()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
