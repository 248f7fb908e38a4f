"""The journals of one folder: which there are, by the folder alone, and what of each has changed since."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from promomsg.clock import SYSTEM_CLOCK
from promomsg.journal.locate import ALL_ENDINGS, is_journal_file

__all__ = ["JournalFolder", "ListedFile"]

_FRESH_FOR: Final = 0.5
"""Seconds that a listing of the folder is used for."""
_SIGNED: Final = ("", "-wal", "-mark", "-slots", ".lock")
"""Endings of the files whose change says that something happened to a campaign."""


class ListedFile(NamedTuple):
    """A journal of a folder, of which nothing was read.

    Attributes:
        name: of its file.
        changed_at: Unix seconds of the last change of the file or of its log.
        size: bytes, with the files beside it that belong to it.
        signature: differs after whatever happens to the campaign.
    """

    name: str
    changed_at: float
    size: int
    signature: tuple[object, ...]


class JournalFolder:
    """The journals of a folder, not of the folders in it; links are none of them.

    Args:
        folder: where they are.
        now: monotonic seconds.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = SYSTEM_CLOCK.monotonic) -> None:
        self.folder = folder
        self._now = now
        self._kinds: dict[str, tuple[tuple[int, ...], bool]] = {}
        self._listed: tuple[float, dict[str, ListedFile]] | None = None

    def files(self) -> dict[str, ListedFile]:
        """All of them by name. Some milliseconds for a thousand, and at most twice a second.

        Raises:
            OSError: the folder cannot be read.
        """
        listed = self._listed
        if listed is None or self._now() - listed[0] > _FRESH_FOR:
            listed = self._listed = (self._now(), self._scan())
        return listed[1]

    def _scan(self) -> dict[str, ListedFile]:
        there: dict[str, os.stat_result] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # it has gone meanwhile
                if stat.S_ISREG(found.st_mode):
                    there[entry.name] = found
        names = sorted(there)
        kinds = {name: self._kind(name, there[name]) for name in names if _may_be_one(name)}
        self._kinds = kinds
        return {
            name: _listed(name, at, names, there)
            for at, name in enumerate(names)
            if name in kinds and kinds[name][1]
        }

    def _kind(self, name: str, found: os.stat_result) -> tuple[tuple[int, ...], bool]:
        """Whether a file is a journal, by its first bytes, which are read again when it is another file; of
        one that is none, after each change."""
        known = self._kinds.get(name)
        same: tuple[int, ...] = (found.st_dev, found.st_ino)
        if known is not None and known[1] and known[0] == same:
            return known
        full = (*same, found.st_mtime_ns, found.st_size)
        if known is not None and not known[1] and known[0] == full:
            return known
        is_one = is_journal_file(self.folder / name)
        return (same if is_one else full), is_one


def _may_be_one(name: str) -> bool:
    return not name.endswith(ALL_ENDINGS)


def _listed(name: str, at: int, names: list[str], there: dict[str, os.stat_result]) -> ListedFile:
    size = there[name].st_size
    for beside in names[at + 1 :]:
        if not beside.startswith(name):
            break
        if beside[len(name)] in "-.":
            size += there[beside].st_size
    sides = [there.get(name + ending) for ending in _SIGNED]
    changed = max(side.st_mtime for side in sides[:2] if side is not None)
    signature = tuple(
        None if side is None else (side.st_ino, side.st_mtime_ns, side.st_size) for side in sides
    )
    return ListedFile(name, changed, size, signature)
