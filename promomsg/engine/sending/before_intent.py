"""What a batch of single sends waits for while nobody of it is intended yet: a wait here leaves
nobody in doubt (docs/design.md, "The order of a send")."""

from __future__ import annotations

from collections.abc import Callable

from promomsg.channels.base import Channel
from promomsg.engine.sending.brakes.brakes import DayLimit
from promomsg.engine.sending.next_step import Permits
from promomsg.engine.sending.run_control import RunControl, Wakeup
from promomsg.transport.connections import CampaignShare

__all__ = ["BeforeIntent"]


class BeforeIntent:
    """The pace, permits and connections of a campaign's single sends.

    Args:
        today: the user's own limit for the day.
        permits, share: the campaign's permits, and its part of the client's.
        concurrency: calls at once.
        calling: how many calls are under way.
        changed: set when a result is on disk.
    """

    def __init__(
        self,
        channel: Channel,
        control: RunControl,
        today: DayLimit,
        permits: Permits,
        share: CampaignShare,
        concurrency: int,
        calling: Callable[[], int],
        changed: Wakeup,
    ) -> None:
        self._channel = channel
        self._limiter = channel.pacer.singles
        self._control = control
        self._today = today
        self._permits = permits
        self._intents = share.intents
        self._concurrency = concurrency
        self._calling = calling
        self._changed = changed

    async def reserve(self, most: int) -> int:
        """How many may go now, by the day's limit and the pace; 0 when the day is used up."""
        most = self._today.left(most)
        if most:
            return await self._limiter.reserve(most)
        if self._permits.out:
            # What is intended has its place in today's limit: it goes out first.
            await self._changed.wait()
        else:
            self._control.halt_or_wait(self._today.halt())
        return 0

    async def acquire(self, most: int) -> int:
        """Permits of the client for up to so many, with connections open for all of them; the
        caller releases them."""
        count = self._intents.try_acquire(most) or await self._intents.acquire(most)
        lacking = min(self._concurrency, self._permits.out + count) - self._calling()
        if lacking <= 0:
            return count  # they follow calls that are under way, on the same connections
        ready = 0
        try:
            opened = await self._channel.connect_ahead(lacking)
            ready = min(count, max(1, count - lacking + opened))
        finally:
            if ready < count:
                self._intents.release(count - ready)
        return ready
