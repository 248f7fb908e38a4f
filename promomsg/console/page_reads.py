"""What pages ask of one campaign's journal beside its look: people, a message's values, outcomes over time.
Plain calls, in threads; what scans all recipients is done seldom."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread

from promomsg.clock import SYSTEM_CLOCK, china_day
from promomsg.console.console_types import Look
from promomsg.console.one_look import FLEET
from promomsg.journal.contract import CampaignView, Journal
from promomsg.timeline import Timeline

__all__ = ["PageReads"]

T = TypeVar("T")

_REST: Final = 50
"""So many times as long as a scan took is the time until the next one, at least: it costs 2% of one core."""
_DETAILS_FOR: Final = 10.0
_MOST_KEPT: Final = 64
_STEPS: Final = 60
"""Stretches of time of a chart."""


class _Scanned(NamedTuple):
    timeline: Timeline
    settled: int
    until: float


class _Details(NamedTuple):
    of: Look
    detailed: Look
    singles: int
    values: tuple[str, ...] | None
    until: float


class PageReads:
    """Reads journals for pages.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = SYSTEM_CLOCK.monotonic) -> None:
        self._now = now
        self._readers = CapacityLimiter(3)
        self._scans = asyncio.Lock()
        self._details: OrderedDict[tuple[str, str], _Details] = OrderedDict()
        self._timelines: OrderedDict[tuple[str, str], _Scanned] = OrderedDict()

    async def view(self, journal: Journal, work: Callable[[CampaignView], T]) -> T:
        """What `work` makes of a journal, which is open for that call.

        Raises:
            JournalError: it cannot be read.
        """

        def read() -> T:
            view = journal.reader()
            try:
                return work(view)
            finally:
                view.close()

        return await to_thread.run_sync(read, limiter=self._readers)

    async def details(self, look: Look, journal: Journal) -> tuple[Look, tuple[str, ...] | None]:
        """The look with the single sends of this day, and values of a real recipient for its message. The
        values, and in a fleet what the account sent, are as they were up to ten seconds ago.

        Raises:
            JournalError: it cannot be read.
        """
        key, day = (look.place, look.name), china_day(look.at)
        found = self._details.pop(key, None)
        if found is None or self._now() > found.until:

            def read(view: CampaignView) -> tuple[int, tuple[str, ...] | None]:
                return view.singles_of(day).singles, view.sample_values()

            singles, values = await self.view(journal, read)
            found = _detailed(look, singles, values, self._now() + _DETAILS_FOR)
        elif found.of is not look:
            singles = found.singles
            if look.place != FLEET:
                # Of a file it is one row, and stands beside counts of this moment.
                singles = await self.view(journal, lambda view: view.singles_of(day).singles)
            found = _detailed(look, singles, found.values, found.until)
        self._details[key] = found
        while len(self._details) > _MOST_KEPT:
            self._details.popitem(last=False)
        return found.detailed, found.values

    async def timeline(self, look: Look) -> Timeline:
        """Outcomes over time of a campaign that can be read. It is a scan of all recipients: one at a time, and
        of each campaign so seldom that a sender does not feel it.

        Raises:
            JournalError: it cannot be read.
        """
        report = look.report
        assert report is not None
        key, settled = (look.place, look.name), report.planned - report.pending
        async with self._scans:
            scanned = self._timelines.pop(key, None)
            if scanned is None or (scanned.settled != settled and self._now() > scanned.until):
                at = self._now()
                contents = await to_thread.run_sync(report.contents, limiter=self._readers)
                now = self._now()
                scanned = _Scanned(contents.timeline, settled, now + _REST * (now - at))
            self._timelines[key] = scanned
            while len(self._timelines) > _MOST_KEPT:
                self._timelines.popitem(last=False)
        return scanned.timeline


def _detailed(look: Look, singles: int, values: tuple[str, ...] | None, until: float) -> _Details:
    detailed = msgspec.structs.replace(look, singles_today=singles)
    return _Details(look, detailed, singles, values, until)
