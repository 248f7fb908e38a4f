"""A semaphore that its takers share fairly.

`asyncio.Semaphore` hands out its permits in the order of asking, so whoever asks most often gets
the most: a campaign of 64 workers beside one of 2 has 32 times as many calls out. Here each taker
has a share, and a freed permit goes to the waiting share that holds the fewest; among equals, to
the one that was served longest ago, which is round robin.
"""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import heappop, heappush

__all__ = ["FairLimit", "Share"]

_Waiter = tuple["asyncio.Future[int]", int]


class FairLimit:
    """At most `limit` permits out at once.

    Attributes:
        limit: how many; `raise_to` makes it more.
        out: how many are taken.
        contended: whether somebody waits; whoever holds a permit between two uses of it gives it
            back then.
    """

    __slots__ = (
        "_active",
        "_heap",
        "_prompt",
        "_prompt_next",
        "_turn",
        "contended",
        "limit",
        "out",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.out = 0
        self.contended = False
        # (permits held, turn, share) of each share that waits. An entry of a share that has
        # changed since is left in place and passed over.
        self._heap: list[tuple[int, int, Share]] = []
        self._turn = 0
        self._active = 0
        """Shares that hold a permit or wait for one."""
        self._prompt: deque[_Waiter] = deque()
        self._prompt_next = True

    def share(self, *, prompt: bool = False) -> Share:
        """A new taker.

        Args:
            prompt: for small calls that others depend on (tokens, polls): while one of them waits,
                every second freed permit goes to them.
        """
        return Share(self, prompt)

    def raise_to(self, limit: int) -> None:
        """Makes the limit at least this."""
        if limit > self.limit:
            self.limit = limit
            self._hand_out()

    def lend(self, count: int = 1) -> None:
        """Lets others use permits that their holder does not use for a while; negative: no more."""
        self.out -= count
        if self.contended:
            self._hand_out()

    def _line_up(self, share: Share) -> None:
        self._turn += 1
        share.turn = self._turn
        heappush(self._heap, (share.held, share.turn, share))

    def _hand_out(self) -> None:
        """Gives what is free to those who wait."""
        while self.out < self.limit:
            if self._prompt and (self._prompt_next or not self._first()):
                self._prompt_next = False
                waiter, _ = self._prompt.popleft()
                if not waiter.done():
                    self.out += 1
                    waiter.set_result(1)
                continue
            share = self._first()
            if share is None or not self._serve(share):
                break
            self._prompt_next = True
        self.contended = bool(self._prompt) or self._first() is not None

    def _first(self) -> Share | None:
        """The waiting share whose turn it is."""
        heap = self._heap
        while heap:
            held, turn, share = heap[0]
            if share.waiters and turn == share.turn and held == share.held:
                return share
            heappop(heap)
        return None

    def _lacks(self, share: Share) -> int:
        """Permits between what a share holds and its fair part, rounded up; 1 at the least."""
        return max(1, -(-self.limit // max(1, self._active)) - share.held)

    def _serve(self, share: Share) -> bool:
        """Serves it in full; False when not enough is free.

        One that wants many gets what its fair part still lacks, and waits until there is so much:
        whoever took fragments would make small batches for ever, and fall behind.
        """
        waiter, most = share.waiters[0]
        if not waiter.done():
            count, free = min(most, self._lacks(share)), self.limit - self.out
            if count > free:
                if self._active > 1:
                    return False
                count = free
            self.out += count
            share.held += count
            waiter.set_result(count)
        share.waiters.popleft()
        heappop(self._heap)
        if share.waiters:
            self._line_up(share)
        elif not share.held:
            self._active -= 1
        return True


class Share:
    """One taker of a `FairLimit`: a campaign, an account's single calls, the reads of a client."""

    __slots__ = ("_prompt", "held", "limit", "turn", "waiters")

    def __init__(self, limit: FairLimit, prompt: bool) -> None:
        self.limit = limit
        self._prompt = prompt
        self.held = 0
        """Permits that it has now."""
        self.turn = 0
        self.waiters: deque[_Waiter] = deque()

    def take_now(self, most: int = 1) -> int:
        """Takes up to `most` permits that are free; 0 when others wait or none is."""
        limit = self.limit
        free = limit.limit - limit.out
        if limit.contended or free <= 0:
            return 0
        count = most if most < free else free
        if count > 1 and limit._active > 1:
            count = min(count, limit._lacks(self))
        limit.out += count
        if not self._prompt:
            if not self.held:
                limit._active += 1
            self.held += count
        return count

    async def take(self, most: int = 1) -> int:
        """Waits until there is at least one; how many of `most` were taken."""
        count = self.take_now(most)
        if count:
            return count
        limit = self.limit
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiter = (future, 1 if self._prompt else most)
        limit.contended = True
        if self._prompt:
            limit._prompt.append(waiter)
        else:
            if not self.waiters:
                if not self.held:
                    limit._active += 1
                self.waiters.append(waiter)
                limit._line_up(self)
            else:
                self.waiters.append(waiter)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give_back(future.result())
            else:
                self._withdraw(waiter)
            raise

    def give_back(self, count: int = 1) -> None:
        """Gives permits back; the next in line have them at once."""
        limit = self.limit
        limit.out -= count
        if not self._prompt:
            self.held -= count
            if self.waiters:
                heappush(limit._heap, (self.held, self.turn, self))
            elif not self.held:
                limit._active -= 1
        if limit.contended:
            limit._hand_out()

    def close(self) -> None:
        """Gives back whatever is still held; nobody waits with this share any more."""
        if self.held:
            self.give_back(self.held)

    def _withdraw(self, waiter: _Waiter) -> None:
        limit = self.limit
        line = limit._prompt if self._prompt else self.waiters
        if waiter in line:  # else it was passed over already, and its share with it
            line.remove(waiter)
            if not self._prompt and not self.waiters and not self.held:
                limit._active -= 1
        limit._hand_out()
