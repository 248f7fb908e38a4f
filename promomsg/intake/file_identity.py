"""Whether a file is still the one that was looked at first: a list is read whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from promomsg.errors import UsageError

__all__ = ["FileIdentity", "check_unchanged", "identity_of"]


class FileIdentity(msgspec.Struct, frozen=True):
    """Which file it is, how long, and when it was changed last: content and attributes, in ns."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def identity_of(file: Path | int) -> FileIdentity:
    """Of a path, or of an open file by its descriptor.

    Raises:
        OSError: it is not there.
    """
    status = os.stat(file)
    return FileIdentity(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def check_unchanged(path: Path, before: FileIdentity, descriptor: int | None = None) -> None:
    """Compares a file with what it was before the first read.

    Args:
        path: where it was.
        before: what it was.
        descriptor: the open file to compare, rather than what is at the path now.

    Raises:
        UsageError: it grew, shrank, was written to, replaced or removed meanwhile: what was read
            may end in the middle of a row, and the rest would be left out without a word.
    """
    try:
        now = identity_of(path if descriptor is None else descriptor)
    except OSError:
        raise UsageError(f"{path} was removed while it was read; {_MEND}") from None
    if now == before:
        return
    if (now.device, now.inode) != (before.device, before.inode):
        what = "was replaced"
    elif now.size != before.size:
        grown = now.size > before.size
        what = f"{'grew' if grown else 'shrank'} from {before.size:,} to {now.size:,} bytes"
    else:
        what = "was changed"
    raise UsageError(f"{path} {what} while it was read; {_MEND}")


_MEND = "nothing was sent: wait until whatever writes it is done, then try again"
