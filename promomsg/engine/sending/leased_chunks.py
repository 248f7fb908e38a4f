"""The chunks that this process has leased: taken ahead of need, completed, given back."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import msgspec

from promomsg.channels.base import Channel
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.sending.decision import Decision
from promomsg.engine.sending.held_leases import HeldLease, HeldLeases
from promomsg.journal.contract import Handle
from promomsg.journal.records import Lease
from promomsg.model import SingleSend, State

__all__ = ["LeasedChunk", "LeasedChunks"]

_AGAIN: Final = Decision(State.PENDING, again=True)
_LEFT: Final = Decision(State.PENDING)
_FEW: Final = 100
"""How many are at hand at the least before the next chunk is asked for."""
_MOST_WAITING: Final = 2_048
"""Recipients at hand who are not final and not on their way, at the most: those not tried yet and
those who wait for a retry. With those on their way, it is the memory of a campaign. Chunks are not
counted: one recipient whose answer is slow keeps a chunk open, and one in a hundred would keep
nearly all of them open."""


class LeasedChunk(HeldLease):
    """A leased chunk, and what of it is still on its way.

    Attributes:
        fresh: those of it that were not intended yet, in order.
        open: how many of its recipients this run has not finished.
        out: how many are intended, and have no durable result yet.
    """

    __slots__ = ("fresh", "open", "out")

    def __init__(self, lease: Lease, deadline: float) -> None:
        # Those who are final are not kept in memory for the one who is not.
        super().__init__(msgspec.structs.replace(lease, single_sends=()), deadline)
        self.out = 0
        self.fresh: deque[SingleSend] = deque(lease.single_sends)
        self.open = len(lease.single_sends)


class LeasedChunks:
    """Leases on chunks of singles.

    Args:
        leases: what takes, renews and gives back leases for the whole run.
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
        leases: HeldLeases,
        tokens: RecipientTokens | None,
        enough: int,
        on_their_way: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._leases = leases
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
        self._no_more = False
        self._cohorts: Sequence[int] | None = None
        """Those that were open at the last look."""
        self._trying = anyio.CancelScope()
        self.exhausted = False

    async def tried(self, feed: Callable[[], Awaitable[None]]) -> None:
        """Runs what tries those whom `fresh` gives out. `take_no_more` ends its waits and begins it anew,
        for those who are left."""
        with self._leases.sending():
            with self._trying:
                await feed()
            if self._trying.cancelled_caught:
                await feed()

    def take_no_more(self) -> None:
        """Leaves whoever was not tried yet to other senders. Who is on their way, or waits for a retry, is
        brought to an end here."""
        self._no_more = self.exhausted = True
        for chunk in list(self._untried):
            self._leave(chunk)
        self._trying.cancel()
        self._changed()

    def _leave(self, chunk: LeasedChunk) -> None:
        """Those of a chunk who were not tried yet are pending, for whoever takes it next."""
        tried = [one for one in chunk.fresh if one.attempts > one.earlier]
        left = len(chunk.fresh) - len(tried)
        chunk.fresh = deque(tried)
        if not tried and chunk in self._untried:
            self._untried.remove(chunk)
        self.finish(chunk, left)

    def uncalled(self, single_send: SingleSend) -> Decision:
        """What becomes of one who was intended and not called: they come again here, or are left to other
        senders."""
        untried = single_send.attempts == single_send.earlier
        return _LEFT if self._no_more and untried else _AGAIN

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
        if self._no_more:
            self._leave(chunk)

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

    @property
    def are_all(self) -> bool:
        """Whether nobody is to be tried but those in the chunks at hand."""
        return self.exhausted and not self._no_more

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

    def leave_closed(self, cohorts: Sequence[int] | None) -> list[LeasedChunk]:
        """Gives back the chunks of other cohorts than these (None: of none), which may not be sent to now:
        who was not intended yet is pending for whoever takes them later.

        Returns:
            Those that were given back.
        """
        if cohorts != self._cohorts:
            self._cohorts = cohorts
            self.exhausted = self._no_more
        if cohorts is None:
            return []
        closed = [chunk for chunk in self._held if chunk.lease.cohort not in cohorts]
        for chunk in closed:
            self._drop(chunk)
        return closed

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
        """Has the journal know which chunks are no longer held: each once nothing of it is out."""
        if not self._finished:
            return
        finished = [chunk for chunk in self._finished if not chunk.out]
        for chunk in finished:
            self._finished.remove(chunk)
            await self._leases.release(chunk)

    async def release_all(self) -> None:
        """Gives everything back."""
        self._finished += self._held
        self._held = {}
        self._untried.clear()
        self._open = 0
        await self.release_finished()

    def look_ahead(self, tasks: anyio.abc.TaskGroup) -> None:
        """Takes the next chunk before these end."""
        if self._taking or self.exhausted or self._no_more or self.fresh_left >= self._enough:
            return
        if self._open - self._on_their_way() < _MOST_WAITING:
            self._taking = True
            tasks.start_soon(self.take)

    async def take(self) -> None:
        """Takes the next chunk, if there is one."""
        if self._no_more:
            self.exhausted = True
            return
        self._taking = True
        try:
            with anyio.CancelScope(shield=True):
                taken = await self._leases.take(
                    groups=False, singles=True, idempotent=self._channel.idempotent
                )
                if taken is None:
                    self.exhausted = True
                else:
                    self.exhausted = False
                    await self._add(LeasedChunk(*taken), taken[0].single_sends)
        finally:
            self._taking = False
            self._changed()

    async def none_left(self) -> bool:
        """Whether nothing is left to be taken, here or once other senders give it back; returns after
        a while when they may."""
        if not (self.exhausted and self.idle):
            return False
        return not await self._leases.left_to_others(singles=True)

    async def _add(self, chunk: LeasedChunk, single_sends: Sequence[SingleSend]) -> None:
        self._leases.add(chunk)
        await self._add_tokens_and_ids(single_sends)
        self._held[chunk] = None
        self._untried.append(chunk)
        self._open += chunk.open
        if self._no_more:
            self._leave(chunk)

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
