"""The user tokens of a campaign's recipients in this process, from planning until each is sent to.

A journal that does not keep them (`journal.plan_contract.KeptTokens`) has no secret in it
(docs/design.md, "No secret leaves"), and there may be millions, so they may not be in memory either. Each
is encrypted, with a key that only this process has, into a record of fixed size in a temporary file without
a name. The recipient's number (`seq`) is the place of its record.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self

from promomsg.journal.plan_contract import RecipientTokens
from promomsg.model import Secret

__all__ = ["EncryptedTokens", "RecipientTokens"]

_NONCE: Final = 12
_TAG: Final = 16
_LONGEST: Final = 128
"""Bytes of a token in UTF-8 that a record has room for (nearly all are ASCII and no longer). A longer
one is kept in memory."""
_RECORD: Final = 2 + _LONGEST + _NONCE + _TAG


class EncryptedTokens:
    """The same in a temporary file of this process."""

    def __init__(self) -> None:
        # cryptography takes long to import, and only wallets need it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._file = tempfile.TemporaryFile(  # noqa: SIM115 - closed by `close`
            prefix="promomsg-", buffering=0
        )
        self._cipher = AESGCM(AESGCM.generate_key(bit_length=128))
        self._too_long: dict[int, Secret] = {}

    async def put(self, tokens: Iterable[tuple[int, str]]) -> None:
        """Keeps tokens; those of recipients with consecutive numbers take one write."""
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
        if len(raw) > _LONGEST:
            self._too_long[seq] = Secret(token)
            return bytes(_RECORD)
        nonce = os.urandom(_NONCE)
        padded = len(raw).to_bytes(2, "big") + raw.ljust(_LONGEST, b"\0")
        return nonce + self._cipher.encrypt(nonce, padded, None)

    def _write(self, start: int, run: bytearray) -> None:
        os.pwrite(self._file.fileno(), run, start * _RECORD)

    async def get_many(self, numbers: Sequence[int]) -> list[Secret | None]:
        """As `RecipientTokens.get_many`; those of consecutive numbers take one read."""
        found: list[Secret | None] = []
        for run in _runs(numbers):
            size = len(run) * _RECORD
            records = os.pread(self._file.fileno(), size, run.start * _RECORD)
            for seq, at in zip(run, range(0, size, _RECORD), strict=True):
                found.append(self._open(seq, records[at : at + _RECORD]))
        return found

    def _open(self, seq: int, record: bytes) -> Secret | None:
        if seq in self._too_long:
            return self._too_long[seq]
        if len(record) < _RECORD or not any(record):
            return None
        padded = self._cipher.decrypt(record[:_NONCE], record[_NONCE:], None)
        size = int.from_bytes(padded[:2], "big")
        return Secret(padded[2 : 2 + size].decode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """Removes all tokens; the key goes with the object."""
        self._too_long.clear()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _runs(numbers: Sequence[int]) -> Iterator[range]:
    """The numbers as ranges, in the order given."""
    run = range(0)
    for number in numbers:
        if run and number != run.stop:
            yield run
            run = range(0)
        run = range(run.start if run else number, number + 1)
    if run:
        yield run
