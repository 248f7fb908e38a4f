"""A list's file opened for reading bytes; gzip is unpacked on the way, within limits."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import BinaryIO, Final, cast

from promomsg.errors import UsageError
from promomsg.intake.file_kinds import GZIP

__all__ = ["open_bytes"]

_BOMB_FROM: Final = 64 << 20
_BOMB_RATIO: Final = 200
"""Over 64 MiB, no list packs 200 to 1 (Deflate ends at 1032 to 1)."""
_BUFFER: Final = 1 << 17


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of a list, from the start.

    Raises:
        UsageError: also while it is read: it is packed, and damaged, cut short, or a bomb.
        OSError: it cannot be opened.
    """
    file = path.open("rb")
    start = file.read(2)
    file.seek(0)
    if start != GZIP:
        return file
    return cast("BinaryIO", io.BufferedReader(_Unpacked(path, file), _BUFFER))


class _Unpacked(io.RawIOBase):
    """What gzip packed, checked while it is unpacked."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._size = path.stat().st_size
        self._given = 0
        # Loaded for a file that is packed.
        import gzip

        self._inner = gzip.GzipFile(fileobj=file, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        try:
            data = self._inner.read(len(view))
        except (EOFError, OSError, zlib.error) as error:
            raise UsageError(
                f"{self._path} is damaged or cut short ({error}): nothing was sent; pack it anew"
            ) from None
        self._given += len(data)
        if self._given > _BOMB_FROM and self._given > _BOMB_RATIO * self._size:
            raise UsageError(
                f"{self._path} unpacks to more than {self._given >> 20} MiB, which no list does; "
                "unpack it and look what it is"
            )
        view[: len(data)] = data
        return len(data)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._file.close()
        super().close()
