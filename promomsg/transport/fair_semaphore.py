"""A semaphore whose permits are shared fairly among those who acquire them.

`asyncio.Semaphore` hands out its permits in the order of asking, so whoever asks most often gets
the most: a campaign of 64 workers beside one of 2 has 32 times as many calls out. Here each
campaign has a share, and a released permit goes to the waiting share that holds the fewest; among
equals, to the one that was given the fewest so far, and then in turn (start-time fair queueing:
Goyal, Vin and Cheng, 1996). A share that came late with its asking, since its disk was slow, makes
up for it; one that did not ask for long is owed no more than one round of all permits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import heappop, heappush

__all__ = ["FairSemaphore", "SemaphoreShare"]

_Waiter = tuple["asyncio.Future[int]", int]
"""What wakes it, with the number of permits it gets, and how many it wants."""


class FairSemaphore:
    """At most `limit` permits in use at once.

    Args:
        at_once: shares that the permits are enough for, when more than so many want some; None: as
            many as there are permits.

    Attributes:
        limit: how many; `raise_to` makes it more.
        in_use: how many are acquired.
        has_waiters: whether somebody waits; whoever keeps a permit between two uses of it
            releases it then.
    """

    __slots__ = (
        "_active",
        "_at_once",
        "_batch",
        "_given",
        "_heap",
        "_priority_is_next",
        "_priority_waiters",
        "_turn",
        "has_waiters",
        "in_use",
        "limit",
    )

    def __init__(self, limit: int, *, at_once: int | None = None) -> None:
        self.limit = limit
        self._at_once = at_once
        self._batch = self._least_part()
        """What a share may have at its turn, however many there are."""
        self.in_use = 0
        self.has_waiters = False
        # (whole batches held, permits given, turn, permits held, share) of each share that waits. An
        # entry is not removed when its share changes: `_next_share` passes over those out of date.
        self._heap: list[tuple[int, int, int, int, SemaphoreShare]] = []
        self._turn = 0
        self._given = 0
        """Permits given so far to the share that was served last: what the others are compared to."""
        self._active = 0
        """Shares that hold a permit or wait for one."""
        self._priority_waiters: deque[_Waiter] = deque()
        self._priority_is_next = True

    def share(self, *, priority: bool = False) -> SemaphoreShare:
        """A new share.

        Args:
            priority: for small calls that others depend on (tokens, polls): while one of them
                waits, every second released permit goes to them.
        """
        return SemaphoreShare(self, priority)

    def raise_to(self, limit: int) -> None:
        """Makes the limit at least this."""
        if limit > self.limit:
            self.limit = limit
            self._batch = self._least_part()
            self._grant_free()

    def _least_part(self) -> int:
        return 1 if self._at_once is None else max(1, self.limit // self._at_once)

    def yield_permit(self) -> None:
        """Lets others use a permit that its holder does not need for a while."""
        self.in_use -= 1
        if self.has_waiters:
            self._grant_free()

    def reclaim_permit(self) -> None:
        """Its holder has the permit again, at once: `in_use` may be over the limit until others
        release theirs."""
        self.in_use += 1
        if self.has_waiters:
            self._grant_free()

    def _enqueue(self, share: SemaphoreShare) -> None:
        self._turn += 1
        share.turn = self._turn
        share.given = max(share.given, self._given - self.limit)
        self._push(share)

    def _push(self, share: SemaphoreShare) -> None:
        held = share.held
        heappush(self._heap, (held // self._batch, share.given, share.turn, held, share))

    def _grant_free(self) -> None:
        """Gives the free permits to those who wait."""
        while self.in_use < self.limit:
            if self._priority_waiters and (self._priority_is_next or not self._next_share()):
                self._priority_is_next = False
                waiter, _ = self._priority_waiters.popleft()
                if not waiter.done():
                    self.in_use += 1
                    waiter.set_result(1)
                continue
            share = self._next_share()
            if share is None or not self._grant(share):
                break
            self._priority_is_next = True
        self.has_waiters = bool(self._priority_waiters) or self._next_share() is not None

    def _next_share(self) -> SemaphoreShare | None:
        """The waiting share whose turn it is."""
        heap = self._heap
        while heap:
            _, _, turn, held, share = heap[0]
            if share.waiters and turn == share.turn and held == share.held:
                return share
            heappop(heap)
        return None

    def _fair_part_left(self, share: SemaphoreShare) -> int:
        """Permits between what a share holds and its fair part, rounded up; 1 at the least.

        One that is behind the others may have four times its part, until it has caught up.
        """
        part = -(-self.limit // max(1, self._active))
        behind = min(3 * part, max(0, self._given - share.given))
        return max(1, max(part, self._batch) + behind - share.held)

    def _grant(self, share: SemaphoreShare) -> bool:
        """Gives its first waiter all that it may have; False when not enough is free.

        One that wants many gets what its fair part still lacks, and waits until so much is free:
        whoever took fragments would make small batches for ever, and fall behind.
        """
        waiter, most = share.waiters[0]
        if not waiter.done():
            count, free = min(most, self._fair_part_left(share)), self.limit - self.in_use
            if count > free:
                if self._active > 1:
                    return False
                count = free
            self.in_use += count
            share.held += count
            self._given = share.given
            share.given += count
            waiter.set_result(count)
        share.waiters.popleft()
        heappop(self._heap)
        if share.waiters:
            self._enqueue(share)
        elif not share.held:
            self._active -= 1
        return True


class SemaphoreShare:
    """Part of a `FairSemaphore`: a campaign's, an account's single calls', a client's reads'."""

    __slots__ = ("_has_priority", "given", "held", "semaphore", "turn", "waiters")

    def __init__(self, semaphore: FairSemaphore, priority: bool) -> None:
        self.semaphore = semaphore
        self._has_priority = priority
        self.held = 0
        """Permits that it has now."""
        self.given = semaphore._given
        """Permits that it was given so far, counted from what the others had when it began."""
        self.turn = 0
        self.waiters: deque[_Waiter] = deque()

    def try_acquire(self, most: int = 1) -> int:
        """Acquires up to `most` permits that are free; 0 when others wait or none is."""
        semaphore = self.semaphore
        free = semaphore.limit - semaphore.in_use
        if semaphore.has_waiters or free <= 0:
            return 0
        count = most if most < free else free
        if count > 1 and semaphore._active > 1:
            count = min(count, semaphore._fair_part_left(self))
        semaphore.in_use += count
        if not self._has_priority:
            if not self.held:
                semaphore._active += 1
            self.held += count
            semaphore._given = self.given
            self.given += count
        return count

    async def acquire(self, most: int = 1) -> int:
        """Waits until there is at least one; how many of `most` were acquired."""
        count = self.try_acquire(most)
        if count:
            return count
        semaphore = self.semaphore
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiter = (future, 1 if self._has_priority else most)
        semaphore.has_waiters = True
        if self._has_priority:
            semaphore._priority_waiters.append(waiter)
        else:
            if not self.waiters:
                if not self.held:
                    semaphore._active += 1
                self.waiters.append(waiter)
                semaphore._enqueue(self)
            else:
                self.waiters.append(waiter)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result())
            else:
                self._remove_waiter(waiter)
            raise

    def release(self, count: int = 1) -> None:
        """Releases permits; those who wait have them at once."""
        semaphore = self.semaphore
        semaphore.in_use -= count
        if not self._has_priority:
            self.held -= count
            if self.waiters:
                semaphore._push(self)
            elif not self.held:
                semaphore._active -= 1
        if semaphore.has_waiters:
            semaphore._grant_free()

    def close(self) -> None:
        """Releases whatever is still held; nobody waits with this share any more."""
        if self.held:
            self.release(self.held)

    def _remove_waiter(self, waiter: _Waiter) -> None:
        semaphore = self.semaphore
        queue = semaphore._priority_waiters if self._has_priority else self.waiters
        if waiter in queue:  # else it was passed over already, and its share with it
            queue.remove(waiter)
            if not self._has_priority and not self.waiters and not self.held:
                semaphore._active -= 1
        semaphore._grant_free()
