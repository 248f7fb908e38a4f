"""Recipients who are pending again: when their turn comes, and what they need before it."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from typing import Final

from promomsg.channels.base import Channel
from promomsg.clock import Clock
from promomsg.engine.sending.leased_chunks import LeasedChunks
from promomsg.engine.sending.result_batches import LeasedChunk
from promomsg.model import Answer, Code, SingleSend, Verdict

__all__ = ["RetryQueue"]

log: Final = logging.getLogger("promomsg.engine")


class RetryQueue:
    """Those of the leased chunks that wait for another call.

    Args:
        chunks: where they are from; those of a chunk that is no longer held are forgotten.
        ready: called when somebody's turn may have come.
    """

    def __init__(
        self, channel: Channel, chunks: LeasedChunks, clock: Clock, ready: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._chunks = chunks
        self._clock = clock
        self._ready = ready
        self._queue: list[tuple[float, int, LeasedChunk, SingleSend]] = []
        self._rulings: dict[int, Answer] = {}

    def add(self, slot: LeasedChunk, single_send: SingleSend, pause: float) -> None:
        """Their turn comes again in so many seconds."""
        at = self._clock.monotonic() + pause
        heapq.heappush(self._queue, (at, single_send.seq, slot, single_send))

    def due(self, most: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """Up to `most` of one chunk whose turn has come."""
        queue, now = self._queue, self._clock.monotonic()
        if not queue or queue[0][0] > now:
            return None
        slot = queue[0][2]
        single_sends: list[SingleSend] = []
        while queue and queue[0][0] <= now and queue[0][2] is slot and len(single_sends) < most:
            single_sends.append(heapq.heappop(queue)[3])
        return slot, single_sends

    def in_doubt(self, attempts: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """Whoever is in doubt already and comes next, due or not; nobody's last of so many calls."""
        doubted = [
            item
            for item in self._queue
            if item[3].maybe_sent and item[3].attempts - item[3].earlier < attempts - 1
        ]
        if not doubted:
            return None
        item = min(doubted)
        self._queue.remove(item)
        heapq.heapify(self._queue)
        return item[2], [item[3]]

    def wait(self) -> float | None:
        """Seconds until the next turn; None when nobody waits for one."""
        return self._queue[0][0] - self._clock.monotonic() if self._queue else None

    def drop_chunk(self, slot: LeasedChunk) -> None:
        """Its lease moved on: others decide about them."""
        self._queue = [item for item in self._queue if item[2] is not slot]
        heapq.heapify(self._queue)

    async def renew(self, slot: LeasedChunk, single_send: SingleSend, answer: Answer) -> None:
        """Has a recipient's own token replaced while they are pending: nobody is in doubt, however
        long that takes. What comes of it instead of another call is their `settled_without_call`."""
        try:
            settled_without_call = await self._channel.renew(single_send, answer)
        except Exception as error:  # noqa: BLE001 - a bug must cost one outcome, not the batch
            said = f"replacing the user's token ended in {type(error).__name__}"
            log.error("%s", said)
            settled_without_call = Answer(Verdict.RETRY, Code.NOT_SENT, said)
        if not self._chunks.holds(slot):
            return
        if settled_without_call is not None:
            self._rulings[single_send.seq] = settled_without_call
        self.add(slot, single_send, 0.0)
        self._ready()

    def settled_without_call(self, single_send: SingleSend) -> Answer | None:
        """What this recipient comes to without another call; None: call."""
        return self._rulings.pop(single_send.seq, None) if self._rulings else None
