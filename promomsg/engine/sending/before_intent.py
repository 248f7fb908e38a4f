"""What a batch of single sends waits for while nobody of it is intended yet: a wait here leaves
nobody in doubt (docs/design.md, "The order of a send")."""

from __future__ import annotations

from collections.abc import Callable

from promomsg.channels.base import Channel
from promomsg.clock import Clock, china_day
from promomsg.engine.sending.decision import Halt
from promomsg.engine.sending.next_step import Permits
from promomsg.engine.sending.run_control import RunControl
from promomsg.transport.connections import CampaignShare
from promomsg.transport.quota.limiter import SINGLES_PER_DAY
from promomsg.wakeup import Wakeup

__all__ = ["BeforeIntent"]


class BeforeIntent:
    """The pace, permits and connections of a campaign's single sends.

    Args:
        permits, share: the campaign's permits, and its part of the client's.
        concurrency: calls at once.
        calling: how many calls are under way.
        changed: set when a result is on disk.
    """

    def __init__(
        self,
        channel: Channel,
        control: RunControl,
        clock: Clock,
        permits: Permits,
        share: CampaignShare,
        concurrency: int,
        calling: Callable[[], int],
        changed: Wakeup,
    ) -> None:
        self._channel = channel
        self._limiter = channel.pacer.singles
        self._control = control
        self._clock = clock
        self._permits = permits
        self._intents = share.intents
        self._concurrency = concurrency
        self._calling = calling
        self._changed = changed

    async def reserve(self, most: int) -> int:
        """How many may go now, by the day's limit and the pace; 0 when the day is used up."""
        count = await self._limiter.reserve(most)
        if count:
            return count
        if self._permits.out:
            # What is intended has its place in today's limit: it goes out first.
            await self._changed.wait()
        else:
            limit, day = self._limiter.limit_today, china_day(self._clock.time())
            used_up = f"the pace's {limit} singles of {day} are used up"
            self._control.halt_or_wait(Halt(SINGLES_PER_DAY, used_up))
        return 0

    def give_back(self, count: int) -> None:
        """So many of those that might go were not called: the day's limit has them again."""
        self._limiter.give_back(count)

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
