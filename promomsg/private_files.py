"""Files that only their owner can read."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

__all__ = ["open_private", "rename_new", "replaced_file", "write_private"]

_PARTIAL: Final = ".partial"
_RANDOM: Final = 8
"""Characters that `mkstemp` puts between a prefix and a suffix."""
_LEFT_AFTER: Final = 60.0
"""Seconds without a write after which a file that nobody has locked was left there."""
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Opens a file of ours, also one that was left there before; returns its descriptor.

    In a folder that others can write to, somebody may have planted a link (also a hard one, a second
    name of some other file), or a file that stays readable to them: neither is followed. A file of
    ours that others could read is made private.

    Args:
        flags: of `os.open`; `O_NOFOLLOW` and `O_CLOEXEC` come with it.

    Raises:
        OSError: it is a link, no regular file, somebody else's, has a second name, or cannot be
            opened.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link; name the file itself", str(path)) from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to somebody else", str(path))
        if found.st_nlink > 1:
            raise OSError(errno.EINVAL, "it is a link; it has a second name", str(path))
        if found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def rename_new(old: str, new: str) -> None:
    """Renames a file to a name that nobody has, in one step; one that has appeared is not replaced.

    Where the system has no such call (before Linux 3.15, macOS), the name is looked at first.

    Raises:
        FileExistsError: the name is taken. OSError: it cannot be renamed.
    """
    # Loaded for this one call, which Python has no name for.
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        here, fresh = ctypes.c_int(_AT_FDCWD), ctypes.c_uint(_RENAME_NOREPLACE)
        if rename(here, os.fsencode(old), here, os.fsencode(new), fresh) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number), new)
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    os.rename(old, new)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file in one step, readable by its owner only, whatever the umask says.

    Raises:
        OSError: it cannot be written; an earlier file of that name is then untouched.
    """
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def replaced_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that only its owner can read, put in place in one step when the block ends well. What a process
    that was killed has left of the same file is removed: people's names may be in it.

    Raises:
        OSError: it cannot be written. Then, and after any error of the block, an earlier file of that
            name is untouched.
    """
    from tempfile import mkstemp  # 4 ms, for the few who write such a file

    # Under a name that nobody has: `NAME.partial` may be a download to be resumed.
    prefix = f".{path.name[:100]}."
    descriptor, name = mkstemp(prefix=prefix, suffix=_PARTIAL, dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # a file system without locks: what is left there stays
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_left(path.parent, prefix)
            yield file
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _remove_left(folder: Path, prefix: str) -> None:
    """Removes what nobody writes any more: whoever does has it locked, but for the moment after it was made."""
    with os.scandir(folder) as found:
        names = [one.name for one in found if one.name.startswith(prefix)]
    for name in names:
        if name.endswith(_PARTIAL) and len(name) == len(prefix) + _RANDOM + len(_PARTIAL):
            with suppress(OSError):
                _remove_if_left(folder / name)


def _remove_if_left(partial: Path) -> None:
    descriptor = open_private(partial, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime > _LEFT_AFTER:
            partial.unlink()
    finally:
        os.close(descriptor)
