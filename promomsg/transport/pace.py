"""How fast an account may call: what a user says, and the rate limiters that hold it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import UsageError
from promomsg.transport.quota.process_limiter import ProcessLimiter
from promomsg.transport.rate_limit import GUARD
from promomsg.url_origins import origin

if TYPE_CHECKING:
    from promomsg.transport.quota.shared_limiter import SharedLimiter
    from promomsg.transport.quota.store import QuotaStore

__all__ = ["DEFAULT_SINGLES_PER_SECOND", "Pace", "Pacer"]

DEFAULT_SINGLES_PER_SECOND: Final = 50.0
"""The pace of single sends when nobody says one: the providers publish none, and this is a pace
that the promoter API's daily quotas bear (docs/design.md, "Pace")."""


_LEAVES_IN: Final = 2.0
"""Seconds to give back what was taken of the shared quota, before it is left to run out."""
_QUOTAS: Final = (
    "singles_per_second",
    "singles_per_minute",
    "singles_per_day",
    "groups_per_minute",
)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast to call. Leave everything out for what the provider advises, else 50 a second.

    A quota holds in *any* window of its length, counted at the server, as long as two calls do not
    come more than 30 ms (the guard) closer together on their way; the guard costs 3% of a
    per-second quota. Several quotas hold together. A fraction is a quota of a longer or shorter
    window: 0.5 a second is one in 2 s, 2.5 a second is 2 in 0.8 s. Single sends go in bunches, what
    may go within about a quarter of a second together: 50 a second is 12 to 19 at once, three or four
    times a second.

    Attributes:
        singles_per_second: single sends in any second.
        singles_per_minute: single sends in any minute.
        singles_per_day: single sends in a China-time calendar day.
        groups_per_minute: group sends in any minute.
        unlimited: no quota at all, until the provider throttles; excludes the others.
        shared_quota: everybody who sends for the account shares its windows and its day: on this machine
            in a file of your state folder, and with a campaign in a database on every machine that sends
            from that (docs/design.md, "One account"); False: each client for itself.

    Raises:
        UsageError: a number that is not above zero, or `unlimited` together with a quota.
    """

    singles_per_second: float | None = None
    singles_per_minute: float | None = None
    singles_per_day: int | None = None
    groups_per_minute: float | None = None
    unlimited: bool = False
    shared_quota: bool = True

    def __post_init__(self) -> None:
        given = [name for name in _QUOTAS if getattr(self, name) is not None]
        for name in given:
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value <= 0:
                raise UsageError(f"Pace({name}={value!r}): give a number above 0")
            if name == "singles_per_day" and value != int(value):
                raise UsageError(f"Pace({name}={value!r}): give a whole number")
        for name in ("unlimited", "shared_quota"):
            if not isinstance(value := getattr(self, name), bool):
                raise UsageError(f"Pace({name}={value!r}): give True or False")
        if self.unlimited and given:
            raise UsageError(f"Pace(unlimited=True, {given[0]}=…): give one or the other, not both")


class Pacer:
    """The quotas of one account.

    Args:
        pace: the user's; None for what `configure` will say, and 50 singles a second until then.
        clock: where the time comes from.
        guard: seconds by which two calls may come closer together on their way to the server.
        account: channel, base URL and account, whose quota is shared on this machine, or through a
            database (`shared_through`); None: it is this client's own.

    Attributes:
        singles, groups: the rate limiter of each kind of call.
        day_limit: single sends in a China-time day; None for no limit.
        configured: whether the user or the provider set the pace of single sends.
        pace: what is in force.
    """

    def __init__(
        self,
        pace: Pace | None = None,
        clock: Clock = SYSTEM_CLOCK,
        *,
        guard: float = GUARD,
        account: tuple[str, str, str] | None = None,
    ) -> None:
        if pace is not None and not isinstance(pace, Pace):
            raise UsageError(f"pace={pace!r}: give a Pace, Pace(singles_per_second=50) say")
        self._given = given = pace or Pace()
        # A clock of the caller's own says nothing to other processes.
        shares = given.shared_quota and not given.unlimited and clock is SYSTEM_CLOCK
        self._shared: tuple[SharedLimiter, ...] = ()
        self._store: QuotaStore | None = None
        self._senders = self._keepers = 0
        """Blocks of `shared_through` that are open, and those of the database that the quota is taken from."""
        self._changing = asyncio.Lock()
        self.singles: ProcessLimiter
        self.groups: ProcessLimiter
        if account is not None and shares:
            # Loaded for a pace that is shared.
            from promomsg.transport.quota.quota_file import QuotaFile, quota_file_name
            from promomsg.transport.quota.shared_limiter import SharedLimiter

            channel, base_url, name = account
            self._store = store = QuotaFile(quota_file_name(channel, origin(base_url), name))
            self.singles = singles = SharedLimiter(store, "singles", clock, guard=guard)
            self.groups = groups = SharedLimiter(store, "groups", clock, guard=guard)
            self._shared = (singles, groups)
        else:
            self.singles = ProcessLimiter(clock, guard=guard)
            self.groups = ProcessLimiter(clock, guard=guard)
        self.configured = False
        self._apply(self._given)

    @property
    def day_limit(self) -> int | None:
        return self.singles.day_limit

    @property
    def shares(self) -> bool:
        """Whether the quota is the account's for all who send for it, and not this client's alone."""
        return bool(self._shared) and not self.pace.unlimited

    async def open(self) -> None:
        """Looks whether the account's quota can be shared; `trouble` says what came of it.

        Raises:
            JournalError: it is kept in a database that cannot be used.
        """
        for limiter in self._shared:
            await limiter.open()

    async def leave(self) -> None:
        """Nothing more is to be sent for now: what was taken of the shared quota goes back."""
        for limiter in self._shared:
            await limiter.leave()

    @asynccontextmanager
    async def shared_through(self, store: QuotaStore | None) -> AsyncIterator[str]:
        """A block in which somebody sends for the account.

        Args:
            store: the account's rows in a database. They take the file's place for everything that calls
                through this client, and keep it when the block is over. While a block with another
                database's is open these are not used. None: what is used already.

        Yields:
            Why the quota is not shared with everybody whom it should be shared with; empty when it is.

        Raises:
            JournalError: the rows cannot be used.
        """
        kept, clash = await self._keep(store)
        self._senders += 1
        try:
            await self.open()
            yield clash or self.trouble
        finally:
            self._senders -= 1
            with anyio.CancelScope(shield=True):
                if not self._senders:
                    with anyio.move_on_after(_LEAVES_IN):
                        await self.leave()
                if kept is not None:
                    self._keepers -= 1
                    if not self._keepers:
                        await kept.close()

    async def _keep(self, store: QuotaStore | None) -> tuple[QuotaStore | None, str]:
        """Has the quota taken from `store`.

        Returns:
            What is kept open for that; None: nothing is. And why it is not taken from it, else empty.
        """
        if store is None or self._store is None:
            return None, ""
        async with self._changing:
            used = self._store
            if store.key != used.key and self._keepers:
                return None, (
                    f"the quota is not shared with senders of {store.where}: another campaign of this client "
                    f"shares it through {used.where}; give each database's campaigns a client of their own, "
                    "and divide the quota between the two"
                )
            if store.key != used.key:
                for limiter in self._shared:
                    await limiter.use(store)
                self._store = store
                await used.close()
            self._store.keep_open()
            self._keepers += 1
            return self._store, ""

    @property
    def away(self) -> str:
        """Why nothing may be sent before a database answers; empty when it does, or none is asked."""
        return next((one.away for one in self._shared if one.away), "")

    @property
    def trouble(self) -> str:
        """Why the account's quota is not shared though it should be; empty when it is."""
        found = next((one.trouble for one in self._shared if one.trouble), "")
        return found and f"the quota is not shared with other processes: {found}"

    def configure(self, pace: Pace) -> None:
        """Fills in what the user left open; what the user set stays."""
        given = self._given
        if given.unlimited:
            return
        if _limits_singles(given):
            pace = msgspec.structs.replace(
                pace,
                singles_per_second=given.singles_per_second,
                singles_per_minute=given.singles_per_minute,
                unlimited=False,
            )
        pace = msgspec.structs.replace(pace, shared_quota=given.shared_quota)
        quotas = {
            name: getattr(given, name)
            for name in ("singles_per_day", "groups_per_minute")
            if getattr(given, name) is not None
        }
        if quotas:
            pace = msgspec.structs.replace(pace, unlimited=False, **quotas)
        self._apply(pace)

    def _apply(self, pace: Pace) -> None:
        self.configured = pace.unlimited or _limits_singles(pace)
        per_second = pace.singles_per_second
        if not self.configured:
            per_second = DEFAULT_SINGLES_PER_SECOND
        self.pace = msgspec.structs.replace(pace, singles_per_second=per_second)
        self.singles.set_quotas((per_second, 1.0), (pace.singles_per_minute, 60.0))
        self.groups.set_quotas((pace.groups_per_minute, 60.0))
        day = pace.singles_per_day
        self.singles.day_limit = None if day is None else int(day)


def _limits_singles(pace: Pace) -> bool:
    return pace.singles_per_second is not None or pace.singles_per_minute is not None
