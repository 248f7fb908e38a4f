"""The file of wire slots beside a journal (`promomsg.journal.sqlite.crash_safety.wire_slots`): made and
written by a sender, read after a kill.
"""

from __future__ import annotations

import os
import stat
import struct
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from promomsg.boot_id import boot_id
from promomsg.journal.sqlite.crash_safety import wire_slots
from promomsg.journal.sqlite.crash_safety.side_files import SLOTS
from promomsg.journal.sqlite.crash_safety.wire_slots import (
    CHANGED,
    DOUBT,
    EPOCH_AT,
    FREE,
    NUMBER,
    SLOTS_AT,
    Identity,
    Marked,
)

__all__ = ["SlotFile", "read_slot_file", "remove_slot_file"]

_NO_LINK: Final = 0x100
_AT_DESCRIPTOR: Final = 0x1000
_BIRTH: Final = 0x800
"""Of statx(2), which knows the time of birth; Python's `stat` does not have it."""

_made: weakref.WeakSet[SlotFile] = weakref.WeakSet()


class SlotFile:
    """The slots of a sender; but for `committed` and `close` of the event loop's thread alone.

    Args:
        journal: the journal's path.
        run_id, opening: see `Identity`.
        most: how many calls may be out at the same time.

    Raises:
        OSError: it cannot be made, or this system does not say when it was started.
    """

    def __init__(self, journal: str, run_id: str, opening: str, most: int) -> None:
        self.path = journal + SLOTS
        boot = boot_id()
        if boot is None:
            raise OSError("this system has no boot id")
        count = min(most, wire_slots.MOST)
        # As the commit mark: complete before it has its name, and nothing planted is written into.
        new = f"{self.path}.partial"
        with suppress(FileNotFoundError):
            os.unlink(new)
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
            # Its blocks are there before they are mapped: a full disk would end the process.
            os.posix_fallocate(fd, 0, wire_slots.size(count))
            whose = _identity(fd, journal, run_id, opening, boot)
            os.pwrite(fd, wire_slots.header(whose, count), 0)
            os.pwrite(fd, wire_slots.free(count), wire_slots.size(0))
            self._mapped = _MappedWords(fd, wire_slots.size(count))
            os.rename(new, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
        finally:
            os.close(fd)
        self._inode = whose.device, whose.inode
        self._words = self._mapped.words
        self._free = list(range(SLOTS_AT + 2 * count - 2, SLOTS_AT - 2, -2))
        self._taken: dict[int, int] = {}
        _made.add(self)

    def mark(self, who: int, epoch: int) -> None:
        """Takes a slot, unless they have one; with none left nothing of the file is believed."""
        try:
            if who in self._taken:
                return
            at = self._free.pop()
            words = self._words
            words[at] = who
            words[at + 1] = epoch << EPOCH_AT | who ^ CHANGED  # `check_word`, without its call
            self._taken[who] = at
        except (IndexError, TypeError, ValueError):
            self.disbelieve()

    def give_back(self, whose: Iterable[int]) -> None:
        """Clears the slots of those who have one: their results are durable."""
        words, taken = self._words, self._taken
        for who in whose:
            at = taken.pop(who, None)
            if at is not None:
                words[at + 1] = FREE
                words[at] = 0
                self._free.append(at)

    def disbelieve(self) -> None:
        """From now on all who are intended are in doubt after a kill."""
        with suppress(ValueError):
            self._words[DOUBT] = 1

    def committed(self, number: int) -> None:
        """Says that commit `number` is done, before anybody hears of it."""
        with suppress(ValueError):
            self._words[NUMBER] = number

    def close(self, *, remove: bool) -> None:
        """Lets go of it; `remove`: the journal is closed cleanly and needs it no more."""
        if remove:
            remove_slot_file(self.path, self._inode)
        self.forked()

    def forked(self) -> None:
        """In a child: what it does is no call of its parent's."""
        self._mapped.close()


def _forked() -> None:
    for slots in list(_made):
        slots.forked()


os.register_at_fork(after_in_child=_forked)


class _MappedWords:
    """A file in memory, as words of 8 bytes. It keeps no descriptor, of which a process with hundreds of
    campaigns has none to spare: `mmap.mmap` does (before Python 3.13 always).

    Raises:
        OSError: it cannot be mapped.
    """

    def __init__(self, fd: int, size: int) -> None:
        # Here, since importing the package would take longer by them.
        import ctypes
        import mmap

        system = ctypes.CDLL(None, use_errno=True)
        system.mmap.restype = ctypes.c_void_p
        system.mmap.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_long,
        )
        system.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        self._unmap = system.munmap
        self._size = size
        self._at: int | None = system.mmap(
            None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0
        )
        if self._at in (None, ctypes.c_void_p(-1).value):
            self._at = None
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        memory = (ctypes.c_ubyte * size).from_address(self._at)
        self.words = memoryview(memory).cast("B").cast("Q")

    def close(self) -> None:
        """Whoever stores into `words` from now on is told by a ValueError."""
        at, self._at = self._at, None
        if at is not None:
            self.words.release()
            self._unmap(at, self._size)

    def __del__(self) -> None:
        self.close()


def _identity(fd: int, journal: str, run_id: str, opening: str, boot: str) -> Identity:
    own, main = os.fstat(fd), os.stat(journal, follow_symlinks=False)
    return Identity(
        run_id=run_id,
        opening=opening,
        boot=boot,
        device=own.st_dev,
        inode=own.st_ino,
        birth=_birth(fd, b"", _AT_DESCRIPTOR),
        journal_device=main.st_dev,
        journal_inode=main.st_ino,
        # By its name: SQLite's locks would go with any descriptor of it that is closed.
        journal_birth=_birth(0, os.fsencode(journal), _NO_LINK),
    )


def _birth(fd: int, path: bytes, flags: int) -> int:
    """When a file was made, in nanoseconds: a later file may be given its inode's number. 0 where
    the system does not say."""
    import ctypes

    statx = getattr(ctypes.CDLL(None), "statx", None)
    found = ctypes.create_string_buffer(256)
    if statx is None or statx(fd, path, flags, _BIRTH, found) != 0:
        return 0
    (mask,) = struct.unpack_from("=I", found)
    seconds, nanoseconds = struct.unpack_from("=qI", found, 80)
    return int(seconds * 1_000_000_000 + nanoseconds) if mask & _BIRTH else 0


def read_slot_file(
    journal: str, run_id: str, opening: str | None, number: int
) -> tuple[Marked | None, tuple[int, int] | None]:
    """What the slots beside a journal that nobody sends say, and what tells that file from others
    (None: there is none, or it is no file of slots). Nothing on disk is changed.

    Args:
        run_id, opening: what the journal says.
        number: `commit_log.log_no` of its last commit.
    """
    try:
        fd = os.open(journal + SLOTS, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None, None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return None, None
        begins = os.pread(fd, wire_slots.size(0), 0)
        if not wire_slots.is_ours(begins):
            return None, None
        inode = found.st_dev, found.st_ino
        boot = boot_id()
        private = found.st_uid == os.geteuid() and found.st_nlink == 1
        whole = found.st_size <= wire_slots.size(wire_slots.MOST)
        if not opening or boot is None or not private or not whole or found.st_mode & 0o077:
            return None, inode
        content = os.pread(fd, found.st_size + 1, 0)
        whose = _identity(fd, journal, run_id, opening, boot)
        return wire_slots.read_slots(content, whose, number), inode
    except (OSError, UnicodeError, struct.error):
        return None, None
    finally:
        os.close(fd)


def remove_slot_file(path: str, inode: tuple[int, int] | None) -> None:
    """Removes the file of slots at that path if it is this one."""
    with suppress(OSError):
        status = os.stat(path, follow_symlinks=False)
        if (status.st_dev, status.st_ino) == inode:
            os.unlink(path)
