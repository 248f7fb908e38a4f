"""The campaigns of all places as they were seen last. What has not changed is not read again, and of what
changes all who look share one look a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from anyio import CapacityLimiter

from promomsg.clock import SYSTEM_CLOCK
from promomsg.console.campaign_filter import CampaignFilter
from promomsg.console.console_types import CampaignPage, Listed, Look, PlaceName
from promomsg.console.fleet_looks import FleetLooks
from promomsg.console.folder_looks import FolderLooks
from promomsg.console.journal_folder import JournalFolder
from promomsg.console.look_cache import LookCache
from promomsg.errors import JournalError
from promomsg.fleet.fleet import Fleet
from promomsg.journal.contract import Journal

__all__ = ["PAGE", "CampaignLooks"]

PAGE: Final = 50
"""Campaigns of a page."""
_LOOKED_THROUGH: Final = 300
"""Campaigns that are looked at for one page of those that were asked for: fewer than looks are kept, so that
all but those that change are read once."""
_ALL: Final = CampaignFilter()
_READERS: Final = 4
"""Threads that read files."""


class CampaignLooks:
    """Looks at campaigns; to be used in one event loop.

    Args:
        folders: their journals are in the places `1`, `2`, …
        fleet: its campaigns are in the place `fleet`; None: there is none.
        fleet_url: of its database.
        now: monotonic seconds.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        fleet: Fleet | None = None,
        fleet_url: str = "",
        now: Callable[[], float] = SYSTEM_CLOCK.monotonic,
    ) -> None:
        cache = LookCache(now)
        self._threads = CapacityLimiter(_READERS)
        self._places: dict[str, FolderLooks | FleetLooks] = {}
        for number, folder in enumerate(folders, 1):
            place = str(number)
            listed = JournalFolder(folder, now)
            self._places[place] = FolderLooks(place, listed, cache, self._threads)
        self.fleet = None if fleet is None else FleetLooks(fleet, fleet_url, cache)
        if self.fleet is not None:
            self._places[self.fleet.place] = self.fleet

    async def page(
        self, after: Listed | None = None, wanted: CampaignFilter = _ALL
    ) -> CampaignPage:
        """A page of the list, the newest campaigns first. No other campaign is opened, unless there is
        something to look for: then up to 300 are, and the page behind this one goes on from there."""
        listed, places = await self._newest(after)
        if not wanted.is_of_all:
            return await self._wanted_page(after, wanted, listed, places)
        shown = listed[:PAGE]
        return CampaignPage(
            looks=tuple(await self._looks((one.place, one.name) for one in shown)),
            places=places,
            after=shown[-1].text() if len(listed) > PAGE else "",
            is_first=after is None,
        )

    async def _wanted_page(
        self,
        after: Listed | None,
        wanted: CampaignFilter,
        listed: list[Listed],
        places: tuple[PlaceName, ...],
    ) -> CampaignPage:
        """The page of those that are asked for; `listed` are the first that there are."""
        found: list[tuple[Listed, Look]] = []
        looked_through, goes_on = 0, ""
        while listed and len(found) <= PAGE:
            batch = listed[:PAGE]
            seen = await self._looks((one.place, one.name) for one in batch)
            looks = {(look.place, look.name): look for look in seen}
            for one in batch:
                look = looks.get((one.place, one.name))
                if look is not None and wanted.takes(look):
                    found.append((one, look))
            looked_through += len(batch)
            if len(listed) <= PAGE:
                break
            if looked_through >= _LOOKED_THROUGH:
                goes_on = batch[-1].text()
                break
            listed, _ = await self._newest(batch[-1])
        shown = found[:PAGE]
        return CampaignPage(
            looks=tuple(look for _, look in shown),
            places=places,
            after=shown[-1][0].text() if len(found) > PAGE else goes_on,
            is_first=after is None,
        )

    async def _newest(self, after: Listed | None) -> tuple[list[Listed], tuple[PlaceName, ...]]:
        """The first campaigns behind `after`, one more than a page has; and all places."""
        answers = await asyncio.gather(
            *(place.newest(after, PAGE + 1) for place in self._places.values())
        )
        listed = sorted((one for found, _ in answers for one in found), reverse=True)
        return listed[: PAGE + 1], tuple(place for _, place in answers)

    async def refreshed(self, page: CampaignPage) -> CampaignPage:
        """A page of the list as it stands now, with the same campaigns; only what has changed is read."""
        looks = await self._looks((look.place, look.name) for look in page.looks)
        return msgspec.structs.replace(page, looks=tuple(looks))

    async def campaign(self, place: str, name: str) -> Look | None:
        """One campaign, by its URL; None: there is none.

        Raises:
            JournalError: its database cannot be reached.
        """
        at = self._places.get(place)
        return None if at is None else (await at.looks([name])).get(name)

    async def journal(self, place: str, name: str) -> Journal | None:
        """The journal of a campaign, by its URL; None: there is none.

        Raises:
            JournalError: its database cannot be reached.
        """
        at = self._places.get(place)
        return None if at is None else await at.journal(name)

    async def _looks(self, wanted: Iterable[tuple[str, str]]) -> list[Look]:
        wanted = list(wanted)
        by_place = [
            (place, [name for of, name in wanted if of == place.place])
            for place in self._places.values()
        ]
        asked = [(place, names) for place, names in by_place if names]
        answers = await asyncio.gather(*(_found(place, names) for place, names in asked))
        looks = {(look.place, look.name): look for found in answers for look in found.values()}
        return [looks[key] for key in wanted if key in looks]


async def _found(place: FolderLooks | FleetLooks, names: Sequence[str]) -> dict[str, Look]:
    """The looks of a place; none while its database is away."""
    try:
        return await place.looks(names)
    except JournalError:
        return {}
