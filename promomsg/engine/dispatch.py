"""Single sends: from leased chunks through intents, the pace and the wire to durable results.

The order is DESIGN §8's: permit, spacing, intent on disk, the window's last word, the call, the
result on disk, permit back. Tasks are a pool of workers, one feeder and one settler; there is
never a task, nor a Python object that stays, per recipient.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

import anyio

from promomsg.channels.base import Channel, Letter
from promomsg.channels.direct import kept
from promomsg.clock import Clock, china_day
from promomsg.crashpoints import reached
from promomsg.engine.decide import Decision, Halt, backoff, decide
from promomsg.engine.guards import ErrorWindow, RetryBudget
from promomsg.engine.settings import Settings
from promomsg.engine.steering import SINGLES_PER_DAY, Signal, Steering
from promomsg.engine.vault import TokenVault
from promomsg.errors import Halted, NotSent
from promomsg.journal.base import Handle, Lease, Settled
from promomsg.model import Answer, Code, Parcel, State, Verdict

__all__ = ["LEASE_LIFE", "Dispatcher"]

log = logging.getLogger("promomsg.engine")

LEASE_LIFE: Final = 120.0
"""Seconds after which another machine may take a chunk over, unless it is renewed."""
_PATIENCE: Final = 1.0
"""Seconds an intended call may wait at the gate; for a longer hold it goes back to pending."""
_LINGER: Final = 0.004
"""Seconds that results wait for company before they are committed."""
_OPEN_SLOTS: Final = 4

_PENDING, _SENT, _FAILED = State.PENDING.value, State.SENT.value, State.FAILED.value


class _Slot:
    """A leased chunk, and what of it is still on its way."""

    __slots__ = ("fresh", "lease", "open")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.fresh: deque[Parcel] = deque(lease.parcels)
        self.open = len(lease.parcels)
        """Recipients of the chunk that are not final yet."""


_Ticket = tuple[_Slot, Parcel]


class Dispatcher:
    """Sends every pending single of one campaign.

    Args:
        window: the error window, shared with the group sends.
        settled: called after each commit with how many became what, for live progress.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        letter: Letter,
        settings: Settings,
        steering: Steering,
        *,
        clock: Clock,
        rng: Random,
        vault: TokenVault | None,
        budget: RetryBudget,
        window: ErrorWindow,
        sent_today: int = 0,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._letter = letter
        self._settings = settings
        self._steering = steering
        self._clock = clock
        self._rng = rng
        self._vault = vault
        self._budget = budget
        self._window = window
        self._moved = moved
        self._lane = channel.pacer.singles
        self._policy = settings.retry
        self._day = china_day(clock.time())
        self._sent_today = sent_today

        # Group calls that are out count too (DESIGN §2.3).
        groups = settings.groups_in_flight if channel.groups else 0
        self._permits = self._all_permits = max(1, 2 * settings.concurrency - groups)
        self._quorum = max(1, settings.concurrency // 2)
        self._ready: deque[_Ticket] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._results: list[tuple[_Slot, Parcel, Settled, Decision]] = []
        self._slots: list[_Slot] = []
        self._finished: list[_Slot] = []
        self._taking = False
        self._dry = False
        self._again: list[tuple[float, int, _Slot, Parcel]] = []
        self._refused: dict[tuple[str, ...], Answer] = {}
        self._unready = 0
        self._strikes = 0
        self._quiet_until = 0.0
        self._probe: Parcel | None = None
        self._calling = 0
        self._closing = False
        self._through = False
        self._feed_signal = Signal()
        self._settle_signal = Signal()

    @property
    def in_flight(self) -> int:
        """Calls whose answer is awaited."""
        return self._calling

    async def run(self) -> None:
        """Returns when every single is final, or the steering says stop and all calls are back.

        Raises:
            JournalError: the journal failed; what was intended is unknown to a later process.
        """
        async with anyio.create_task_group() as settling:
            settling.start_soon(self._settle_all)
            async with anyio.create_task_group() as workers:
                for _ in range(self._settings.concurrency):
                    workers.start_soon(self._work)
                with anyio.CancelScope() as scope:
                    if self._steering.send_in(scope):
                        async with anyio.create_task_group() as feeding:
                            await self._feed(feeding)
                self._closing = True
                self._wake(len(self._idle))
            # Only now: a call that was under way when the closing began has its result to settle.
            self._through = True
            self._settle_signal.set()
        self._finished += self._slots
        await self._release_finished()

    # The feeder: permits, spacing, intents.

    async def _feed(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await self._steering.until_sending()
            if self._steering.stopping:
                return
            await self._release_finished()
            slot, parcels, wait = self._next()
            if slot is not None and not parcels:
                continue  # all of them had a refused message: the next ones may have another
            if not parcels:
                if wait is None and not self._slots and not self._taking:
                    if not self._dry:
                        await self._take()
                        continue
                    if self._permits == self._all_permits:
                        return
                    # A chunk that was given back is handed out again once its calls are settled.
                    await self._feed_signal.wait()
                    self._dry = False
                    continue
                self._look_ahead(tasks)
                await self._feed_signal.wait_for(wait, self._clock)
                continue
            self._look_ahead(tasks)
            assert slot is not None
            await self._send_off(slot, parcels)

    def _next(self) -> tuple[_Slot | None, list[Parcel], float | None]:
        """What to intend now, all of one chunk; or nothing, and how long to wait for it."""
        now = self._clock.monotonic()
        most = self._permits
        probing = self._strikes >= self._policy.outage_after
        if probing:
            # The road is down: one call at a time finds out when it is up again.
            if self._calling or self._ready or self._results:
                return None, [], None if self._calling else _LINGER
            if now < self._quiet_until:
                return None, [], self._quiet_until - now
            most = min(most, 1)
        if most < self._quorum and not probing and self._calling:
            return None, [], None
        if most <= 0:
            return None, [], None
        again = self._again
        if again and again[0][0] <= now:
            slot = again[0][2]
            parcels: list[Parcel] = []
            while again and again[0][0] <= now and again[0][2] is slot and len(parcels) < most:
                parcels.append(heapq.heappop(again)[3])
            return slot, self._sendable(slot, parcels), None
        for slot in self._slots:
            if slot.fresh:
                count = min(most, len(slot.fresh), self._settings.concurrency)
                parcels = [slot.fresh.popleft() for _ in range(count)]
                return slot, self._sendable(slot, parcels), None
        return None, [], again[0][0] - now if again else None

    def _sendable(self, slot: _Slot, parcels: list[Parcel]) -> list[Parcel]:
        """Without those whose message was refused for everybody: the journal fails them."""
        if not self._refused:
            return parcels
        kept = [p for p in parcels if p.values not in self._refused]
        self._close(slot, len(parcels) - len(kept))
        return kept

    def _look_ahead(self, tasks: anyio.abc.TaskGroup) -> None:
        """Takes the next chunk before this one ends."""
        if self._taking or self._dry or len(self._slots) >= _OPEN_SLOTS:
            return
        if sum(len(slot.fresh) for slot in self._slots) < 2 * self._settings.concurrency:
            self._taking = True
            tasks.start_soon(self._take)

    async def _take(self) -> None:
        self._taking = True
        try:
            with anyio.CancelScope(shield=True):
                lease = await self._handle.take(
                    groups=False, singles=True, now=self._clock.time(), ttl=LEASE_LIFE
                )
                if lease is None:
                    self._dry = True
                    return
                self._complete(lease.parcels)
                if lease.parcels:
                    self._slots.append(_Slot(lease))
                else:
                    await self._handle.release(lease)
        finally:
            self._taking = False
            self._feed_signal.set()

    def _complete(self, parcels: Iterable[Parcel]) -> None:
        """Adds what the journal does not keep: user tokens, and keys that are derived."""
        run_id = self._handle.record.run_id
        bare = self._vault is None and not self._channel.idempotent
        for parcel in parcels:
            parcel.earlier = parcel.attempts
            if bare:
                continue
            if self._vault is not None:
                parcel.token = self._vault.get(parcel.seq)
            if parcel.request_id is None:
                parcel.request_id = self._channel.request_id(run_id, parcel.key, parcel.generation)

    async def _release_finished(self) -> None:
        while self._finished:
            await self._handle.release(self._finished.pop().lease)

    async def _send_off(self, slot: _Slot, parcels: list[Parcel]) -> None:
        """Token, spacing, day's quota; then intends a batch and hands it to the workers."""
        at = 0
        while at < len(parcels):
            rest = parcels[at:]
            if not self._steering.may_send() or not await self._channel_ready():
                self._put_back(slot, rest)
                return
            count = await self._reserve(len(rest))
            if count == 0 or not self._steering.may_send():
                self._put_back(slot, rest)
                return
            batch = rest[:count]
            if not await self._intend(slot, batch):
                self._put_back(slot, rest)
                self._steering.obey(await self._handle.control())
                if self._steering.may_send():
                    self._abandon(slot)
                return
            at += count

    def _put_back(self, slot: _Slot, parcels: list[Parcel]) -> None:
        slot.fresh.extendleft(reversed(parcels))

    async def _channel_ready(self) -> bool:
        """Whether the channel has a token. A failure waits and halts like a call's."""
        try:
            await self._channel.prepare()
        except NotSent as error:
            self._unready += 1
            if self._unready >= self._policy.attempts:
                self._steering.stop(Halt(Code.NOT_SENT, f"{error}; resume when that is mended"))
            else:
                await self._clock.sleep(backoff(self._unready, self._policy, self._rng.random()))
            return False
        except Halted as error:
            self._steering.stop(Halt(error.code, error.detail))
            return False
        self._unready = 0
        return True

    async def _reserve(self, most: int) -> int:
        """How many may go now, by the day's quota and the spacing; 0 when the day is used up."""
        limit = self._channel.pacer.day_limit
        if limit is not None:
            day = china_day(self._clock.time())
            if day != self._day:
                self._day, self._sent_today = day, 0
            if self._sent_today >= limit:
                if self._permits < self._all_permits:
                    # What is intended has its place in today's quota: it goes out first.
                    await self._feed_signal.wait()
                    return 0
                said = f"the pace's {limit} singles of {day} are used up"
                self._steering.halt_or_park(Halt(SINGLES_PER_DAY, said), self._lane)
                await self._lane.wait_held()
                return 0
            most = min(most, limit - self._sent_today)
        return await self._lane.reserve(most)

    async def _intend(self, slot: _Slot, batch: list[Parcel]) -> bool:
        """Writes the intents, and once they are durable hands the batch to the workers."""
        now = self._clock.time()
        with anyio.CancelScope(shield=True):
            if slot.lease.deadline - now < LEASE_LIFE / 2:
                renewed = await self._handle.renew(slot.lease, now=now, ttl=LEASE_LIFE)
                if renewed is None:
                    return False
                slot.lease = renewed
            if self._strikes >= self._policy.outage_after:
                self._probe = batch[0]
            self._permits -= len(batch)
            ok = await self._handle.intend(slot.lease, [p.seq for p in batch], now, china_day(now))
            if not ok:
                self._permits += len(batch)
                return False
            reached("after-intend-commit")
            self._sent_today += len(batch)
            self._ready.extend([(slot, parcel) for parcel in batch])
            self._wake(len(batch))
        return True

    def _abandon(self, slot: _Slot) -> None:
        """The lease moved on, or its rows did: give it back and take afresh what is pending."""
        if slot in self._slots:
            self._slots.remove(slot)
            self._again = [item for item in self._again if item[2] is not slot]
            heapq.heapify(self._again)
            self._finished.append(slot)
            self._dry = False

    # The workers: the gate and the call.

    def _wake(self, count: int) -> None:
        idle = self._idle
        for _ in range(min(count, len(idle))):
            turn = idle.pop()
            if not turn.done():
                turn.set_result(None)

    async def _work(self) -> None:
        ready, steering, lane = self._ready, self._steering, self._lane
        deliver, letter = self._channel.deliver, self._letter
        loop = asyncio.get_running_loop()
        while True:
            if not ready:
                if self._closing:
                    return
                # A bare future: an Event for each turn of a worker costs 2 µs a message.
                turn = loop.create_future()
                self._idle.append(turn)
                await turn
                continue
            slot, parcel = ready.popleft()
            if self._refused and parcel.values in self._refused:
                self._answered(slot, parcel, self._refused[parcel.values])
                continue
            if not steering.may_send() or (not lane.pass_now() and not await lane.gate(_PATIENCE)):
                self._give_back(slot, parcel)
                continue
            self._calling += 1
            try:
                answer = await deliver(letter, parcel)
            except Exception as error:  # noqa: BLE001 - a bug must cost one outcome, not the batch
                log.error("a call ended in %s: its outcome is unknown", type(error).__name__)
                answer = Answer(
                    Verdict.UNKNOWN, Code.NO_ANSWER, f"the call ended in {type(error).__name__}"
                )
            self._calling -= 1
            self._budget.calls += 1
            parcel.attempts += 1
            self._answered(slot, parcel, answer)

    def _give_back(self, slot: _Slot, parcel: Parcel) -> None:
        """An intended call that must wait too long goes back to pending, uncalled."""
        result = Settled(
            parcel.seq, _PENDING, "", "", None, self._clock.time(), parcel.doubt, None, False
        )
        decision = Decision(State.PENDING, again=True, doubt=parcel.doubt)
        self._push(slot, parcel, result, decision)

    def _answered(self, slot: _Slot, parcel: Parcel, answer: Answer) -> None:
        """Decides, notes the result for the next commit, and steers."""
        decision = decide(
            answer,
            attempt=parcel.attempts - parcel.earlier,
            doubt=parcel.doubt,
            idempotent=self._channel.idempotent,
            budget_left=self._budget.left,
            policy=self._policy,
        )
        verdict = answer.verdict
        if verdict is Verdict.THROTTLED:
            self._lane.throttled(answer.retry_after)
        if verdict is Verdict.RETRY or (verdict is Verdict.UNKNOWN and decision.again):
            if not answer.token_failed:
                self._strike(parcel)
        else:
            self._strikes = 0
        if parcel is self._probe:
            self._probe = None
        if decision.refuse_form:
            self._refused.setdefault(parcel.values, answer)
        if decision.halt is not None:
            self._steering.halt_or_park(decision.halt, self._lane)
        result = Settled(
            parcel.seq,
            decision.state.value,
            str(answer.code),
            answer.detail,
            answer.rid,
            self._clock.time(),
            decision.doubt,
            kept(answer),
            True,
        )
        parcel.doubt = decision.doubt
        self._push(slot, parcel, result, decision)

    def _strike(self, parcel: Parcel) -> None:
        """Counts a failure of the road; of those that fail together, only the probe goes on."""
        if self._strikes < self._policy.outage_after or parcel is self._probe:
            self._strikes += 1
            beyond = max(self._strikes - self._policy.outage_after, 0) + 1
            pause = backoff(beyond, self._policy, self._rng.random())
            self._quiet_until = self._clock.monotonic() + pause

    # The settler: results on disk, permits back.

    def _push(self, slot: _Slot, parcel: Parcel, result: Settled, decision: Decision) -> None:
        self._results.append((slot, parcel, result, decision))
        if len(self._results) in (1, self._quorum) or not self._calling:
            self._settle_signal.set()

    async def _settle_all(self) -> None:
        while True:
            if not self._results:
                if self._through:
                    return
                await self._settle_signal.wait()
                continue
            if len(self._results) < self._quorum and self._calling and not self._closing:
                with anyio.move_on_after(_LINGER):
                    while len(self._results) < self._quorum and self._calling:
                        await self._settle_signal.wait()
            batch, self._results = self._results, []
            await self._settle(batch)

    async def _settle(self, batch: list[tuple[_Slot, Parcel, Settled, Decision]]) -> None:
        by_slot: dict[_Slot, list[Settled]] = {}
        for slot, _, result, _ in batch:
            by_slot.setdefault(slot, []).append(result)
        reached("before-settle-commit")
        if len(by_slot) == 1:
            [(slot, results)] = by_slot.items()
            await self._commit(slot, results)
        else:
            async with anyio.create_task_group() as commits:
                for slot, results in by_slot.items():
                    commits.start_soon(self._commit, slot, results)
        reached("after-settle-commit")
        self._permits += len(batch)
        now = self._clock.monotonic()
        for slot, parcel, result, decision in batch:
            if not result.called:
                self._sent_today = max(self._sent_today - 1, 0)
            if decision.refuse_form:
                await self._handle.refuse_form(
                    parcel.seq, result.code, result.detail, result.rid, result.at
                )
            if decision.again:
                self._try_again(slot, parcel, result, now)
                continue
            if decision.state is State.PENDING:
                self._dry = False
            else:
                self._judge_rate(decision.state is State.SENT)
            self._close(slot, 1)
        self._moved()
        self._feed_signal.set()

    async def _commit(self, slot: _Slot, results: list[Settled]) -> None:
        if not await self._handle.settle(slot.lease, results):
            log.error(
                "chunk %d is somebody else's now: %d results were not kept",
                slot.lease.chunk,
                len(results),
            )

    def _try_again(self, slot: _Slot, parcel: Parcel, result: Settled, now: float) -> None:
        """Pending on disk now: back to its turn, after a pause when the road was bad."""
        pause = 0.0
        if result.called:
            self._budget.retries += 1
            if result.code in (Code.NOT_SENT, Code.NO_ANSWER):
                pause = backoff(parcel.attempts - parcel.earlier, self._policy, self._rng.random())
        heapq.heappush(self._again, (now + pause, parcel.seq, slot, parcel))

    def _judge_rate(self, good: bool) -> None:
        halt = self._window.add(good)
        if halt is not None:
            self._steering.stop(halt)

    def _close(self, slot: _Slot, count: int) -> None:
        slot.open -= count
        if slot.open <= 0 and slot in self._slots:
            self._slots.remove(slot)
            self._finished.append(slot)
