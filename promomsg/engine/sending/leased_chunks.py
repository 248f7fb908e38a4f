"""The chunks that this process has leased: taken ahead of need, completed, given back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import anyio

from promomsg.channels.base import Channel
from promomsg.clock import Clock
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.journal.contract import Handle
from promomsg.journal.records import Lease
from promomsg.model import SingleSend

__all__ = ["LEASE_LIFE", "LeasedChunk", "LeasedChunks"]

LEASE_LIFE: Final = 120.0
"""Seconds after which another machine may take a chunk over, unless it is renewed."""
_FEW: Final = 100
"""How many are at hand at the least before the next chunk is asked for."""
_MOST_HELD: Final = 4
"""Chunks held at once at the most: with retries under way, the memory of a campaign."""


class LeasedChunk:
    """A leased chunk, and what of it is still on its way.

    Attributes:
        lease: as the journal knows it; renewed while it is held.
        fresh: those of it that were not intended yet, in order.
        open: how many of its recipients this run has not finished.
    """

    __slots__ = ("fresh", "lease", "open")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.fresh: deque[SingleSend] = deque(lease.single_sends)
        self.open = len(lease.single_sends)


class LeasedChunks:
    """Leases on chunks of singles.

    Args:
        tokens: the user tokens; None for channels without them.
        enough: recipients at hand below which the next chunk is taken.
        changed: called when a chunk has come, or none is left.

    Attributes:
        exhausted: whether the journal had nothing more to hand out when it was last asked.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        clock: Clock,
        tokens: RecipientTokens | None,
        enough: int,
        changed: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._clock = clock
        self._tokens = tokens
        self._enough = max(enough, _FEW)
        self._changed = changed
        self._held: list[LeasedChunk] = []
        self._finished: list[LeasedChunk] = []
        self._taking = False
        self.exhausted = False

    @property
    def idle(self) -> bool:
        """Whether no chunk is held and none is on its way."""
        return not self._held and not self._taking

    def fresh(self, most: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """Up to `most` recipients of one chunk that were not intended yet; they leave its list."""
        for chunk in self._held:
            if chunk.fresh:
                count = min(most, len(chunk.fresh))
                return chunk, [chunk.fresh.popleft() for _ in range(count)]
        return None

    def return_items(self, chunk: LeasedChunk, single_sends: list[SingleSend]) -> None:
        """Puts back what `fresh` gave out and nobody intended: they come first again."""
        chunk.fresh.extendleft(reversed(single_sends))

    @property
    def has_fresh(self) -> bool:
        """Whether somebody in the chunks at hand was not intended yet."""
        return any(chunk.fresh for chunk in self._held)

    @property
    def next_is_in_doubt(self) -> bool:
        """Whether an earlier attempt for whoever comes next may have arrived."""
        return next((chunk.fresh[0].maybe_sent for chunk in self._held if chunk.fresh), False)

    @property
    def fresh_left(self) -> int:
        """How many in the chunks at hand were not intended yet."""
        return sum(len(chunk.fresh) for chunk in self._held)

    def holds(self, chunk: LeasedChunk) -> bool:
        """Whether it is still ours and open."""
        return chunk in self._held

    def finish(self, chunk: LeasedChunk, count: int) -> None:
        """So many more of a chunk have their final result; once all have, it is given back."""
        chunk.open -= count
        if chunk.open <= 0:
            self._drop(chunk)

    def abandon(self, chunk: LeasedChunk) -> bool:
        """The lease moved on, or its rows did: gives it back, to take afresh what is pending."""
        self.exhausted = False
        return self._drop(chunk)

    def _drop(self, chunk: LeasedChunk) -> bool:
        if chunk not in self._held:
            return False
        self._held.remove(chunk)
        self._finished.append(chunk)
        return True

    async def release_finished(self) -> None:
        """Has the journal know which chunks are no longer held."""
        while self._finished:
            await self._handle.release(self._finished.pop().lease)

    async def release_all(self) -> None:
        """Gives everything back."""
        self._finished += self._held
        self._held = []
        await self.release_finished()

    def look_ahead(self, tasks: anyio.abc.TaskGroup) -> None:
        """Takes the next chunk before these end."""
        if self._taking or self.exhausted or len(self._held) >= _MOST_HELD:
            return
        if self.fresh_left < self._enough:
            self._taking = True
            tasks.start_soon(self.take)

    async def take(self) -> None:
        """Takes the next chunk, if there is one."""
        self._taking = True
        try:
            with anyio.CancelScope(shield=True):
                now = self._clock.time()
                for chunk in list(self._held):
                    # After a freeze, or a clock set forward, our own would look abandoned: it would
                    # be taken once more, and the results of its calls under way be shut out.
                    await self.renew(chunk, now)
                lease = await self._handle.take(groups=False, singles=True, now=now, ttl=LEASE_LIFE)
                if lease is None:
                    self.exhausted = True
                elif lease.single_sends:
                    self.exhausted = False
                    self._add_tokens_and_ids(lease.single_sends)
                    self._held.append(LeasedChunk(lease))
                else:
                    await self._handle.release(lease)
        finally:
            self._taking = False
            self._changed()

    def _add_tokens_and_ids(self, single_sends: Iterable[SingleSend]) -> None:
        """Adds what the journal does not keep: user tokens, and keys that are derived."""
        run_id = self._handle.record.run_id
        bare = self._tokens is None and not self._channel.idempotent
        for single_send in single_sends:
            single_send.earlier = single_send.attempts
            if bare:
                continue
            if self._tokens is not None:
                single_send.token = self._tokens.get(single_send.seq)
            if single_send.request_id is None:
                single_send.request_id = self._channel.request_id(
                    run_id, single_send.key, single_send.generation
                )

    async def renew(self, chunk: LeasedChunk, now: float) -> bool:
        """Keeps a lease alive; False when it has moved on."""
        if chunk.lease.deadline - now >= LEASE_LIFE / 2:
            return True
        renewed = await self._handle.renew(chunk.lease, now=now, ttl=LEASE_LIFE)
        if renewed is None:
            return False
        chunk.lease = renewed
        return True
