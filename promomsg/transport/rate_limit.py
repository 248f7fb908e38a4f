"""The rate limiter: how fast calls may go, and the last check right before each call.

What a throttle (a 429, a 45011) does to it over time:

    t = 0 s  throttled: nobody calls for 1 s, or for as long as the provider's Retry-After says
    t = 1    calls go again at 75% of the full pace, and win back 3% of it each second
    t = 9.3  the full pace
    or, when it is throttled again within the first 4 calls after a hold, the provider is still overloaded:
             the hold doubles (2, 4, … 60 s), the pace is halved instead, down to 1/64

Refusals of calls that were out when the hold began count as one with it. After 30 s without one the
next counts as the first again. Without a quota the pace seen last takes the place of the full one,
until it has doubled; then nothing limits it again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Final

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.log_events import log_event
from promomsg.transport.leaky_bucket import TICK, LeakyBucket

__all__ = ["GUARD", "RECOVERY", "WindowLimiter"]

log = logging.getLogger("promomsg.transport")

GUARD: Final = 0.030
"""Seconds by which two calls may come closer together on their way to the server."""
_RECENT: Final = 512
"""Calls whose moments are kept at the least: of these the pace seen last is counted."""
_CUT: Final = 0.75
_DEEP_CUT: Final = 0.5
_SAME_OVERLOAD: Final = 4
"""Calls let through after a hold below which the next refusal counts as the same overload:
the pace is cut deeper and the hold doubled."""
_FLOOR: Final = 1 / 64
"""The smallest share of the full pace."""
RECOVERY: Final = 0.03
"""Of the full pace, won back each second after a hold."""
_FIRST_HOLD: Final = 1.0
_LONGEST_HOLD: Final = 60.0
_CALM: Final = 30.0
"""Seconds without a refusal after which the next one counts as the first again."""
_BUNCH: Final = 0.25 * (1 + GUARD)
"""Seconds whose calls go together, so that they share a commit and a wake-up: a quarter of the
window of a per-second quota, guard included, so that four bunches fill it."""
_MOST_LEAD: Final = 0.1
_LATE: Final = 0.001
"""Calls are intended so long before the gate opens that they come to it this late, in seconds: it
is open to all of them then, in one wake-up."""
_TOGETHER: Final = 0.1
"""Seconds within which the calls may go that go together, as soon as the last of them may: one
wake-up for all. Since they stand together in the window from then on, none waits for it again."""
_ENOUGH: Final = 16
"""Calls at the gate that are enough for one wake-up."""


class _Quota:
    """At most so many calls in any window: the `calls`-th last one must be `span` seconds old."""

    __slots__ = ("calls", "span")

    def __init__(self, calls: float, seconds: float, guard: float) -> None:
        self.calls = max(1, math.floor(calls))
        self.span = seconds * self.calls / calls + guard


class WindowLimiter:
    """One quota of one account, shared by everybody who calls through its channel.

    A call passes twice: `reserve` gives out bunches of calls before their intents are committed (one
    commit, one wake-up and often one settlement for what may go within a quarter of a second), and
    the gate (`try_gate`, or `gate` when that says no) checks each once more right before its call.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, guard: float = GUARD) -> None:
        self._clock = clock
        self._now = clock.monotonic
        self._guard = guard
        self._quotas: tuple[_Quota, ...] = ()
        self._is_unlimited = True
        """No quota and no throttle: nothing has to be counted."""
        self._bucket: LeakyBucket | None = None
        self._reserving = asyncio.Lock()
        self._at_gate: deque[asyncio.Future[None]] = deque()
        """What wakes each of the calls that wait at the gate. The first of them sleeps for all."""
        self._lead = _MOST_LEAD
        """Seconds before the gate opens that calls are intended: what their commits took lately."""
        self._reserved_at: float | None = None
        """When a bunch was given out that has not come to the gate yet."""
        self._admitted_at: deque[float] = deque(maxlen=_RECENT)
        """When the last calls passed the gate; as many as the largest quota needs."""
        self._admitted = 0
        """Calls that passed the gate in all."""
        self._full_rate: float | None = None
        """Calls a second when the pace is not lowered; None: no limit."""
        self._lowered_share: float | None = None
        """What the last throttle left of the full rate; None: it is in force in full."""
        self._recovers_from = 0.0
        self._hold_until: float | None = None
        self._next_hold = _FIRST_HOLD
        self._admitted_at_throttle = -1
        """`_admitted` at the last throttle; -1 before the first."""

    def set_quotas(self, *quotas: tuple[float | None, float]) -> None:
        """Sets the quotas, each `(calls, seconds)`; those with None do not count."""
        self._quotas = tuple(_Quota(n, s, self._guard) for n, s in quotas if n is not None)
        longest = max((q.calls for q in self._quotas), default=0)
        self._admitted_at = deque(self._admitted_at, maxlen=max(longest, _RECENT))
        self._full_rate = min((q.calls / q.span for q in self._quotas), default=None)
        self._lowered_share = None
        self._bucket = None
        self._is_unlimited = not self._quotas and self._hold_until is None

    @property
    def rate(self) -> float | None:
        """Calls a second that it lets through now; None when nothing limits them."""
        share = self._share_in_force(self._now())
        return (
            self._full_rate if share is None or self._full_rate is None else self._full_rate * share
        )

    @property
    def held_until(self) -> float | None:
        """The monotonic time until which nobody may call; None when there is no hold."""
        if self._hold_until is not None and self._now() >= self._hold_until:
            self._hold_until = None
        return self._hold_until

    async def wait_while_held(self) -> None:
        """Returns when there is no hold."""
        while (until := self.held_until) is not None:
            await self._clock.sleep(max(until - self._now(), TICK))

    async def reserve(self, most: int) -> int:
        """Waits until at least one call may be intended.

        Args:
            most: how many the caller has, 1 or more.

        Returns:
            How many of them may go about now: a bunch, or all of them if that is less.
        """
        if self._is_unlimited:
            return most
        async with self._reserving:
            # Those who were intended just now come to the gate first.
            await asyncio.sleep(0)
            while True:
                await self.wait_while_held()
                now = self._now()
                rate = self.rate
                if rate is None:
                    return most
                # A gate that is shut for long is waited for here, where nobody is intended yet; the
                # rest of the wait is left to it: here, it would cost the quota a commit each time.
                together, shut = self._together(now, len(self._at_gate), most)
                if shut > self._lead + _LATE:
                    await self._clock.sleep(shut - self._lead)
                    continue
                bucket = self._bucket
                if bucket is None or abs(bucket.rate - rate) > rate * 0.05:
                    # After a throttle they go one by one: of a whole bunch the first refusal would
                    # come too late for the others.
                    bunch = 1.0 if self._lowered_share is not None else max(1.0, rate * _BUNCH)
                    bucket = self._bucket = LeakyBucket(rate, bunch, self._clock)
                if count := bucket.take(together):
                    self._reserved_at = self._now()
                    return count
                await self._clock.sleep(bucket.wait(together))

    def try_gate(self) -> bool:
        """Admits and records one call if it may go at this very moment."""
        now = self._now()
        if not self._is_unlimited:
            if self._reserved_at is not None:
                took, self._reserved_at = now - self._reserved_at, None
                self._lead = min((self._lead + max(0.0, took - _LATE)) / 2, _MOST_LEAD)
            if self._at_gate or self._wait(now, 0):
                return False
        self._admitted_at.append(now)
        self._admitted += 1
        return True

    async def gate(self, patience: float = 1.0) -> bool:
        """The last check before a call, first come first served.

        Args:
            patience: seconds it may take.

        Returns:
            True: go now, it is recorded. False: it would take longer than `patience`; put the
            recipient back to pending, then `reserve` again.
        """
        if self.try_gate():
            return True
        started = self._now()
        queue = self._at_gate
        if self._wait(started, len(queue)) > patience:
            return False
        turn = _new_future()
        queue.append(turn)
        try:
            while True:
                if queue[0] is not turn and not turn.done():
                    await turn
                now = self._now()
                wait = self._wait(now, 0)
                if not wait:
                    self._admitted_at.append(now)
                    self._admitted += 1
                    return True
                if now + wait > started + patience:
                    return False
                if queue[0] is turn:
                    await asyncio.sleep(0)  # those who came with it stand behind it then
                    now = self._now()
                    _, wait = self._together(now, 0, min(len(queue), _ENOUGH))
                    await self._clock.sleep(min(wait, started + patience - now))
                    self._wake_at_gate()
                else:
                    # Something shut the gate between its waking and now.
                    again = _new_future()
                    queue[queue.index(turn)] = turn = again
        finally:
            queue.remove(turn)
            if queue and not queue[0].done():
                queue[0].set_result(None)

    def _together(self, now: float, ahead: int, most: int) -> tuple[int, float]:
        """How many of up to `most` calls, with `ahead` others before them, go together, and in how
        many seconds: those that may go soon after the first, as soon as all of them may."""
        limit = self._wait(now, ahead) + _TOGETHER
        rest = range(ahead + 1, ahead + most)
        count = bisect_right(rest, limit, key=lambda place: self._wait(now, place))
        return 1 + count, self._wait(now, ahead + count)

    def _wake_at_gate(self) -> None:
        """Wakes those behind the first who may go with it."""
        now = self._now()
        for ahead, turn in enumerate(self._at_gate):
            if self._wait(now, ahead):
                break
            if not turn.done():
                turn.set_result(None)

    def throttled(self, retry_after: float | None = None) -> None:
        """The provider refused a call for its pace: holds everybody, and lowers the pace.

        What it does over time stands at the head of this file.

        Args:
            retry_after: seconds to hold; None for 1 s, doubled up to 60 s when it is refused again
                right after a hold.
        """
        now = self._now()
        same = self.held_until is not None or self._admitted == self._admitted_at_throttle
        if not same:
            share = self._share_in_force(now)
            going_on = (
                self._admitted_at_throttle >= 0
                and self._admitted - self._admitted_at_throttle < _SAME_OVERLOAD
                and now - self._recovers_from <= _CALM
            )
            if not going_on:
                self._next_hold = _FIRST_HOLD
            if self._full_rate is None:
                self._full_rate = self._recent_rate(now)
            self._lowered_share = max(
                _FLOOR, (1.0 if share is None else share) * (_DEEP_CUT if going_on else _CUT)
            )
            self._admitted_at_throttle = self._admitted
        seconds = self._next_hold if retry_after is None else max(0.0, retry_after)
        if not same:
            self._next_hold = min(_LONGEST_HOLD, self._next_hold * 2)
        elif retry_after is None:
            seconds = 0.0
        self._hold_until = max(self._hold_until or 0.0, now + seconds)
        self._recovers_from = max(self._recovers_from, self._hold_until)
        self._is_unlimited = False
        if not same:
            log_event(
                log,
                "hold",
                "the provider asks for fewer calls: nothing goes out for %(seconds).1f s",
                level=logging.WARNING,
                seconds=round(seconds, 3),
                asked_for=retry_after,
            )

    def count_earlier(self, times: Iterable[float], now_wall: float) -> None:
        """Counts the intents of an earlier process in the windows.

        Args:
            times: when, Unix seconds, in any order; a time in the future counts as now.
            now_wall: the Unix time now.
        """
        now = self._now()
        earlier = [now - max(0.0, now_wall - at) for at in times]
        self._admitted_at = deque(
            sorted([*earlier, *self._admitted_at]), maxlen=self._admitted_at.maxlen
        )

    def _recent_rate(self, now: float) -> float:
        """Calls a second lately; 1 at the least, since a rate needs a beginning."""
        recent = [at for at in self._admitted_at if now - at <= 5.0]
        if len(recent) < 2:
            return 1.0
        return max(1.0, len(recent) / max(now - recent[0], 0.1))

    def _share_in_force(self, now: float) -> float | None:
        """The share of the full pace in force; None when it is not lowered."""
        if self._lowered_share is None:
            return None
        share = self._lowered_share + max(0.0, now - self._recovers_from) * RECOVERY
        # Without a quota the pace seen last may have been far under what the provider bears, so
        # it is let go only after it has been doubled.
        if share < (1.0 if self._quotas else 2.0):
            return share
        self._lowered_share = None
        self._bucket = None
        if not self._quotas:
            self._full_rate = None
            self._is_unlimited = True
        return None

    def _wait(self, now: float, ahead: int) -> float:
        """Seconds until a call with `ahead` others before it may pass; 0: now."""
        earliest = now
        if self._hold_until is not None:
            if now < self._hold_until:
                earliest = self._hold_until
            else:
                self._hold_until = None
        log = self._admitted_at
        size = len(log)
        for quota in self._quotas:
            earliest = max(earliest, _opens_at(log, size, quota.calls, quota.span, ahead, now))
        if self._lowered_share is not None and (share := self._share_in_force(now)) is not None:
            rate = (self._full_rate or 1.0) * share
            calls = min(_RECENT, max(1, int(rate * 0.2)))
            earliest = max(earliest, _opens_at(log, size, calls, calls / rate, ahead, now))
        wait = earliest - now
        return wait if wait > TICK else 0.0


def _new_future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def _opens_at(
    log: deque[float], size: int, calls: int, span: float, ahead: int, now: float
) -> float:
    """When the calls-th last call is `span` old, once `ahead` more have gone as soon as they may."""
    turns, place = divmod(ahead, calls)
    if size >= calls - place:
        return log[place - calls] + span * (turns + 1)
    return now + span * turns
