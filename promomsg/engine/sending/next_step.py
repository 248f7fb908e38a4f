"""What the dispatcher does next: decided without awaiting, then done by it.

(After httpcore's `_assign_requests_to_connections`: all cases in one place, numbered, and nothing
can change between the look and the decision.)
"""

from __future__ import annotations

from typing import Final

import msgspec

from promomsg.engine.sending.brakes.reachability import Reachability
from promomsg.engine.sending.leased_chunks import LeasedChunk, LeasedChunks
from promomsg.engine.sending.retry_queue import RetryQueue
from promomsg.model import Answer, SingleSend

__all__ = [
    "AcquireProbe",
    "AskJournal",
    "AwaitResults",
    "NextStep",
    "Permits",
    "RefusedMessages",
    "Send",
    "Step",
    "Wait",
]

_MOST_REFUSED: Final = 8_192
"""Refused messages to keep: more than the recipients in memory, and later ones are failed in the
journal before they are taken."""


class Send(msgspec.Struct, frozen=True):
    """Intend these, all of one chunk, and call."""

    chunk: LeasedChunk
    single_sends: list[SingleSend]


class Wait(msgspec.Struct, frozen=True):
    """Wait until something changes, for so many seconds at the most; None: however long it takes."""

    seconds: float | None = None


class AcquireProbe(msgspec.Struct, frozen=True):
    """The provider cannot be reached: wait until the one call that is tried may be a single send."""


class AskJournal(msgspec.Struct, frozen=True):
    """Ask the journal for a chunk. `last`: when it has none, everything is done."""

    last: bool = False


class AwaitResults(msgspec.Struct, frozen=True):
    """Wait until results are on disk, then ask the journal again: it hands out a chunk that was
    given back only after its calls are settled."""


Step = Send | Wait | AcquireProbe | AskJournal | AwaitResults


class Permits:
    """Calls that may be on their way at once: a permit is taken before a recipient is intended and
    given back once their result is on disk (docs/design.md, "Intent before the wire").

    Attributes:
        free: how many are left.
        total: how many there are.
    """

    __slots__ = ("free", "total")

    def __init__(self, total: int) -> None:
        self.free = self.total = total

    @property
    def out(self) -> int:
        """How many are taken."""
        return self.total - self.free


class RefusedMessages:
    """Rendered messages that can go to nobody.

    Attributes:
        answers: why, by the values that each was made of.
    """

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers: dict[tuple[str, ...], Answer] = {}

    def add(self, values: tuple[str, ...], answer: Answer) -> None:
        """This one was refused; the first answer stands."""
        if len(self.answers) >= _MOST_REFUSED:
            del self.answers[next(iter(self.answers))]
        self.answers.setdefault(values, answer)


class NextStep:
    """Chooses among the chunks at hand, those who wait for a retry, and waiting.

    Args:
        single_probe: stands for a single send in `Reachability`, while the circuit is open and it is
            not chosen yet which one will be the probe.
        attempts: calls for one recipient at the most.
        quorum: permits that are waited for while calls are out, so that intents go to disk in
            batches and not one by one.
        batch: the most to intend at once.
    """

    def __init__(
        self,
        chunks: LeasedChunks,
        retries: RetryQueue,
        refused: RefusedMessages,
        permits: Permits,
        reachability: Reachability,
        *,
        single_probe: object,
        attempts: int,
        quorum: int,
        batch: int,
    ) -> None:
        self._chunks = chunks
        self._retries = retries
        self._refused = refused
        self._permits = permits
        self._reachability = reachability
        self._breaker = reachability.breaker
        self._single_probe = single_probe
        self._attempts = attempts
        self._quorum = quorum
        self._batch = batch

    def choose(self, *, calling: int) -> Step:
        """The next step.

        Args:
            calling: calls whose answer is awaited.

        The circuit is open, and no single send has the probe:

        1. a recipient could be tried, but calls or their results are awaited: `Wait` for them;
        2. a recipient could be tried: `AcquireProbe`;
        3. none could yet: `Wait` until the next retry is due.

        Otherwise, as many as may be intended now (one, when it is the probe):

        4. none may: `Wait` for a permit, or for enough of them;
        5. those whose retry is due, else those not tried yet: `Send`. The probe goes first to a
           recipient in doubt already, due or not, since one more lost answer changes nothing for
           them; then to one not tried yet; then to one whose retry is due;
        6. none now: `Wait` for the next retry, for a result, or for a chunk that was asked for.

        And when no chunk is held or asked for:

        7. the journal may have more: `AskJournal`;
        8. it has none, but results are not on disk yet: `AwaitResults`, and then it may have;
        9. it has none: `AskJournal` for the last time, since a chunk may have been given back.
        """
        seconds: float | None = None
        if self._breaker.is_open and not self._breaker.is_probe(self._single_probe):
            if self._has_someone_to_send():
                if self._permits.out or self._reachability.group_calls:
                    return Wait()  # 1
                return AcquireProbe()  # 2
            seconds = self._retries.wait()  # 3
        else:
            most = self._most_now(calling)  # 4: none
            if most > 0:
                found = self._take_next(most)
                if found is not None:
                    return found  # 5
                seconds = self._retries.wait()  # 6
        if seconds is not None or not self._chunks.idle:
            return Wait(seconds)
        if not self._chunks.exhausted:
            return AskJournal()  # 7
        if self._permits.out:
            return AwaitResults()  # 8
        return AskJournal(last=True)  # 9

    def _most_now(self, calling: int) -> int:
        """How many may be intended now."""
        free, breaker = self._permits.free, self._breaker
        if breaker.is_open:
            return min(free, 1)
        if breaker.limited:
            # Whether the provider can be reached, or can be reached again, is not sure yet.
            out = self._permits.out + self._reachability.groups_out
            return min(free, breaker.limit - out)
        if calling and free < self._quorum:
            return 0
        return free

    def _has_someone_to_send(self) -> bool:
        """Whether `_take_next` would find a recipient for the probe."""
        return (
            self._chunks.has_fresh
            or self._retries.is_due
            or self._retries.has_in_doubt(self._attempts)
        )

    def _take_next(self, most: int) -> Send | None:
        while True:
            found = self._choose_probe(most) if self._breaker.is_open else None
            found = found or self._retries.due(most)
            found = found or self._chunks.fresh(min(most, self._batch))
            if found is None:
                return None
            chunk, single_sends = found
            to_send = self._without_refused(chunk, single_sends)
            if to_send:
                return Send(chunk, to_send)

    def _choose_probe(self, most: int) -> tuple[LeasedChunk, list[SingleSend]] | None:
        """A recipient whose earlier attempt may have arrived; else one not tried yet."""
        found = self._chunks.fresh(most) if self._chunks.next_is_in_doubt else None
        found = found or self._retries.in_doubt(self._attempts)
        return found or self._chunks.fresh(most)

    def _without_refused(
        self, chunk: LeasedChunk, single_sends: list[SingleSend]
    ) -> list[SingleSend]:
        """Without those whose message was refused for everybody: the journal fails them."""
        refused = self._refused.answers
        if not refused:
            return single_sends
        kept = [s for s in single_sends if s.values not in refused]
        self._chunks.finish(chunk, len(single_sends) - len(kept))
        return kept
