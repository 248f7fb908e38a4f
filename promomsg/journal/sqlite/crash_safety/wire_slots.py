"""Wire slots: whose call may have begun, in a small file that outlives its process, not its machine.

A recipient waits between the intent and the first byte of its call, and so after a kill most of those
intended were never called. The file says who was: one slot for each call that is out, written right
before the first byte and cleared once the result is durable. It is mapped into memory and never
synced: what was stored is there after a `kill -9`, and after a power cut nothing of it is believed.

Layout, in words of 8 bytes of this machine:

    0 to 23     whose file it is: a header with a check sum, written before the file has its name
    24          not 0: not to be believed
    25          `commit_log.log_no` of the sender's last commit
    32 onwards  the slots: two words each; 0 and `FREE` while it is free

The first word of a slot is who is called, the second one the epoch of their lease, and the first
once more, changed, as a check. The first word is stored first and cleared last: a kill in between leaves
a slot whose second word is `FREE`, which is believed to be taken. Two words of 0 are what is found
where a part of the file was lost. See docs/design.md, "Wire slots".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = [
    "CHANGED",
    "DOUBT",
    "EPOCH_AT",
    "FREE",
    "MOST",
    "NUMBER",
    "SLOTS_AT",
    "Identity",
    "Marked",
    "check_word",
    "free",
    "group_word",
    "header",
    "is_ours",
    "read_slots",
    "single_word",
    "size",
]

WORD: Final = 8
DOUBT: Final = 24
NUMBER: Final = 25
SLOTS_AT: Final = 32
EPOCH_AT: Final = 40
"""The bit of a second word at which the epoch begins."""
CHANGED: Final = 0xA5_C3_96_5A_3C
"""What the first word is changed by in the second one."""
FREE: Final = (1 << 64) - 1
"""The second word of a slot that is free, or about to be taken or given back."""
MOST: Final = 1 << 20
"""Slots of a file at the most."""

_MAGIC: Final = b"promomsg-slots 1"
_HEADER: Final = struct.Struct("=16s 32s 32s 36s 4x 7Q")
_WHO: Final = (1 << EPOCH_AT) - 1


class Identity(NamedTuple):
    """Whose slots a file has.

    Attributes:
        run_id: the campaign's, 32 hex digits.
        opening: `campaign.opening` of the journal, 32 hex digits: the sender that intended.
        boot: the system's boot id: the machine has not been started anew since.
        device, inode, birth: of the file itself (birth: when it was made, in nanoseconds; 0: not
            known), so that a copy of it is none.
        journal_device, journal_inode, journal_birth: of the journal's file.
    """

    run_id: str
    opening: str
    boot: str
    device: int
    inode: int
    birth: int
    journal_device: int
    journal_inode: int
    journal_birth: int


class Marked(NamedTuple):
    """Who may have been called: `seq` → epoch of singles, group number → epoch of groups."""

    singles: Mapping[int, int]
    groups: Mapping[int, int]


def single_word(seq: int) -> int:
    """The first word of a single's slot."""
    return (seq + 1) << 1


def group_word(group_no: int) -> int:
    """The first word of a group's slot."""
    return group_no << 1 | 1


def check_word(who: int, epoch: int) -> int:
    """The second word. A number that is too large for a slot gives one that no slot can hold, or
    that does not fit the first word."""
    return epoch << EPOCH_AT | who ^ CHANGED


def size(count: int) -> int:
    """Bytes of a file with so many slots."""
    return (SLOTS_AT + 2 * count) * WORD


def header(whose: Identity, count: int) -> bytes:
    """The first words of a file with so many slots."""
    run_id, opening, boot, *numbers = whose
    texts = (text.encode() for text in (run_id, opening, boot))
    content = _HEADER.pack(_MAGIC, *texts, *numbers, count)
    return content + struct.pack("=Q", zlib.crc32(content))


def free(count: int) -> bytes:
    """So many slots that nobody has."""
    return struct.pack("=QQ", 0, FREE) * count


def is_ours(content: bytes) -> bool:
    """Whether a file begins as one of slots does, whosever."""
    return content.startswith(_MAGIC)


def read_slots(content: bytes, whose: Identity, number: int) -> Marked | None:
    """Who is in the slots of a file; None: it is not to be believed.

    Args:
        content: of the whole file.
        whose: whose it has to be.
        number: `commit_log.log_no` of the journal's last commit that can be read.
    """
    count = (len(content) - size(0)) // (2 * WORD)
    if count < 1 or len(content) != size(count):
        return None
    expected = header(whose, count)
    words = memoryview(content).cast("Q")
    padding = any(content[len(expected) : DOUBT * WORD]) or any(words[NUMBER + 1 : SLOTS_AT])
    if not content.startswith(expected) or padding or words[DOUBT] or words[NUMBER] > number:
        return None
    singles: dict[int, int] = {}
    groups: dict[int, int] = {}
    for at in range(SLOTS_AT, len(words), 2):
        who, check = words[at], words[at + 1]
        if not who and check == FREE:
            continue
        half = check == FREE  # a kill came between its two stores
        if not 0 < who <= _WHO or not (half or (check & _WHO) == who ^ CHANGED):
            return None
        epoch = 0 if half else check >> EPOCH_AT
        if who & 1:
            groups[who >> 1] = epoch
        else:
            singles[(who >> 1) - 1] = epoch
    return Marked(singles, groups)
