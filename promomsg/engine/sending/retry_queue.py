"""Recipients who are pending again: when their turn comes, and what they need before it."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from typing import Final

from promomsg.channels.base import Channel
from promomsg.clock import Clock
from promomsg.engine.sending.leased_chunks import Chunks
from promomsg.engine.sending.result_batches import Slot
from promomsg.model import Answer, Code, Parcel, Verdict

__all__ = ["Retries"]

log: Final = logging.getLogger("promomsg.engine")


class Retries:
    """Those of the leased chunks that wait for another call.

    Args:
        chunks: where they are from; those of a chunk that is no longer held are forgotten.
        ready: called when somebody's turn may have come.
    """

    def __init__(
        self, channel: Channel, chunks: Chunks, clock: Clock, ready: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._chunks = chunks
        self._clock = clock
        self._ready = ready
        self._queue: list[tuple[float, int, Slot, Parcel]] = []
        self._rulings: dict[int, Answer] = {}

    def add(self, slot: Slot, parcel: Parcel, pause: float) -> None:
        """Their turn comes again in so many seconds."""
        at = self._clock.monotonic() + pause
        heapq.heappush(self._queue, (at, parcel.seq, slot, parcel))

    def due(self, most: int) -> tuple[Slot, list[Parcel]] | None:
        """Up to `most` of one chunk whose turn has come."""
        queue, now = self._queue, self._clock.monotonic()
        if not queue or queue[0][0] > now:
            return None
        slot = queue[0][2]
        parcels: list[Parcel] = []
        while queue and queue[0][0] <= now and queue[0][2] is slot and len(parcels) < most:
            parcels.append(heapq.heappop(queue)[3])
        return slot, parcels

    def in_doubt(self, attempts: int) -> tuple[Slot, list[Parcel]] | None:
        """Whoever is in doubt already and comes next, due or not; nobody's last of so many calls."""
        doubted = [
            item
            for item in self._queue
            if item[3].doubt and item[3].attempts - item[3].earlier < attempts - 1
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

    def forget(self, slot: Slot) -> None:
        """Its lease moved on: others decide about them."""
        self._queue = [item for item in self._queue if item[2] is not slot]
        heapq.heapify(self._queue)

    async def renew(self, slot: Slot, parcel: Parcel, answer: Answer) -> None:
        """Has a recipient's own token replaced while they are pending: nobody is in doubt, however
        long that takes. What comes of it instead of another call is their `ruling`."""
        try:
            ruling = await self._channel.renew(parcel, answer)
        except Exception as error:  # noqa: BLE001 - a bug must cost one outcome, not the batch
            said = f"replacing the user's token ended in {type(error).__name__}"
            log.error("%s", said)
            ruling = Answer(Verdict.RETRY, Code.NOT_SENT, said)
        if not self._chunks.holds(slot):
            return
        if ruling is not None:
            self._rulings[parcel.seq] = ruling
        self.add(slot, parcel, 0.0)
        self._ready()

    def ruling(self, parcel: Parcel) -> Answer | None:
        """What this recipient comes to without another call; None: call."""
        return self._rulings.pop(parcel.seq, None) if self._rulings else None
