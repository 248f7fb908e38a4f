"""The quota of an account, shared with whoever else sends for it (docs/design.md, "One account").

Before anybody is intended, `reserve` takes calls from the account's row, a bunch or some at a time
(`promomsg.transport.quota.bunches`): one transaction each half second for a sender that is alone. The
gate lets a call through in the time of a bunch that has one left, if the window of this process has room
too. What did not go is told with the next transaction.

Where a file cannot be used, the quota is this process's own; that is said once (`trouble`), and tried
again a minute later. A database is needed by all: while it is away, what was given may be used within
its time, and nothing new goes out until it answers.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import JournalError
from promomsg.transport.quota.bunches import ALIVE, answer
from promomsg.transport.quota.given_bunch import GivenBunch
from promomsg.transport.quota.process_limiter import ProcessLimiter
from promomsg.transport.quota.quota_state import BunchReport, BunchRequest, Grant, QuotaState
from promomsg.transport.quota.store import QuotaStore, QuotaStoreAway, QuotaStoreError
from promomsg.transport.rate_limit import GUARD, RECOVERY

__all__ = ["SharedLimiter"]

log = logging.getLogger("promomsg.transport")

_HEARD_EVERY: Final = 0.75
"""Seconds after which the row is looked at again before anybody may go: a hold is in it."""
_TRIED_EVERY: Final = 60.0
"""Seconds after which a store that could not be used is tried again."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
"""Seconds before a store that is away is asked again: twice as many after each time, up to this."""
_WAITS_FOR_OTHERS: Final = 1.0
"""Seconds for which a used-up day is not believed while others may give some of it back."""
_QUICK: Final = 0.004
"""Seconds from `reserve` to the gate that need no head start."""
_LONGEST_START: Final = 0.1
_TICK: Final = 1e-4


class SharedLimiter(ProcessLimiter):
    """One kind of call of one account, shared through a store.

    Args:
        store: where its senders meet.
        kind: `singles` or `groups`.

    Attributes:
        trouble: why the store cannot be used; empty when it can.
        away: why one that is needed cannot be asked now; empty when it can.
    """

    def __init__(
        self, store: QuotaStore, kind: str, clock: Clock = SYSTEM_CLOCK, *, guard: float = GUARD
    ) -> None:
        super().__init__(clock, guard=guard)
        self._store = store
        self._kind = kind
        self._sender = os.urandom(6).hex()
        self._sharing = False
        """Whether calls are taken from the row: there is a quota, and the store can be used."""
        self.trouble = ""
        self._tried_at = 0.0
        self._refusal = ""
        """Why a store that is needed cannot be used."""
        self._pause = self._asks_again_at = 0.0
        """Seconds until a store that is away is asked again, and when that is."""
        self._mine: deque[GivenBunch] = deque()
        """What is not over, in order."""
        self._reports: list[BunchReport] = []
        self._number = 0
        self._taking = asyncio.Lock()
        self._at_the_gate = asyncio.Lock()
        self._talking = asyncio.Lock()
        self._waiting = 0
        """Calls that wait at the gate."""
        self._heard_at: float | None = None
        self._given_since = 0
        """Calls that `reserve` gave out since the last transaction."""
        self._day_left: int | None = None
        self._day_limit: int | None = None
        self._on_their_way = 0
        self._called_today = ("", 0)
        """What a journal knows of a day."""
        self._start = 0.0
        """Seconds by which `reserve` is ahead of a bunch's time: what it takes to reach the gate."""
        self._given_at = 0.0

    def set_quotas(self, *quotas: tuple[float | None, float]) -> None:
        """As `WindowLimiter.set_quotas`."""
        super().set_quotas(*quotas)
        self._sharing = bool(self._quotas) and not self.trouble

    @property
    def limit_today(self) -> int | None:
        return self._day_limit if self._sharing else self.day_limit

    def count_today(self, count: int) -> None:
        """As `RateLimiter.count_today`."""
        super().count_today(count)
        self._called_today = max(self._called_today, (self._today(), count))

    def give_back(self, count: int) -> None:
        """As `RateLimiter.give_back`."""
        if not self._sharing:
            super().give_back(count)
            return
        for mine in reversed(self._mine):
            back = min(count, mine.given - mine.passed)
            mine.given -= back
            count -= back

    # Before the intent.

    async def reserve(self, most: int) -> int:
        """As `RateLimiter.reserve`."""
        if not self._sharing and not self._may_try_again():
            return await super().reserve(most)
        async with self._taking:
            count = await self._take(most)
        return await super().reserve(most) if count is None else count

    def _may_try_again(self) -> bool:
        if not self._quotas or self._now() < self._tried_at + _TRIED_EVERY:
            return False
        self._sharing = True
        return True

    async def _take(self, most: int) -> int | None:
        """Waits for a bunch; None when there is nothing to share."""
        patient_until: float | None = None
        while True:
            await self.wait_while_held()
            now = self._now()
            mine = self._next_to_give(now)
            heard = self._heard_at is not None and now - self._heard_at < _HEARD_EVERY
            if mine is not None and (heard or self.away):
                wait = mine.opens - self._start - now
                if wait <= _TICK:
                    count = min(most, mine.calls - mine.given)
                    mine.given += count
                    self._given_since += count
                    self._given_at = now
                    return count
                await self._clock.sleep(min(wait, _HEARD_EVERY))
                continue
            if not await self._talk(0 if mine is not None else most):
                return None
            self._raise_refusal()
            if self._day_left == 0 and self._next_to_give(now) is None and not self.held_until:
                waits = self._waits_for_others()
                patient_until = patient_until or now + waits
                if not waits or now >= patient_until:
                    return 0
                await self._clock.sleep(0.1)

    def _waits_for_others(self) -> float:
        """Seconds for which a used-up day is not believed."""
        own, lowest = self.day_limit, self._day_limit
        if lowest is not None and (own is None or lowest < own):
            return ALIVE + 1.0  # somebody's lower limit, who may be gone
        # Somebody who was given calls of the day may not need all of them.
        return _WAITS_FOR_OTHERS if self._on_their_way else 0.0

    def _next_to_give(self, now: float) -> GivenBunch | None:
        """The first bunch with calls that nobody has been given."""
        self._end_closed(now)
        # Who waits at the gate because their bunch is over goes with a later one.
        owed = self._waiting - sum(mine.given - mine.passed for mine in self._mine)
        today = self._today() if self.day_limit is not None else None
        for mine in self._mine:
            if today is not None and mine.day != today:
                continue
            if owed > 0:
                taken = min(owed, mine.calls - mine.given)
                mine.given += taken
                owed -= taken
            if mine.given < mine.calls:
                return mine
        return None

    # The gate.

    def try_gate(self) -> bool:
        """As `RateLimiter.try_gate`."""
        if not self._sharing:
            return super().try_gate()
        return not self._waiting and self._pass(self._now())

    def _pass(self, now: float) -> bool:
        """Lets one call through if a bunch has one left, and this process's window has room."""
        mine = self._open(now)
        if mine is None or now < mine.opens or not super().try_gate():
            return False
        if not mine.passed:
            late = now - max(mine.opens - self._start, self._given_at)
            wanted = min(_LONGEST_START, max(0.0, late - _QUICK))
            self._start += (wanted - self._start) / 4
        mine.passed += 1
        mine.last = now
        if mine.passed == mine.calls:
            self._end(self._mine.popleft())
        return True

    def _open(self, now: float) -> GivenBunch | None:
        """The first bunch that is not over."""
        self._end_closed(now)
        return self._mine[0] if self._mine else None

    def _end_closed(self, now: float) -> None:
        while self._mine and self._mine[0].closes < now:
            self._end(self._mine.popleft())

    def _end(self, mine: GivenBunch) -> None:
        last = mine.last if mine.passed else mine.opens
        self._reports.append(BunchReport(mine.number, mine.passed, self._store.to_stored(last)))

    async def gate(self, patience: float = 1.0) -> bool:
        """As `RateLimiter.gate`."""
        if not self._sharing:
            return await super().gate(patience)
        if self.try_gate():
            return True
        until = self._now() + patience
        self._waiting += 1
        try:
            async with self._at_the_gate:
                while True:
                    now = self._now()
                    held = self.held_until
                    if now > until or (held is not None and held > until):
                        return False
                    if held is not None:
                        await self._clock.sleep(held - now)
                        continue
                    if self._pass(now):
                        return True
                    mine = self._open(now)
                    if mine is None:
                        if not await self._talk(self._waiting):
                            return await super().gate(max(0.0, until - self._now()))
                        if self._open(self._now()) is None and self.held_until is None:
                            return False  # the day is used up
                        continue
                    wait = max(mine.opens - now, self._wait(now, 0), _TICK)
                    if now + wait > until:
                        return False
                    await self._clock.sleep(wait)
        finally:
            self._waiting -= 1

    # The row.

    def throttled(self, retry_after: float | None = None) -> None:
        """As `RateLimiter.throttled`; the others know it with their next look at the row."""
        super().throttled(retry_after)
        if not self._sharing:
            return
        self._mine_are_over()
        with suppress(RuntimeError):  # without an event loop it is told with the next request
            told = self._store.submit(self._kind, self._step(0))
            told.add_done_callback(lambda future: future.cancelled() or future.exception())

    def _mine_are_over(self) -> None:
        """What was given out at the pace from before goes back."""
        while self._mine:
            self._end(self._mine.popleft())

    async def _talk(self, most: int, *, leaves: bool = False) -> bool:
        """One transaction: tells what went, and takes calls; False: nothing is shared any more."""
        async with self._talking:
            if most and self._next_to_give(self._now()) is not None:
                return True  # somebody else has just taken some
            if self.away:
                if leaves:
                    return True
                await self._clock.sleep(max(0.0, self._asks_again_at - self._now()))
            store, told = self._store, self._reports[:]
            future = store.submit(self._kind, self._step(most, leaves=leaves))
            # What is given to somebody who is cancelled meanwhile is there for the next one.
            future.add_done_callback(lambda done: self._hear(done, store, told))
            with suppress(QuotaStoreError):
                await asyncio.shield(future)
        return self._sharing

    def _step(self, most: int, *, leaves: bool = False) -> Callable[[QuotaState, float], Grant]:
        """The request of this moment, as a change of the row."""
        stored = self._store.to_stored
        held, share = self.held_until, self._lowered_share
        today = self._today()
        request = BunchRequest(
            sender=self._sender,
            quotas=tuple((quota.calls, quota.span) for quota in self._quotas),
            day=today,
            day_limit=self.day_limit,
            most=most,
            wants=2 * self._given_since,
            number=self._number,
            spread=self._store.spread,
            reports=self._reports[:],
            hold_until=0.0 if held is None else stored(held),
            share=share,
            recovers_from=0.0 if share is None else stored(self._recovers_from),
            called_today=self._called_today[1] if self._called_today[0] == today else 0,
            leaves=leaves,
        )
        return lambda state, now: answer(state, request, now)

    def _hear(
        self, future: asyncio.Future[Grant], store: QuotaStore, told: Iterable[BunchReport]
    ) -> None:
        """Takes what a transaction came to."""
        if future.cancelled():
            return
        now = self._now()
        error = future.exception()
        if store is not self._store:
            return
        if error is not None:
            if isinstance(error, QuotaStoreError):
                self._store_failed(error, now)
            return  # whoever waits for it has it
        self.away, self._refusal, self._pause = "", "", 0.0
        if self.trouble:
            self.trouble = ""
            log.info("the quota of the account is shared again")
        grant = future.result()
        gone = {report.number for report in told}
        self._reports = [report for report in self._reports if report.number not in gone]
        self._given_since = 0
        self._day_left, self._day_limit = grant.day_left, grant.day_limit
        self._on_their_way = grant.on_their_way
        local = store.to_local
        self._heard_at = local(grant.now)
        for bunch in grant.bunches:
            self._number = bunch.number + 1
            self._mine.append(GivenBunch(bunch, store))
        for mine in self._mine:
            mine.closes = min(mine.until, store.to_local_by(grant.now) + ALIVE - 1.0)
        if grant.hold_until > grant.now:
            self._hold_until = max(self._hold_until or 0.0, local(grant.hold_until))
        if grant.share is not None:
            since = local(grant.recovers_from)
            own = self._share_in_force(now)
            theirs = grant.share + max(0.0, now - since) * RECOVERY
            if own is None or theirs < own:
                self._lowered_share, self._recovers_from = grant.share, since

    def _store_failed(self, error: QuotaStoreError, now: float) -> None:
        if not self._store.is_needed:
            self._give_up(error, now)
        elif isinstance(error, QuotaStoreAway):
            if not self.away:
                log.warning("nothing goes out until the quota of the account can be had: %s", error)
            self.away = str(error)
            self._pause = min(2 * self._pause or _FIRST_PAUSE, _LONGEST_PAUSE)
            self._asks_again_at = now + self._pause
        else:
            self._refusal = str(error)

    def _raise_refusal(self) -> None:
        if self._refusal:
            raise JournalError(self._refusal)

    def _give_up(self, error: QuotaStoreError, now: float) -> None:
        """From here on the quota is this process's own."""
        if not self.trouble:
            log.warning("the quota of the account is not shared: %s", error)
        self.trouble = str(error)
        self._sharing = False
        self._tried_at = now
        self._mine.clear()

    async def use(self, store: QuotaStore) -> None:
        """From now on the quota is shared through this store; what was taken from the one before goes
        back to it."""
        await self.leave()
        async with self._talking:
            self._store = store
            self._mine.clear()
            self._reports.clear()
            self._heard_at = self._day_left = self._day_limit = None
            self._on_their_way = 0
            self.trouble = self.away = self._refusal = ""
            self._pause = 0.0
            self._sharing = bool(self._quotas)

    async def open(self) -> None:
        """Looks at the row for the first time; `trouble` says what came of it.

        Raises:
            JournalError: it is a database's, and cannot be used.
        """
        if self._sharing and self._heard_at is None:
            await self._talk(0)
            self._raise_refusal()

    async def leave(self) -> None:
        """Gives back what is not needed: nothing more is to be sent for now."""
        if not self._sharing or self._heard_at is None:
            return
        for mine in list(self._mine):
            if mine.given == mine.passed:
                self._mine.remove(mine)
                self._end(mine)
        await self._talk(0, leaves=not self._mine)
