"""Whether a journal's files are still where its sender has them open."""

from __future__ import annotations

import os

from promomsg.journal.sqlite.crash_safety.side_files import LOCK, MARK, WAL

__all__ = ["FilesInPlace"]


class FilesInPlace:
    """The files of a journal that a sender has open, as they were when first looked at."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inodes: dict[str, tuple[int, int]] = {}

    def missing(self) -> str | None:
        """What of them was moved, removed or replaced since; None while all are there.

        By name and inode: another file of that name is none of the sender's.
        """
        for end in ("", LOCK, WAL, MARK):
            path = f"{self._path}{end}"
            try:
                status = os.stat(path, follow_symlinks=False)
            except OSError:
                inode = None
            else:
                inode = status.st_dev, status.st_ino
            if inode is None or self._inodes.setdefault(path, inode) != inode:
                return (
                    f"{path} was moved, removed or replaced while it was being sent; put it back "
                    "where it was, then resume"
                )
        return None
