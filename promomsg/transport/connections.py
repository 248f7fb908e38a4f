"""How many calls of one client are out at once, and how its campaigns share them.

There are two semaphores. A call holds one of `max_connections` permits for as long as it is out. A
campaign's recipients are intended (written down as about to be sent) a little ahead of their calls,
so that no worker waits for the disk: at most twice as many, over all campaigns of the client. The
permits of both are shared fairly, and acquired before the intent is written, so that waiting for
one leaves nobody in doubt.
"""

from __future__ import annotations

import logging
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
import msgspec

from promomsg import open_file_limit
from promomsg.errors import UsageError
from promomsg.transport.fair_semaphore import FairSemaphore, SemaphoreShare

__all__ = ["MAX_CONNECTIONS", "CampaignShare", "Connections", "most_connections"]

log = logging.getLogger("promomsg.transport")

MAX_CONNECTIONS: Final = 100
"""Calls of one client that are out at once, unless something else is said."""
_AT_ONCE: Final = 8
"""Campaigns that the permits of intents are shared by at once. Each batch is two commits of a
campaign's own journal, which cost about as much for one recipient as for all: with 100 campaigns
and two permits each, they would be four fifths of all CPU time."""


def most_connections(wanted: int) -> int:
    """So many, but never over half of what `ulimit -n` allows: journals and files need the rest."""
    allowed = open_file_limit.limit()
    return wanted if allowed is None else max(1, min(wanted, allowed // 2))


class CampaignShare(msgspec.Struct, frozen=True):
    """One campaign's part of a client's permits."""

    calls: SemaphoreShare
    """Permits of calls: each is held while a call is out."""
    intents: SemaphoreShare
    """Held from before the intent is written until the result is on disk."""

    def close(self) -> None:
        """Releases whatever the campaign still holds."""
        self.calls.close()
        self.intents.close()


class Connections:
    """The limits of one client.

    Args:
        most: calls out at once, 1 or more; at most half of `ulimit -n`, and at most what `ceiling`
            says.
        ceiling: what the connection pool of somebody else's session allows; None: nothing.

    Raises:
        UsageError: `most` is not a whole number of 1 or more.
    """

    def __init__(self, most: int = MAX_CONNECTIONS, *, ceiling: int | None = None) -> None:
        check_max_connections(most)
        self._ceiling = ceiling
        most = self._allowed(most)
        self.calls = FairSemaphore(most)
        self.intents = FairSemaphore(2 * most, at_once=_AT_ONCE)
        self.reads = self.calls.share(priority=True)
        """Of every call that is no send: tokens, polls, lists. They do not starve behind sends."""

    @classmethod
    def of_pool(cls, pool: aiohttp.BaseConnector, most: int) -> Connections:
        """Those of a pool that was passed in: all clients on it share one limit."""
        found = _OF_POOL.get(pool)
        if found is None:
            limits = (pool.limit, getattr(pool, "limit_per_host", 0))
            found = cls(most, ceiling=min((n for n in limits if n), default=None))
            _OF_POOL[pool] = found
        else:
            check_max_connections(most)
            found.raise_to(most)
        return found

    @property
    def most(self) -> int:
        """Calls out at once, at the most."""
        return self.calls.limit

    def raise_to(self, wanted: int) -> None:
        """Makes it at least so many, as far as `ulimit -n` allows."""
        if wanted <= self.most:
            return
        most = self._allowed(wanted)
        if most < wanted and most > self.most:
            log.warning(
                "%d connections are wanted, %d is the most here: half of ulimit -n, or the limit "
                "of the session that was passed in",
                wanted,
                most,
            )
        self.calls.raise_to(most)
        self.intents.raise_to(2 * most)

    def campaign(self) -> CampaignShare:
        """The part of a campaign that begins."""
        return CampaignShare(self.calls.share(), self.intents.share())

    def _allowed(self, wanted: int) -> int:
        if self._ceiling is not None:
            wanted = min(wanted, self._ceiling)
        return most_connections(wanted)


_OF_POOL: WeakKeyDictionary[aiohttp.BaseConnector, Connections] = WeakKeyDictionary()


def check_max_connections(value: object) -> None:
    """Raises UsageError for what is not a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"max_connections={value!r}: a whole number of 1 or more")
