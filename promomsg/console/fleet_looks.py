"""The campaigns of a fleet's database as they were seen last; a database that is away holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from promomsg.console.console_types import Listed, Look, PlaceName
from promomsg.console.look_cache import LookCache
from promomsg.console.one_look import FLEET, look_at_seen
from promomsg.errors import JournalError, UsageError
from promomsg.fleet.fleet import Fleet
from promomsg.journal.contract import Journal

if TYPE_CHECKING:
    from promomsg.fleet.worker_table import FleetWorker

__all__ = ["FleetLooks"]

T = TypeVar("T")

_WITHIN: Final = 5.0
"""Seconds after which a page is shown without what the database has not said yet."""
_NO_ANSWER: Final = "the database does not answer"


class FleetLooks:
    """Looks at the campaigns of a database.

    Args:
        fleet: which one.
        url: of it, as libpq takes it.
        cache: looks that are still good.
    """

    def __init__(self, fleet: Fleet, url: str, cache: LookCache) -> None:
        self.place = FLEET
        self._fleet = fleet
        self._url = url
        self._cache = cache
        self._turn = asyncio.Lock()
        # Its own threads: while the database hangs, files are read.
        self._threads = CapacityLimiter(3)

    @property
    def shown(self) -> str:
        """The database, for people: without user and password."""
        return self._fleet.place

    async def newest(self, after: Listed | None, most: int) -> tuple[list[Listed], PlaceName]:
        """The first campaigns behind `after`, or of all, by when they were begun; and what is known of the
        database."""
        from promomsg.fleet.fleet_campaign import newest_campaigns

        before = None
        if after is not None:
            # Among those of one moment every other place is before or behind all of this one.
            first = "" if after.place > FLEET else "\U0010ffff"
            is_ours = after.place == FLEET and self._may_be_one(after.name)
            before = (after.at, after.name if is_ours else first)
        work = partial(newest_campaigns, self._url, before, most)
        try:
            seen, number = await self._asked(work)
        except JournalError as error:
            return [], PlaceName(place=FLEET, shown=self._fleet.place, error=str(error))
        for one in seen:
            self._cache.keep(look_at_seen(one))
        listed = [Listed(one.campaign.created_at, FLEET, one.campaign.name) for one in seen]
        return listed, PlaceName(place=FLEET, shown=self._fleet.place, campaigns=number)

    async def looks(self, names: Sequence[str]) -> dict[str, Look]:
        """The campaigns of these names that there are, each as it stands now.

        Raises:
            JournalError: the database cannot be reached, or does not answer.
        """
        from promomsg.fleet.fleet_campaign import seen_campaigns

        found: dict[str, Look] = {}
        async with self._turn:
            stale = []
            for name in filter(self._may_be_one, names):
                look = self._cache.good((FLEET, name))
                if look is None:
                    stale.append(name)
                else:
                    found[name] = look
            if stale:
                for one in await self._asked(partial(seen_campaigns, self._url, stale)):
                    found[one.campaign.name] = self._cache.keep(look_at_seen(one))
        return found

    async def journal(self, name: str) -> Journal | None:
        """The journal of a campaign that there is; None: there is none of this name.

        Raises:
            JournalError: the database cannot be reached, or does not answer.
        """
        return self._fleet.journal(name) if name in await self.looks([name]) else None

    async def workers(self) -> list[FleetWorker]:
        """Every worker of the database, by name.

        Raises:
            JournalError: the database cannot be reached, or does not answer.
        """
        from promomsg.fleet.fleet_campaign import workers_now

        return await self._asked(partial(workers_now, self._url))

    def _may_be_one(self, name: str) -> bool:
        """Whether a campaign can have this name; the database takes not every text of a URL for one."""
        try:
            self._fleet.journal(name)
        except UsageError:
            return False
        return True

    async def _asked(self, work: Callable[[], T]) -> T:
        try:
            with anyio.fail_after(_WITHIN):
                # The thread is left to the connection's own time limits.
                return await to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)
        except TimeoutError:
            raise JournalError(f"{self._fleet.place}: {_NO_ANSWER}") from None
