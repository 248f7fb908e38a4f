"""Which start of the machine this is."""

from __future__ import annotations

from typing import Final

__all__ = ["boot_id"]

_FILE: Final = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str | None:
    """What tells this start of the machine from every other; None: the system does not say."""
    try:
        with open(_FILE, encoding="ascii") as file:
            text = file.read(64).strip()
    except (OSError, ValueError):
        return None
    return text if len(text) == 36 else None
