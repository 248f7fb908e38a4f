"""The chunks that this process has leased: taken ahead of need, completed, given back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import anyio
import msgspec

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
_MOST_WAITING: Final = 2_048
"""Recipients at hand who are not final and not on their way, at the most: those not tried yet and
those who wait for a retry. With those on their way, it is the memory of a campaign. Chunks are not
counted: one recipient whose answer is slow keeps a chunk open, and one in a hundred would keep
nearly all of them open."""


class LeasedChunk:
    """A leased chunk, and what of it is still on its way.

    Attributes:
        lease: as the journal knows it, without its recipients; renewed while it is held.
        fresh: those of it that were not intended yet, in order.
        open: how many of its recipients this run has not finished.
    """

    __slots__ = ("fresh", "lease", "open")

    def __init__(self, lease: Lease) -> None:
        # Those who are final are not kept in memory for the one who is not.
        self.lease = msgspec.structs.replace(lease, single_sends=())
        self.fresh: deque[SingleSend] = deque(lease.single_sends)
        self.open = len(lease.single_sends)


class LeasedChunks:
    """Leases on chunks of singles.

    Args:
        tokens: the user tokens; None for channels without them.
        enough: recipients at hand below which the next chunk is taken.
        on_their_way: how many are intended and not settled.
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
        on_their_way: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._clock = clock
        self._tokens = tokens
        self._enough = max(enough, _FEW)
        self._on_their_way = on_their_way
        self._changed = changed
        self._held: dict[LeasedChunk, None] = {}
        self._untried: deque[LeasedChunk] = deque()
        """Those of `_held` with recipients who were not intended yet, in order."""
        self._open = 0
        """Recipients of `_held` who are not final."""
        self._finished: list[LeasedChunk] = []
        self._taking = False
        self.exhausted = False

    @property
    def idle(self) -> bool:
        """Whether no chunk is held and none is on its way."""
        return not self._held and not self._taking

    def fresh(self, most: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """Up to `most` recipients of one chunk that were not intended yet; they leave its list."""
        if not self._untried:
            return None
        chunk = self._untried[0]
        fresh = chunk.fresh
        count = min(most, len(fresh))
        taken = [fresh.popleft() for _ in range(count)]
        if not fresh:
            self._untried.popleft()
        return chunk, taken

    def return_items(self, chunk: LeasedChunk, single_sends: list[SingleSend]) -> None:
        """Puts back what `fresh` gave out and nobody intended: they come first again."""
        if single_sends and chunk in self._held and not chunk.fresh:
            self._untried.appendleft(chunk)
        chunk.fresh.extendleft(reversed(single_sends))

    @property
    def has_fresh(self) -> bool:
        """Whether somebody in the chunks at hand was not intended yet."""
        return bool(self._untried)

    @property
    def next_is_in_doubt(self) -> bool:
        """Whether an earlier attempt for whoever comes next may have arrived."""
        return bool(self._untried) and self._untried[0].fresh[0].maybe_sent

    @property
    def fresh_left(self) -> int:
        """How many in the chunks at hand were not intended yet."""
        return sum(len(chunk.fresh) for chunk in self._untried)

    def holds(self, chunk: LeasedChunk) -> bool:
        """Whether it is still ours and open."""
        return chunk in self._held

    def finish(self, chunk: LeasedChunk, count: int) -> None:
        """So many more of a chunk have their final result; once all have, it is given back."""
        chunk.open -= count
        if chunk in self._held:
            self._open -= count
        if chunk.open <= 0:
            self._drop(chunk)

    def abandon(self, chunk: LeasedChunk) -> bool:
        """The lease moved on, or its rows did: gives it back, to take afresh what is pending."""
        self.exhausted = False
        return self._drop(chunk)

    def _drop(self, chunk: LeasedChunk) -> bool:
        if chunk not in self._held:
            return False
        del self._held[chunk]
        self._open -= chunk.open
        if chunk in self._untried:
            self._untried.remove(chunk)
        self._finished.append(chunk)
        return True

    async def release_finished(self) -> None:
        """Has the journal know which chunks are no longer held."""
        while self._finished:
            await self._handle.release(self._finished.pop().lease)

    async def release_all(self) -> None:
        """Gives everything back."""
        self._finished += self._held
        self._held = {}
        self._untried.clear()
        self._open = 0
        await self.release_finished()

    def look_ahead(self, tasks: anyio.abc.TaskGroup) -> None:
        """Takes the next chunk before these end."""
        if self._taking or self.exhausted or self.fresh_left >= self._enough:
            return
        if self._open - self._on_their_way() < _MOST_WAITING:
            self._taking = True
            tasks.start_soon(self.take)

    async def take(self) -> None:
        """Takes the next chunk, if there is one."""
        self._taking = True
        try:
            with anyio.CancelScope(shield=True):
                now = self._clock.time()
                # After a freeze, or a clock set forward, our own would look abandoned: one would
                # be taken once more, and the results of its calls under way be shut out.
                async with anyio.create_task_group() as together:
                    for chunk in self._held:
                        if _is_to_be_renewed(chunk.lease, now):
                            together.start_soon(self.renew, chunk, now)
                lease = await self._handle.take(groups=False, singles=True, now=now, ttl=LEASE_LIFE)
                if lease is None:
                    self.exhausted = True
                elif lease.single_sends:
                    self.exhausted = False
                    await self._add_tokens_and_ids(lease.single_sends)
                    chunk = LeasedChunk(lease)
                    self._held[chunk] = None
                    self._untried.append(chunk)
                    self._open += chunk.open
                else:
                    await self._handle.release(lease)
        finally:
            self._taking = False
            self._changed()

    async def _add_tokens_and_ids(self, single_sends: Sequence[SingleSend]) -> None:
        """Adds what the journal does not keep: user tokens, and keys that are derived."""
        run_id = self._handle.record.run_id
        if self._tokens is not None:
            tokens = await self._tokens.get_many([one.seq for one in single_sends])
            for single_send, token in zip(single_sends, tokens, strict=True):
                single_send.token = token
        bare = self._tokens is None and not self._channel.idempotent
        for single_send in single_sends:
            single_send.earlier = single_send.attempts
            if bare:
                continue
            if single_send.request_id is None:
                single_send.request_id = self._channel.request_id(
                    run_id, single_send.key, single_send.generation
                )

    async def renew(self, chunk: LeasedChunk, now: float) -> bool:
        """Keeps a lease alive; False when it has moved on."""
        if not _is_to_be_renewed(chunk.lease, now):
            return True
        renewed = await self._handle.renew(chunk.lease, now=now, ttl=LEASE_LIFE)
        if renewed is None:
            return False
        chunk.lease = renewed
        return True


def _is_to_be_renewed(lease: Lease, now: float) -> bool:
    return lease.deadline - now < LEASE_LIFE / 2
