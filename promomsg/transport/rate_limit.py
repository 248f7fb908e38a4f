"""Quotas: how fast calls may go, what holds them, and the last word right before the wire."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
from aiolimiter import AsyncLimiter

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import UsageError

__all__ = ["DEFAULT_SINGLES_PER_SECOND", "Pace", "Pacer", "RateLimiter"]

DEFAULT_SINGLES_PER_SECOND: Final = 50.0
"""The pace of single sends when nobody says one: the providers publish none, and this is a pace
that the promoter API's daily quotas bear (DESIGN §5)."""

_GUARD: Final = 0.030
"""Seconds by which two calls may come closer together on their way to the server."""
_TICK: Final = 1e-6
"""No sleep is shorter: what floating point leaves over is not worth a turn."""
_RECENT: Final = 512
_CUT: Final = 0.75
_DEEP_CUT: Final = 0.5
_AT_ONCE: Final = 4
"""Calls let through after a hold below which the next refusal counts as the same trouble going on:
the pace is cut deeper and the hold doubled."""
_FLOOR: Final = 1 / 64
_RECOVERY: Final = 0.03
"""Of the full pace, regained each second after a hold."""
_FIRST_HOLD: Final = 1.0
_LONGEST_HOLD: Final = 60.0
_CALM: Final = 30.0
"""Seconds without a refusal after which the next one counts as the first again."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast to call. Leave everything out for what the provider advises, else 50 a second.

    A quota holds in *any* window of its length, counted at the server, as long as two calls do not
    come more than 30 ms (the guard) closer together on their way; the guard costs 3% of a
    per-second quota. Several quotas hold together. A fraction is a quota of a longer or shorter
    window: 0.5 a second is one in 2 s, 2.5 a second is 2 in 0.8 s.

    Attributes:
        singles_per_second: single sends in any second.
        singles_per_minute: single sends in any minute.
        singles_per_day: single sends in a China-time calendar day, counted by the journal.
        groups_per_minute: group sends in any minute.
        unlimited: no quota at all, until the provider throttles; excludes the others.

    Raises:
        UsageError: a number that is not above zero, or `unlimited` together with a quota.
    """

    singles_per_second: float | None = None
    singles_per_minute: float | None = None
    singles_per_day: int | None = None
    groups_per_minute: float | None = None
    unlimited: bool = False

    def __post_init__(self) -> None:
        given = [name for name in self.__struct_fields__[:-1] if getattr(self, name) is not None]
        for name in given:
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value <= 0:
                raise UsageError(f"Pace({name}={value!r}): give a number above 0")
            if name == "singles_per_day" and value != int(value):
                raise UsageError(f"Pace({name}={value!r}): give a whole number")
        if not isinstance(self.unlimited, bool):
            raise UsageError(f"Pace(unlimited={self.unlimited!r}): give True or False")
        if self.unlimited and given:
            raise UsageError(f"Pace(unlimited=True, {given[0]}=…): give one or the other, not both")


class _Window:
    """At most `quota` calls in any `seconds`; `span` is how old the quota-th last must be."""

    __slots__ = ("quota", "span")

    def __init__(self, calls: float, seconds: float, guard: float) -> None:
        self.quota = max(1, math.floor(calls))
        self.span = seconds * self.quota / calls + guard


class _Spacer(AsyncLimiter):
    """aiolimiter's leaky bucket on the clock that was passed in instead of the event loop's.

    The bucket holds one call and 50 ms' worth: enough to make up for a timer that fired late. Its
    usual size, a whole period's worth, lets nearly twice the quota pass in the first window.
    """

    __slots__ = ("rate", "time")

    def __init__(self, rate: float, clock: Clock) -> None:
        burst = 1 + rate * 0.05
        super().__init__(burst, burst / rate)
        self.rate = rate
        self.time = clock.monotonic

    @property
    def _loop(self) -> _Spacer:  # type: ignore[override]  # all it is asked for here is time()
        return self

    def take(self, most: int) -> int:
        """Fills the bucket by up to `most` calls; how many there was room for."""
        self._leak()
        count = min(most, int(self.max_rate - self._level + 1e-9))
        self._level += max(count, 0)
        return max(count, 0)

    def wait(self) -> float:
        """Seconds until there is room for one."""
        return max(_TICK, (self._level + 1 - self.max_rate) / self.rate)


class RateLimiter:
    """One quota of one account, shared by everybody who calls through its channel.

    A call passes twice: `reserve` spaces calls before their intents are committed, and the gate
    (`try_gate`, or `gate` when that says no) has the last word right before the wire, because the
    commit in between bunches what was spaced.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, guard: float = _GUARD) -> None:
        self._clock = clock
        self._now = clock.monotonic
        self._guard = guard
        self._windows: tuple[_Window, ...] = ()
        self._log: deque[float] = deque(maxlen=_RECENT)
        self._spacer: _Spacer | None = None
        self._free = True
        self._reserving = asyncio.Lock()
        self._gating = asyncio.Lock()
        self._queued = 0
        self._hold: float | None = None
        self._full: float | None = None  # calls a second when not lowered; None is no limit
        self._lowered: float | None = None  # the share of it left after a throttle
        self._since = 0.0
        self._admitted = 0
        self._at_throttle = -1
        self._next_hold = _FIRST_HOLD

    def limit(self, *quotas: tuple[float | None, float]) -> None:
        """Sets the quotas, each `(calls, seconds)`; those with None do not count."""
        self._windows = tuple(_Window(n, s, self._guard) for n, s in quotas if n is not None)
        longest = max((w.quota for w in self._windows), default=0)
        self._log = deque(self._log, maxlen=max(longest, _RECENT))
        self._full = min((w.quota / w.span for w in self._windows), default=None)
        self._lowered = None
        self._spacer = None
        self._free = not self._windows and self._hold is None

    @property
    def rate(self) -> float | None:
        """Calls a second that this lane lets through now; None when nothing limits it."""
        share = self._share(self._now())
        return self._full if share is None or self._full is None else self._full * share

    @property
    def held_until(self) -> float | None:
        """The monotonic time until which nobody may call; None when there is no hold."""
        if self._hold is not None and self._now() >= self._hold:
            self._hold = None
        return self._hold

    async def wait_while_held(self) -> None:
        """Returns when there is no hold."""
        while (until := self.held_until) is not None:
            await self._clock.sleep(max(until - self._now(), _TICK))

    async def reserve(self, most: int) -> int:
        """Waits until at least one call may be intended.

        Args:
            most: how many the caller has, 1 or more.

        Returns:
            How many of them may go about now, 1 to `most`; all when nothing limits the lane.
        """
        if self._free:
            return most
        async with self._reserving:
            while True:
                await self.wait_while_held()
                now = self._now()
                rate = self.rate
                if rate is None:
                    return most
                # A gate that is shut for long (just resumed, just throttled) is waited for here,
                # where nobody is intended yet. A short wait is left to it: waiting here as well
                # would cost the quota one commit each time.
                shut = self._wait(now, 0)
                if shut > 0.25:
                    await self._clock.sleep(shut - 0.1)
                    continue
                spacer = self._spacer
                if spacer is None or abs(spacer.rate - rate) > rate * 0.05:
                    spacer = self._spacer = _Spacer(rate, self._clock)
                if count := spacer.take(most):
                    return count
                await self._clock.sleep(spacer.wait())

    def try_gate(self) -> bool:
        """Admits and records one call if it may go at this very moment."""
        now = self._now()
        if not self._free and (self._queued or self._wait(now, 0)):
            return False
        self._log.append(now)
        self._admitted += 1
        return True

    async def gate(self, patience: float = 1.0) -> bool:
        """The last word before the wire, first come first served.

        Args:
            patience: seconds it may take.

        Returns:
            True: go now, it is recorded. False: it would take longer than `patience`; put the
            recipient back to pending, then `reserve` again.
        """
        if self.try_gate():
            return True
        started = self._now()
        if self._wait(started, self._queued) > patience:
            return False
        self._queued += 1
        try:
            # Whoever holds the lock sleeps for all: the rest neither polls nor holds a timer, and
            # as many as the window allows follow it without a sleep of their own.
            async with self._gating:
                while True:
                    now = self._now()
                    wait = self._wait(now, 0)
                    if not wait:
                        self._log.append(now)
                        self._admitted += 1
                        return True
                    if now + wait > started + patience:
                        return False
                    await self._clock.sleep(wait)
        finally:
            self._queued -= 1

    def throttled(self, retry_after: float | None = None) -> None:
        """The provider said: slower. Holds everybody, and lowers the pace.

        The pace goes down by a quarter, by half when it is refused again right after a hold, and
        comes back by 3% of the full one each second. On a lane without a quota the pace seen last
        is what goes down. Refusals of calls that were already out when the hold began count as
        one with it.

        Args:
            retry_after: seconds to hold; None for 1 s, doubled up to 60 s when it is refused again
                right after a hold.
        """
        now = self._now()
        same = self.held_until is not None or self._admitted == self._at_throttle
        if not same:
            share = self._share(now)
            going_on = (
                self._at_throttle >= 0
                and self._admitted - self._at_throttle < _AT_ONCE
                and now - self._since <= _CALM
            )
            if not going_on:
                self._next_hold = _FIRST_HOLD
            if self._full is None:
                self._full = self._seen(now)
            self._lowered = max(
                _FLOOR, (1.0 if share is None else share) * (_DEEP_CUT if going_on else _CUT)
            )
            self._at_throttle = self._admitted
        seconds = self._next_hold if retry_after is None else max(0.0, retry_after)
        if not same:
            self._next_hold = min(_LONGEST_HOLD, self._next_hold * 2)
        elif retry_after is None:
            seconds = 0.0
        self._hold = max(self._hold or 0.0, now + seconds)
        self._since = max(self._since, self._hold)
        self._free = False

    def count_earlier(self, times: Iterable[float], now_wall: float) -> None:
        """Counts the intents of an earlier process in the windows.

        Args:
            times: when, Unix seconds, in any order; a time in the future counts as now.
            now_wall: the Unix time now.
        """
        now = self._now()
        earlier = [now - max(0.0, now_wall - at) for at in times]
        self._log = deque(sorted([*earlier, *self._log]), maxlen=self._log.maxlen)

    def _seen(self, now: float) -> float:
        """Calls a second lately; 1 at the least, since a rate needs a beginning."""
        recent = [at for at in self._log if now - at <= 5.0]
        if len(recent) < 2:
            return 1.0
        return max(1.0, len(recent) / max(now - recent[0], 0.1))

    def _share(self, now: float) -> float | None:
        """The share of the full pace in force; None when it is not lowered."""
        if self._lowered is None:
            return None
        share = self._lowered + max(0.0, now - self._since) * _RECOVERY
        # Without a quota the pace seen last may have been far under what the provider bears, so
        # it is let go only after it has been doubled.
        if share < (1.0 if self._windows else 2.0):
            return share
        self._lowered = None
        self._spacer = None
        if not self._windows:
            self._full = None
            self._free = True
        return None

    def _wait(self, now: float, ahead: int) -> float:
        """Seconds until a call with `ahead` others before it may pass; 0: now."""
        earliest = now
        if self._hold is not None:
            if now < self._hold:
                earliest = self._hold
            else:
                self._hold = None
        log = self._log
        size = len(log)
        for window in self._windows:
            earliest = max(earliest, _opens(log, size, window.quota, window.span, ahead, now))
        if self._lowered is not None and (share := self._share(now)) is not None:
            rate = (self._full or 1.0) * share
            quota = min(_RECENT, max(1, int(rate * 0.2)))
            earliest = max(earliest, _opens(log, size, quota, quota / rate, ahead, now))
        wait = earliest - now
        return wait if wait > _TICK else 0.0


def _opens(log: deque[float], size: int, quota: int, span: float, ahead: int, now: float) -> float:
    """When the quota-th last call is old enough, once `ahead` more have gone as soon as they may."""
    turns, place = divmod(ahead, quota)
    if size >= quota - place:
        return log[place - quota] + span * (turns + 1)
    return now + span * turns


class Pacer:
    """The quotas of one account.

    Args:
        pace: the user's; None for what `configure` will say, and 50 singles a second until then.
        clock: where the time comes from.
        guard: seconds by which two calls may come closer together on their way to the server.

    Attributes:
        singles, groups: the lanes.
        day_limit: single sends in a China-time day, for the engine to count; None for no limit.
        configured: whether the pace of single sends was said by somebody.
        pace: what is in force.
    """

    def __init__(
        self, pace: Pace | None = None, clock: Clock = SYSTEM_CLOCK, *, guard: float = _GUARD
    ) -> None:
        if pace is not None and not isinstance(pace, Pace):
            raise UsageError(f"pace={pace!r}: give a Pace, Pace(singles_per_second=50) say")
        self.singles = RateLimiter(clock, guard=guard)
        self.groups = RateLimiter(clock, guard=guard)
        self.day_limit: int | None = None
        self.configured = False
        self._given = pace or Pace()
        self._apply(self._given)

    def configure(self, pace: Pace) -> None:
        """Fills in what the user left open; what the user said stays."""
        given = self._given
        if given.unlimited:
            return
        if _paced(given):
            pace = msgspec.structs.replace(
                pace,
                singles_per_second=given.singles_per_second,
                singles_per_minute=given.singles_per_minute,
                unlimited=False,
            )
        quotas = {
            name: getattr(given, name)
            for name in ("singles_per_day", "groups_per_minute")
            if getattr(given, name) is not None
        }
        if quotas:
            pace = msgspec.structs.replace(pace, unlimited=False, **quotas)
        self._apply(pace)

    def _apply(self, pace: Pace) -> None:
        self.configured = pace.unlimited or _paced(pace)
        per_second = pace.singles_per_second
        if not self.configured:
            per_second = DEFAULT_SINGLES_PER_SECOND
        self.pace = msgspec.structs.replace(pace, singles_per_second=per_second)
        self.singles.limit((per_second, 1.0), (pace.singles_per_minute, 60.0))
        self.groups.limit((pace.groups_per_minute, 60.0))
        self.day_limit = None if pace.singles_per_day is None else int(pace.singles_per_day)


def _paced(pace: Pace) -> bool:
    return pace.singles_per_second is not None or pace.singles_per_minute is not None
