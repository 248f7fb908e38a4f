"""The campaigns of a folder as they were seen last."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread

from promomsg.console.console_types import Listed, Look, PlaceName
from promomsg.console.journal_folder import JournalFolder, ListedFile
from promomsg.console.look_cache import LookCache
from promomsg.console.one_look import look_at_file
from promomsg.control_characters import escaped
from promomsg.journal.contract import Journal
from promomsg.journal.locate import journal_at

__all__ = ["FolderLooks"]

_AT_ONCE: Final = 10
"""Journals that are read before another page has its turn."""


class FolderLooks:
    """Looks at the journals of a folder; those of one folder are read one after the other.

    Args:
        place: of its URLs.
        folder: which journals there are.
        cache: looks that are still good.
        threads: that reading takes.
    """

    def __init__(
        self, place: str, folder: JournalFolder, cache: LookCache, threads: CapacityLimiter
    ) -> None:
        self.place = place
        self._folder = folder
        self._cache = cache
        self._threads = threads
        self._turn = asyncio.Lock()

    async def newest(self, after: Listed | None, most: int) -> tuple[list[Listed], PlaceName]:
        """The first campaigns behind `after`, or of all; and what is known of the folder."""
        shown = escaped(str(self._folder.folder))
        try:
            files = await self._files()
        except OSError as error:
            text = f"the folder cannot be read: {error.strerror}"
            return [], PlaceName(place=self.place, shown=shown, error=text)
        listed = [Listed(file.changed_at, self.place, file.name) for file in files.values()]
        found = sorted((one for one in listed if after is None or one < after), reverse=True)
        return found[:most], PlaceName(place=self.place, shown=shown, campaigns=len(files))

    async def looks(self, names: Sequence[str]) -> dict[str, Look]:
        """The campaigns of these names that there are, each as it stands now."""
        try:
            files = await self._files()
        except OSError:
            return {}
        found: dict[str, Look] = {}
        wanted = [files[name] for name in names if name in files]
        for begin in range(0, len(wanted), _AT_ONCE):
            async with self._turn:
                found |= await self._read(wanted[begin : begin + _AT_ONCE])
        return found

    async def _read(self, wanted: Sequence[ListedFile]) -> dict[str, Look]:
        found: dict[str, Look] = {}
        stale = []
        for file in wanted:
            look = self._cache.good((self.place, file.name), file.signature)
            if look is None:
                stale.append(file)
            else:
                found[file.name] = look
        if stale:
            looks = await to_thread.run_sync(self._look_at, stale, limiter=self._threads)
            for file, look in zip(stale, looks, strict=True):
                found[file.name] = self._cache.keep(look, file.signature)
        return found

    def _look_at(self, files: Sequence[ListedFile]) -> list[Look]:
        folder = self._folder.folder
        return [look_at_file(self.place, str(folder / file.name), file.size) for file in files]

    async def journal(self, name: str) -> Journal | None:
        """The journal of a campaign that there is; None: there is none of this name."""
        try:
            there = name in await self._files()
        except OSError:
            return None
        # A path, so that no name is taken for one in a fleet's database.
        return journal_at(self._folder.folder / name) if there else None

    async def _files(self) -> dict[str, ListedFile]:
        return await to_thread.run_sync(partial(self._folder.files), limiter=self._threads)
