"""Recipients who are pending again: when their next call is due, and what they need before it."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence
from typing import Final

from promomsg.channels.base import Channel
from promomsg.clock import Clock
from promomsg.engine.sending.leased_chunks import LeasedChunk, LeasedChunks
from promomsg.log_events import log_event
from promomsg.model import Answer, Code, SingleSend, Verdict
from promomsg.traceback_locals import raised_at

__all__ = ["RetryQueue"]

log: Final = logging.getLogger("promomsg.engine")


class RetryQueue:
    """Those of the leased chunks that wait for another call.

    Args:
        chunks: where they are from; those of a chunk that is no longer held are forgotten.
        changed: called when a recipient may be due.
    """

    def __init__(
        self, channel: Channel, chunks: LeasedChunks, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._chunks = chunks
        self._clock = clock
        self._changed = changed
        self._queue: list[tuple[float, int, LeasedChunk, SingleSend]] = []
        self._settled: dict[int, Answer] = {}

    def take_no_more(self) -> None:
        """As `LeasedChunks.take_no_more`; who came back uncalled has not been tried either."""
        queue, self._queue = self._queue, []
        for item in queue:
            if item[3].attempts > item[3].earlier:
                self._queue.append(item)
            else:
                self._chunks.finish(item[2], 1)
        heapq.heapify(self._queue)
        self._chunks.take_no_more()

    def leave_closed(self, cohorts: Sequence[int] | None) -> None:
        """As `LeasedChunks.leave_closed`, with those who wait for a retry."""
        for chunk in self._chunks.leave_closed(cohorts):
            self.drop_chunk(chunk)

    def add(self, chunk: LeasedChunk, single_send: SingleSend, pause: float) -> None:
        """They may be called again in so many seconds."""
        at = self._clock.monotonic() + pause
        heapq.heappush(self._queue, (at, single_send.seq, chunk, single_send))
        log_event(
            log,
            "retry",
            "row %(row)s is tried again in %(seconds).1f s",
            level=logging.DEBUG,
            row=single_send.seq,
            attempt=single_send.attempts + 1,
            seconds=round(pause, 3),
        )

    def due(self, most: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """Up to `most` of one chunk that are due; they leave the queue."""
        queue, now = self._queue, self._clock.monotonic()
        if not queue or queue[0][0] > now:
            return None
        chunk = queue[0][2]
        single_sends: list[SingleSend] = []
        while queue and queue[0][0] <= now and queue[0][2] is chunk and len(single_sends) < most:
            single_sends.append(heapq.heappop(queue)[3])
        return chunk, single_sends

    @property
    def is_due(self) -> bool:
        """Whether a recipient is due."""
        return bool(self._queue) and self._queue[0][0] <= self._clock.monotonic()

    def in_doubt(self, attempts: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """Whoever is in doubt already and comes next, due or not; they leave the queue. Nobody who
        has only the last of so many attempts left."""
        doubted = self._items_in_doubt(attempts)
        if not doubted:
            return None
        item = min(doubted)
        self._queue.remove(item)
        heapq.heapify(self._queue)
        return item[2], [item[3]]

    def has_in_doubt(self, attempts: int) -> bool:
        """Whether `in_doubt` has somebody."""
        return bool(self._items_in_doubt(attempts))

    def _items_in_doubt(self, attempts: int) -> list[tuple[float, int, LeasedChunk, SingleSend]]:
        return [
            item
            for item in self._queue
            if item[3].maybe_sent and item[3].attempts - item[3].earlier < attempts - 1
        ]

    def wait(self) -> float | None:
        """Seconds until the next one is due; None when the queue is empty."""
        return self._queue[0][0] - self._clock.monotonic() if self._queue else None

    def drop_chunk(self, chunk: LeasedChunk) -> None:
        """Forgets those of a chunk that is no longer leased: its next holder decides about them."""
        self._queue = [item for item in self._queue if item[2] is not chunk]
        heapq.heapify(self._queue)

    async def renew(self, chunk: LeasedChunk, single_send: SingleSend, refusal: Answer) -> None:
        """Has a recipient's own token replaced while they are pending: nobody is in doubt, however
        long that takes. What comes of it instead of another call is `settled_without_call`."""
        try:
            answer = await self._channel.renew(single_send, refusal)
        except Exception as error:  # noqa: BLE001 - a bug must cost one outcome, not the batch
            text = f"replacing the user's token ended in {raised_at(error)}"
            log.error("%s", text)
            answer = Answer(Verdict.RETRY, Code.NOT_SENT, text)
        if not self._chunks.holds(chunk):
            return
        if answer is not None:
            self._settled[single_send.seq] = answer
        self.add(chunk, single_send, 0.0)
        self._changed()

    def settled_without_call(self, single_send: SingleSend) -> Answer | None:
        """What this recipient comes to without another call; None: call."""
        return self._settled.pop(single_send.seq, None) if self._settled else None
