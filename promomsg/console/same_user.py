"""Whose process is at the other end of a connection over loopback: the kernel's table says it.

Journals are files that only their owner can read. Without this, every other user of the machine could read
them through the console (docs/console.md, "Other users of the machine").
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

__all__ = ["can_be_asked", "is_same_user", "socket_owner"]

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"
"""Before the four bytes of an IPv4 address in a socket for both kinds."""
_ROOT: Final = 0


def can_be_asked() -> bool:
    """Whether this system has such a table that can be read: Linux."""
    return sys.platform == "linux" and os.access(_TABLES[0], os.R_OK)


def is_same_user(
    theirs: tuple[str, int],
    ours: tuple[str, int],
    *,
    tables: Callable[[], Iterable[str]] | None = None,
    user: int | None = None,
) -> bool:
    """Whether a connection is from a process of this user, or of root, who can read every file anyway.

    One that is not in the table is from nobody: its other end is closed already.

    Args:
        theirs, ours: address and port of its two ends.
        tables: gives the kernel's tables, as text; None: this system's.
        user: the number of this user; None: this process's.
    """
    mine = os.geteuid() if user is None else user
    for table in (tables or _read_tables)():
        owner = socket_owner(table, theirs, ours)
        if owner is not None:
            return owner in (mine, _ROOT)
    return False


def socket_owner(table: str, local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The user of the socket between two addresses in a table as `/proc/net/tcp` has it; None: it is not
    there, or no process has it any more (the kernel then says 0, which would be root).

    Args:
        local, remote: address and port of the end whose user is asked for, and of the other end.
    """
    wanted = {
        (_end(one, local[1]), _end(other, remote[1]))
        for one, other in zip(_forms(local[0]), _forms(remote[0]), strict=True)
    }
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 9 and (fields[1], fields[2]) in wanted and fields[9] != "0":
            return int(fields[7])
    return None


def _forms(host: str) -> tuple[str, ...]:
    """An address as the kernel writes it: 32 bits at a time, each in the machine's order of bytes. An IPv4
    address can stand in a socket for both kinds, too."""
    address = ip_address(host.partition("%")[0])
    packed = address.packed
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        packed = address.ipv4_mapped.packed
    if len(packed) == 4:
        return _words(packed), _words(_MAPPED + packed)
    return (_words(packed),)


def _words(packed: bytes) -> str:
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _end(host: str, port: int) -> str:
    return f"{host}:{port:04X}"


def _read_tables() -> Iterable[str]:
    for path in _TABLES:
        try:
            with open(path, encoding="ascii") as file:
                yield file.read()
        except OSError:
            continue  # a system without IPv6 has no second table
