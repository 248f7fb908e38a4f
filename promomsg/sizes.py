"""Sizes of files as people read them: `512 B`, `1.4 MB`."""

from __future__ import annotations

__all__ = ["format_size"]


def format_size(size: int) -> str:
    """`512 B`, `1.4 MB`: thousands, as file managers and disks count them."""
    scaled = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if scaled < 1000 or unit == "GB":
            break
        scaled /= 1000
    return f"{size} B" if unit == "B" else f"{scaled:.1f} {unit}"
