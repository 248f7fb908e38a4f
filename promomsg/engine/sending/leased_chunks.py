"""The chunks that this process has leased: taken ahead of need, completed, given back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import anyio

from promomsg.channels.base import Channel
from promomsg.clock import Clock
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.sending.result_batches import LeasedChunk
from promomsg.journal.contract import Handle
from promomsg.model import SingleSend

__all__ = ["LEASE_LIFE", "LeasedChunks"]

LEASE_LIFE: Final = 120.0
"""Seconds after which another machine may take a chunk over, unless it is renewed."""
_FEW: Final = 100
"""How many are at hand at the least before the next chunk is asked for."""
_OPEN: Final = 4
"""Chunks held at once at the most: with retries under way, the memory of a campaign."""


class LeasedChunks:
    """Leases on chunks of singles.

    Args:
        vault: the user tokens; None for channels without them.
        enough: recipients at hand below which the next chunk is taken.
        arrived: called when a chunk has come, or none is left.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        clock: Clock,
        tokens: RecipientTokens | None,
        enough: int,
        arrived: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._clock = clock
        self._tokens = tokens
        self._enough = max(enough, _FEW)
        self._arrived = arrived
        self._slots: list[LeasedChunk] = []
        self._finished: list[LeasedChunk] = []
        self._taking = False
        self.dry = False
        """Whether the journal had nothing more to hand out when it was last asked."""

    @property
    def idle(self) -> bool:
        """Whether no chunk is held and none is on its way."""
        return not self._slots and not self._taking

    def exhausted(self) -> bool:
        """Whether nothing is held and the journal has nothing more to hand out."""
        return self.dry and self.idle

    def fresh(self, most: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """Up to `most` recipients of one chunk that were not intended yet."""
        for slot in self._slots:
            if slot.fresh:
                count = min(most, len(slot.fresh))
                return slot, [slot.fresh.popleft() for _ in range(count)]
        return None

    def return_items(self, slot: LeasedChunk, single_sends: list[SingleSend]) -> None:
        """Hands these back, to be given out again."""
        slot.fresh.extendleft(reversed(single_sends))

    @property
    def has_fresh(self) -> bool:
        """Whether somebody in the chunks at hand was not intended yet."""
        return any(slot.fresh for slot in self._slots)

    @property
    def next_is_in_doubt(self) -> bool:
        """Whether an earlier attempt for whoever comes next may have arrived."""
        return next((slot.fresh[0].maybe_sent for slot in self._slots if slot.fresh), False)

    @property
    def fresh_left(self) -> int:
        """How many in the chunks at hand were not intended yet."""
        return sum(len(slot.fresh) for slot in self._slots)

    def holds(self, slot: LeasedChunk) -> bool:
        """Whether it is still ours and open."""
        return slot in self._slots

    def close(self, slot: LeasedChunk, count: int) -> None:
        """So many more of a chunk are through with this run."""
        slot.open -= count
        if slot.open <= 0:
            self._let_go(slot)

    def abandon(self, slot: LeasedChunk) -> bool:
        """The lease moved on, or its rows did: gives it back, to take afresh what is pending."""
        self.dry = False
        return self._let_go(slot)

    def _let_go(self, slot: LeasedChunk) -> bool:
        if slot not in self._slots:
            return False
        self._slots.remove(slot)
        self._finished.append(slot)
        return True

    async def release_finished(self) -> None:
        """Gives back what was let go."""
        while self._finished:
            await self._handle.release(self._finished.pop().lease)

    async def release_all(self) -> None:
        """Gives everything back."""
        self._finished += self._slots
        self._slots = []
        await self.release_finished()

    def look_ahead(self, tasks: anyio.abc.TaskGroup) -> None:
        """Takes the next chunk before these end."""
        if self._taking or self.dry or len(self._slots) >= _OPEN:
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
                for slot in list(self._slots):
                    # After a freeze, or a clock set forward, our own would look abandoned: it would
                    # be taken once more, and the results of its calls under way be shut out.
                    await self.renew(slot, now)
                lease = await self._handle.take(groups=False, singles=True, now=now, ttl=LEASE_LIFE)
                if lease is None:
                    self.dry = True
                elif lease.single_sends:
                    self.dry = False
                    self._add_tokens_and_ids(lease.single_sends)
                    self._slots.append(LeasedChunk(lease))
                else:
                    await self._handle.release(lease)
        finally:
            self._taking = False
            self._arrived()

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

    async def renew(self, slot: LeasedChunk, now: float) -> bool:
        """Keeps a lease alive; False when it has moved on."""
        if slot.lease.deadline - now >= LEASE_LIFE / 2:
            return True
        renewed = await self._handle.renew(slot.lease, now=now, ttl=LEASE_LIFE)
        if renewed is None:
            return False
        slot.lease = renewed
        return True
