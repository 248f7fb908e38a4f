"""Single sends: from leased chunks through intents, the pace and the wire to durable results.

The order is DESIGN §8's: permit, spacing, intent on disk, the window's last word, the call, the
result on disk, permit back. Tasks are a pool of workers, one feeder and one settler; there is
never a task, nor a Python object that stays, per recipient.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

import anyio

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.channels.single_call import kept
from promomsg.clock import Clock, china_day
from promomsg.crashpoints import reached
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.report import CANNOT_BE_REACHED
from promomsg.engine.sending.decision import Decision, Halt, backoff, decide
from promomsg.engine.sending.leased_chunks import LeasedChunks
from promomsg.engine.sending.limits import ErrorRateLimit, RetryBudget
from promomsg.engine.sending.reachability import Reachability, is_unreachable
from promomsg.engine.sending.readiness import Readiness
from promomsg.engine.sending.result_batches import LeasedChunk, ResultWriter, SendResult
from promomsg.engine.sending.retry_queue import RetryQueue
from promomsg.engine.sending.run_control import SINGLES_PER_DAY, RunControl, Wakeup
from promomsg.engine.settings import Settings
from promomsg.journal.contract import Handle
from promomsg.journal.records import Settled
from promomsg.model import Answer, Code, SingleSend, State, Verdict
from promomsg.transport.connections import CampaignShare

__all__ = ["Dispatcher"]

log = logging.getLogger("promomsg.engine")

"""Seconds an intended call may wait at the gate; for a longer hold it goes back to pending."""
_MOST_REFUSED: Final = 8_192
"""Refused messages to keep: more than the recipients in memory, and later ones are failed in the
journal before they are taken."""
_PENDING: Final = State.PENDING.value


_Ticket = tuple[LeasedChunk, SingleSend]


class Dispatcher:
    """Sends every pending single of one campaign.

    Args:
        window: the error window, shared with the group sends.
        share: the campaign's part of the client's connections, shared with them too.
        reachability: whether the provider can be reached, shared with them too.
        moved: called after each commit, for live progress.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        compiled: CompiledMessage,
        settings: Settings,
        control: RunControl,
        *,
        clock: Clock,
        rng: Random,
        tokens: RecipientTokens | None,
        budget: RetryBudget,
        window: ErrorRateLimit,
        share: CampaignShare,
        reachability: Reachability,
        sent_today: int = 0,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._compiled = compiled
        self._settings = settings
        self._control = control
        self._clock = clock
        self._rng = rng
        self._budget = budget
        self._window = window
        self._share = share
        self._moved = moved
        self._limiter = channel.pacer.singles
        self._policy = settings.retry
        self._day = china_day(clock.time())
        self._sent_today = sent_today

        # Group calls that are out count too (DESIGN §2.3).
        groups = settings.groups_in_flight if channel.groups else 0
        self._permits = self._all_permits = max(1, 2 * settings.concurrency - groups)
        self._quorum = max(1, settings.concurrency // 2)
        self._ready: deque[_Ticket] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._refused: dict[tuple[str, ...], Answer] = {}
        self._readiness = Readiness(channel, control, settings.retry, clock, rng)
        self._probing = False
        self._calling = 0
        self._closing = False
        self._feed_signal = Wakeup()
        self._reachability = reachability
        self._breaker = reachability.breaker
        reachability.singles_out = lambda: self._all_permits - self._permits
        reachability.listen(self._feed_signal.set)
        self._chunks = LeasedChunks(
            handle, channel, clock, tokens, 2 * settings.concurrency, self._feed_signal.set
        )
        self._retries = RetryQueue(channel, self._chunks, clock, self._feed_signal.set)
        self._results = ResultWriter(handle, self._quorum, self._is_quiet, self._settled)

    @property
    def in_flight(self) -> int:
        """Calls whose answer is awaited."""
        return self._calling

    @property
    def stalled_by(self) -> str:
        """Why nothing goes out although there is work; empty when it does."""
        if self._breaker.is_open:
            return CANNOT_BE_REACHED
        held = (self._limiter.held_until, self._readiness.held_until)
        until = max((moment for moment in held if moment is not None), default=None)
        if until is None:
            return ""
        seconds = until - self._clock.monotonic()
        return f"the provider asked to slow down; it goes on in {seconds:.0f} s"

    async def run(self) -> None:
        """Returns when every single is final, or the steering says stop and all calls are back.

        Raises:
            JournalError: the journal failed; what was intended is unknown to a later process.
        """
        async with anyio.create_task_group() as settling:
            self._tasks = settling
            settling.start_soon(self._results.run)
            async with anyio.create_task_group() as workers:
                for _ in range(self._settings.concurrency):
                    workers.start_soon(self._work)
                with anyio.CancelScope() as scope:
                    if self._control.send_in(scope):
                        async with anyio.create_task_group() as feeding:
                            await self._feed(feeding)
                self._reachability.singles_are_through()
                self._closing = True
                self._wake(len(self._idle))
            # Only now: a call that was under way when the closing began has its result to settle.
            self._results.close()
        await self._chunks.release_all()

    # The feeder: permits, spacing, intents.

    async def _feed(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await self._control.until_sending()
            if self._control.stopping:
                return
            await self._chunks.release_finished()
            if self._breaker.is_open and self._has_work() and not await self._take_turn():
                continue
            slot, single_sends, wait = self._next()
            if not single_sends and self._probing:
                self._reachability.drop(self)
            if slot is not None and not single_sends:
                continue  # all of them had a refused message: the next ones may have another
            if not single_sends:
                if wait is None and self._chunks.idle:
                    if not self._chunks.dry:
                        await self._chunks.take()
                        continue
                    if self._permits == self._all_permits:
                        # Everything is settled: what was given back meanwhile shows now.
                        await self._chunks.take()
                        if self._chunks.exhausted():
                            return
                        continue
                    # A chunk that was given back is handed out again once its calls are settled.
                    await self._feed_signal.wait()
                    self._chunks.dry = False
                    continue
                self._chunks.look_ahead(tasks)
                await self._feed_signal.wait_for(wait, self._clock)
                continue
            self._chunks.look_ahead(tasks)
            assert slot is not None
            await self._send_off(slot, single_sends)
            if self._probing:
                self._reachability.drop(self)

    def _next(self) -> tuple[LeasedChunk | None, list[SingleSend], float | None]:
        """What to intend now, all of one chunk; or nothing, and how long to wait for it."""
        most, breaker = self._permits, self._breaker
        self._probing = breaker.is_open
        if self._probing:
            most = min(most, 1)
        elif breaker.limited:
            # Nobody knows yet whether the provider is there, or is there again.
            out = self._all_permits - most + self._reachability.groups_out
            most = min(most, breaker.limit - out)
        elif most < self._quorum and self._calling:
            return None, [], None
        if most <= 0:
            return None, [], None
        found = None
        if self._probing:
            # Rather somebody who is in doubt already than one more: their turn need not have come.
            if self._chunks.next_is_in_doubt:
                found = self._chunks.fresh(most)
            found = found or self._retries.in_doubt(self._policy.attempts)
            found = found or self._chunks.fresh(most)
        found = found or self._retries.due(most)
        found = found or self._chunks.fresh(min(most, self._settings.concurrency))
        if found is not None:
            return found[0], self._sendable(*found), None
        return None, [], self._retries.wait()

    def _has_work(self) -> bool:
        """Whether somebody waits for a call."""
        return self._chunks.has_fresh or self._retries.wait() is not None

    async def _take_turn(self) -> bool:
        """While the provider seems away: whether the one call that is tried may be a single now."""
        if self._permits < self._all_permits or self._reachability.group_calls:
            await self._feed_signal.wait()  # for those that are out, and their results on disk
            return False
        return await self._reachability.take_turn(self)

    def _sendable(self, slot: LeasedChunk, single_sends: list[SingleSend]) -> list[SingleSend]:
        """Without those whose message was refused for everybody: the journal fails them."""
        if not self._refused:
            return single_sends
        kept = [p for p in single_sends if p.values not in self._refused]
        self._chunks.close(slot, len(single_sends) - len(kept))
        return kept

    async def _send_off(self, slot: LeasedChunk, single_sends: list[SingleSend]) -> None:
        """Token, spacing, day's quota, a share of the client's connections; then intends a batch
        and hands it to the workers."""
        at = reserved = 0
        intents = self._share.intents
        while at < len(single_sends):
            rest = single_sends[at:]
            if not self._control.may_send() or not await self._readiness.ready():
                self._chunks.return_items(slot, rest)
                return
            reserved = reserved or await self._reserve(len(rest))
            if reserved == 0:
                self._chunks.return_items(slot, rest)
                return
            # Nobody is intended while others have the connections (DESIGN §2.3).
            count = intents.try_acquire(reserved) or await intents.acquire(reserved)
            # An outage may have begun during these waits: then one call at a time.
            fell_out = self._breaker.is_open and not self._probing
            if fell_out or not self._control.may_send():
                intents.release(count)
                self._chunks.return_items(slot, rest)
                return
            reserved -= count
            batch = rest[:count]
            if not await self._intend(slot, batch):
                intents.release(count)
                self._chunks.return_items(slot, rest)
                self._control.apply(await self._handle.control())
                if self._control.may_send():
                    self._abandon(slot)
                return
            at += count

    async def _reserve(self, most: int) -> int:
        """How many may go now, by the day's quota and the spacing; 0 when the day is used up."""
        limit = self._channel.pacer.day_limit
        if limit is not None:
            day = china_day(self._clock.time())
            if day > self._day:  # a clock that was set back has no new day
                self._day, self._sent_today = day, 0
            if self._sent_today >= limit:
                if self._permits < self._all_permits:
                    # What is intended has its place in today's quota: it goes out first.
                    await self._feed_signal.wait()
                    return 0
                said = f"the pace's {limit} singles of {day} are used up"
                self._control.halt_or_park(Halt(SINGLES_PER_DAY, said))
                return 0
            most = min(most, limit - self._sent_today)
        return await self._limiter.reserve(most)

    async def _intend(self, slot: LeasedChunk, batch: list[SingleSend]) -> bool:
        """Writes the intents, and once they are durable hands the batch to the workers."""
        now = self._clock.time()
        with anyio.CancelScope(shield=True):
            if not await self._chunks.renew(slot, now):
                return False
            self._permits -= len(batch)
            ok = await self._handle.intend(slot.lease, [p.seq for p in batch], now, china_day(now))
            if not ok:
                self._permits += len(batch)
                return False
            reached("after-intend-commit")
            self._sent_today += len(batch)
            if self._breaker.is_open:
                self._breaker.mark_probe(batch[0])
            self._ready.extend([(slot, single_send) for single_send in batch])
            self._wake(len(batch))
        return True

    def _abandon(self, slot: LeasedChunk) -> None:
        """The lease moved on, or its rows did: take afresh what is pending."""
        if self._chunks.abandon(slot):
            self._retries.drop_chunk(slot)

    # The workers: the gate and the call.

    def _wake(self, count: int) -> None:
        idle = self._idle
        for _ in range(min(count, len(idle))):
            turn = idle.pop()
            if not turn.done():
                turn.set_result(None)

    async def _work(self) -> None:
        ready, control, limiter = self._ready, self._control, self._limiter
        deliver, compiled = self._channel.deliver, self._compiled
        retries, breaker = self._retries, self._breaker
        calls = self._share.calls
        places = calls.semaphore
        # A place among the client's connections is kept from call to call while nobody waits.
        placed = False
        loop = asyncio.get_running_loop()
        while True:
            if placed and (places.has_waiters or not ready):
                placed = False
                calls.release()
            if not ready:
                if self._closing:
                    return
                # A bare future: an Event for each turn of a worker costs 2 µs a message.
                turn = loop.create_future()
                self._idle.append(turn)
                await turn
                continue
            slot, single_send = ready.popleft()
            settled_without_call = self._refused.get(single_send.values) if self._refused else None
            settled_without_call = settled_without_call or retries.settled_without_call(single_send)
            if settled_without_call is not None:
                self._answered(slot, single_send, settled_without_call, called=False)
                continue
            if not placed:
                calls.try_acquire() or await calls.acquire()
                placed = True
            # The gate comes after the wait for a place: it notes the moment of the call.
            if not control.may_send() or (not limiter.try_gate() and not await limiter.gate()):
                self._give_back(slot, single_send)
                continue
            if breaker.is_open and not breaker.is_probe(single_send):
                self._give_back(slot, single_send)  # it opened after these were intended
                continue
            self._calling += 1
            try:
                answer = await deliver(compiled, single_send)
            except Exception as error:  # noqa: BLE001 - a bug must cost one outcome, not the batch
                log.error("a call ended in %s: its outcome is unknown", type(error).__name__)
                answer = Answer(
                    Verdict.UNKNOWN,
                    Code.NO_ANSWER,
                    f"the call ended in {type(error).__name__}",
                    readable=False,
                )
            self._calling -= 1
            self._budget.calls += 1
            single_send.attempts += 1
            self._answered(slot, single_send, answer)

    def _give_back(self, slot: LeasedChunk, single_send: SingleSend) -> None:
        """An intended call that must wait too long goes back to pending, uncalled."""
        result = Settled(
            single_send.seq,
            _PENDING,
            "",
            "",
            None,
            self._clock.time(),
            single_send.maybe_sent,
            None,
            False,
        )
        decision = Decision(State.PENDING, again=True, maybe_sent=single_send.maybe_sent)
        self._reachability.drop(single_send)
        self._results.push(SendResult(slot, single_send, result, decision))

    def _answered(
        self, slot: LeasedChunk, single_send: SingleSend, answer: Answer, *, called: bool = True
    ) -> None:
        """Decides, notes the result for the next commit, and steers."""
        decision = decide(
            answer,
            attempt=single_send.attempts - single_send.earlier,
            maybe_sent=single_send.maybe_sent,
            idempotent=self._channel.idempotent,
            budget_left=self._budget.left,
            policy=self._policy,
        )
        verdict = answer.verdict
        if verdict is Verdict.THROTTLED and not answer.token_failed:
            self._limiter.throttled(answer.retry_after)
        if called:
            if verdict is not Verdict.SENT or not self._breaker.calm:
                self._watch_reachability(single_send, answer, decision)
        else:
            self._reachability.drop(single_send)
        if decision.again and not answer.token_failed:
            self._budget.retries += 1
        if decision.refuse_message:
            if len(self._refused) >= _MOST_REFUSED:
                del self._refused[next(iter(self._refused))]
            self._refused.setdefault(single_send.values, answer)
        if decision.halt is not None:
            self._control.halt_or_park(decision.halt)
        result = Settled(
            single_send.seq,
            decision.state.value,
            str(answer.code),
            answer.detail,
            answer.rid,
            self._clock.time(),
            decision.maybe_sent,
            kept(answer),
            called,
        )
        single_send.maybe_sent = decision.maybe_sent
        renewable = called and decision.again and answer.token_failed and self._channel.needs_tokens
        refusal = answer if renewable else None
        self._results.push(SendResult(slot, single_send, result, decision, refusal))

    def _watch_reachability(
        self, single_send: SingleSend, answer: Answer, decision: Decision
    ) -> None:
        """What one call says of the provider, whatever it says of its recipient."""
        if (
            is_unreachable(answer)
            and self._channel.idempotent
            and answer.verdict is Verdict.UNKNOWN
        ):
            # The last few may be ones whose outcome never comes: they have their own attempts,
            # and end `unknown` when those are spent.
            left = len(self._ready) + self._chunks.fresh_left
            if not self._breaker.is_open and self._chunks.dry and left <= self._policy.attempts:
                return
        lost = decision.maybe_sent or decision.state is State.UNKNOWN
        self._reachability.watch(single_send, answer, in_doubt=lost and not single_send.maybe_sent)

    def _is_quiet(self) -> bool:
        """Whether no call is under way whose result could join a commit."""
        return self._closing or not self._calling

    # Once results are on disk: permits back, and the next turn of whoever is still pending.

    async def _settled(self, batch: list[SendResult]) -> None:
        self._permits += len(batch)
        self._share.intents.release(len(batch))
        if not self._breaker.calm or self._reachability.is_kept:
            await self._reachability.save()
            self._reachability.wake()  # a group may wait for these to be through
        for slot, single_send, settled, decision, refusal in batch:
            if not settled.called:
                self._sent_today = max(self._sent_today - 1, 0)
            if decision.refuse_message:
                await self._handle.refuse_message(
                    single_send.seq, settled.code, settled.detail, settled.rid, settled.at
                )
            if decision.again:
                self._try_again(slot, single_send, decision, refusal)
                continue
            if decision.state is State.PENDING:
                self._chunks.dry = False
            else:
                self._judge_rate(decision.state is State.SENT)
            self._chunks.close(slot, 1)
        self._moved()
        self._feed_signal.set()

    def _try_again(
        self, slot: LeasedChunk, single_send: SingleSend, decision: Decision, refusal: Answer | None
    ) -> None:
        """Pending on disk now: back to its turn, after a pause when the connection was bad."""
        if refusal is not None:
            self._tasks.start_soon(self._retries.renew, slot, single_send, refusal)
            return
        pause = 0.0
        if decision.pause:
            pause = backoff(
                single_send.attempts - single_send.earlier, self._policy, self._rng.random()
            )
        self._retries.add(slot, single_send, pause)

    def _judge_rate(self, good: bool) -> None:
        halt = self._window.add(good)
        if halt is not None:
            self._control.stop(halt)
