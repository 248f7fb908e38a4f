"""Single sends: from leased chunks through intents, the pace and the wire to durable results.

How a single send flows (docs/design.md, "The order of a send"), and which method does it:

1. A chunk of a few hundred recipients is leased (`LeasedChunks.take`), the next one before it ends.
2. The feeder chooses a batch of it (`NextStep.choose`): as many as there are permits.
3. The batch waits for what every send needs: an access token, the day's quota, the pace, a share of
   the client's permits, open connections (`_send_off`). A wait here leaves nobody in doubt.
4. Permits are taken and the intents of the whole batch written in one commit, since a commit costs
   about as much for one row as for a thousand; once they are durable, the batch is handed to the
   workers (`_intend`). After a kill from here on, they may have been sent.
5. A worker takes a connection and calls (`_work`). Right before the first byte the gate is passed
   (`FirstByteCheck`). One that would have to wait for long goes back to pending, uncalled.
6. The answer is judged (`Brakes.judge`), and its result joins the next commit (`_answered`).
7. Results are committed in batches (`ResultWriter`); only then are permits given back and those
   who are pending again queued for their retry (`_committed`).
8. A chunk of which all are final is given back; when nobody has another, all is done.

Tasks are a pool of workers, one feeder and one result writer: there is never a task, nor a Python
object that stays, per recipient.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import anyio

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.clock import Clock, china_day
from promomsg.crashpoints import reached
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.sending.before_intent import BeforeIntent
from promomsg.engine.sending.brakes.brakes import Brakes
from promomsg.engine.sending.decision import lost_answer
from promomsg.engine.sending.first_byte import FirstByteCheck, behind_last_check
from promomsg.engine.sending.held_leases import HeldLeases
from promomsg.engine.sending.leased_chunks import LeasedChunk, LeasedChunks
from promomsg.engine.sending.next_step import (
    AcquireProbe,
    AskJournal,
    AwaitResults,
    NextStep,
    Permits,
    RefusedMessages,
    Send,
    Wait,
)
from promomsg.engine.sending.result_batches import FollowUp, ResultBatch, ResultWriter
from promomsg.engine.sending.retry_queue import RetryQueue
from promomsg.engine.sending.run_control import RunControl
from promomsg.engine.settings import Settings
from promomsg.journal.contract import Handle
from promomsg.journal.records import Reason, SendResult
from promomsg.model import Answer, SingleSend, State
from promomsg.telemetry.in_force import observe_calls
from promomsg.transport.connections import CampaignShare
from promomsg.wakeup import Wakeup

__all__ = ["Dispatcher"]

log = logging.getLogger("promomsg.engine")

_PATIENT_LINGER: Final = 0.02
_PACED_LINGER: Final = 0.25
_PENDING: Final = State.PENDING.value


class Dispatcher:
    """Sends every pending single of one campaign.

    Args:
        brakes: what slows or stops it, shared with the group sends.
        leases: those of the run, shared with them too.
        share: the campaign's part of the client's connections, shared with them too.
        tokens: the user tokens; None for channels without them.
        notify: called after each commit, for live progress.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        compiled: CompiledMessage,
        settings: Settings,
        control: RunControl,
        brakes: Brakes,
        *,
        clock: Clock,
        leases: HeldLeases,
        share: CampaignShare,
        tokens: RecipientTokens | None,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._handle, self._control, self._clock = handle, control, clock
        self._channel, self._compiled = channel, compiled
        self._concurrency = most = settings.concurrency
        self._brakes, self._leases = brakes, leases
        self._reachability, self._breaker = brakes.reachability, brakes.reachability.breaker
        self._share, self._notify = share, notify
        self._limiter = channel.pacer.singles
        self._ready: deque[tuple[LeasedChunk, SingleSend, float]] = deque()
        """Intended, when, and not called yet."""
        self._idle: list[asyncio.Future[None]] = []
        self._calling, self._closing = 0, False
        self._changed = Wakeup()
        """Set when the feeder may have a step to take that it had not before."""
        self._single_probe = object()
        # Group calls that are out count too (docs/design.md, "Intent before the wire").
        groups = settings.groups_in_flight if channel.groups else 0
        permits = self._permits = Permits(max(1, 2 * most - groups))
        quorum = max(1, most // 2)
        self._refused = RefusedMessages()
        self._chunks = LeasedChunks(
            handle, channel, leases, tokens, 2 * most, lambda: permits.out, self._changed.set
        )
        self._before = BeforeIntent(
            channel, control, clock, permits, share, most, lambda: self._calling, self._changed
        )
        self._retries = RetryQueue(channel, self._chunks, clock, self._changed.set)
        self.send_no_more = self._retries.take_no_more
        self._next = NextStep(
            self._chunks,
            self._retries,
            self._refused,
            permits,
            brakes.reachability,
            single_probe=self._single_probe,
            attempts=settings.retry.attempts,
            quorum=quorum,
            batch=most,
        )
        self._results = ResultWriter(
            handle, quorum, self._no_more_calls, self._hurried, self._linger, self._committed
        )
        brakes.reachability.attach_singles(
            out=lambda: self._permits.out, to_go=self._to_go, changed=self._changed.set
        )

    @property
    def in_flight(self) -> int:
        """Calls under way: their connection, the gate or their answer is awaited."""
        return self._calling

    async def run(self) -> None:
        """Returns when every single is final, or the control says stop and all calls are back.

        Raises:
            JournalError: the journal failed; what was intended is unknown to a later process.
        """
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._results.run)
            async with anyio.create_task_group() as workers:
                for _ in range(self._concurrency):
                    workers.start_soon(self._work)
                with anyio.CancelScope() as scope:
                    if self._control.attach_sending(scope):
                        async with anyio.create_task_group() as feeding:
                            await self._chunks.tried(partial(self._feed, feeding))
                self._reachability.finish_singles()
                self._closing = True
                self._wake(len(self._idle))
            # Only now: calls that were in flight when the feeder ended have had results to write.
            self._results.finish()
        await self._chunks.release_all()

    # The feeder: permits, the pace, intents.

    async def _feed(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            self._retries.leave_closed(self._control.opening().cohorts)
            await self._chunks.release_finished()
            if not await self._control.until_sending():
                return
            # Whatever woke the feeder so far is in what is chosen now.
            self._changed.clear()
            step = self._next.choose(calling=self._calling)
            if not isinstance(step, Send):
                self._reachability.drop(self._single_probe)
            if isinstance(step, AcquireProbe):
                await self._reachability.acquire_probe(self._single_probe)
            elif isinstance(step, Send):
                self._chunks.look_ahead(tasks)
                await self._send_off(step.chunk, step.single_sends)
                self._reachability.drop(self._single_probe)
            elif isinstance(step, Wait):
                self._chunks.look_ahead(tasks)
                await self._changed.wait_for(step.seconds, self._clock)
            elif isinstance(step, AskJournal):
                await self._chunks.take()
                if step.last and await self._chunks.none_left():
                    return
                self._notify()
            elif isinstance(step, AwaitResults):
                await self._changed.wait()
                self._chunks.exhausted = False

    async def _send_off(self, chunk: LeasedChunk, single_sends: list[SingleSend]) -> None:
        """Waits for what every send needs, then intends as many as may go and hands them to the
        workers, until all have gone or something says stop: the rest is put back."""
        at = reserved = 0
        intents, may_send, cohort = self._share.intents, self._control.may_send, chunk.lease.cohort
        try:
            while at < len(single_sends):
                if not may_send(cohort) or not await self._brakes.ready():
                    break
                reserved = reserved or await self._before.reserve(len(single_sends) - at)
                if reserved == 0:
                    break
                # Nobody is intended while others have the connections.
                count = await self._before.acquire(reserved)
                # An outage may have begun during these waits: then one call at a time.
                may_go = self._reachability.may_go(self._single_probe)
                if not may_go or not may_send(cohort):
                    intents.release(count)
                    break
                if not await self._intend(chunk, single_sends[at : at + count]):
                    intents.release(count)
                    self._control.heed(await self._handle.control())
                    if may_send() and self._chunks.abandon(chunk):
                        # The lease moved on, or its rows did: what is pending is taken afresh.
                        self._retries.drop_chunk(chunk)
                    break
                reserved -= count
                at += count
                if not reserved and len(single_sends) - at < count:
                    break  # less than the next bunch, which is chosen afresh
        finally:
            self._before.give_back(reserved)
            self._chunks.return_items(chunk, single_sends[at:])

    async def _intend(self, chunk: LeasedChunk, batch: list[SingleSend]) -> bool:
        """Writes the intents, and once they are durable hands the batch to the workers."""
        now = self._clock.time()
        with anyio.CancelScope(shield=True):
            if self._clock.monotonic() >= chunk.deadline and not await self._leases.ensure(chunk):
                return False
            self._permits.free -= len(batch)
            ok = await self._handle.intend(chunk.lease, [s.seq for s in batch], now, china_day(now))
            if not ok:
                self._permits.free += len(batch)
                return False
            chunk.out += len(batch)
            reached("after-intend-commit")
            if self._breaker.is_open:
                self._breaker.mark_probe(batch[0])
            self._ready.extend([(chunk, single_send, now) for single_send in batch])
            self._wake(len(batch))
        return True

    # The workers: the gate and the call.

    def _wake(self, count: int) -> None:
        idle = self._idle
        for _ in range(min(count, len(idle))):
            worker = idle.pop()
            if not worker.done():
                worker.set_result(None)

    async def _work(self) -> None:
        ready = self._ready
        deliver = observe_calls(behind_last_check(self._channel.deliver), "single", self._channel)
        compiled, retries, refused = self._compiled, self._retries, self._refused.answers
        check = FirstByteCheck(
            self._handle, self._control, self._breaker, self._limiter, self._clock
        )
        calls, loop = self._share.calls, asyncio.get_running_loop()
        connections = calls.semaphore
        # A connection is kept from call to call while nobody waits for one.
        connected = False
        while True:
            if connected and (connections.has_waiters or not ready):
                connected = False
                calls.release()
            if not ready:
                if self._closing:
                    return
                # A bare future: an Event for each wait of a worker costs 2 µs a message.
                woken = loop.create_future()
                self._idle.append(woken)
                await woken
                continue
            chunk, single_send, intended_at = ready.popleft()
            without_call = refused.get(single_send.values) if refused else None
            without_call = without_call or retries.settled_without_call(single_send)
            if without_call is not None:
                self._answered(chunk, single_send, intended_at, without_call, called=False)
                continue
            if not connected:
                calls.try_acquire() or await calls.acquire()
                connected = True
            check.start(single_send, chunk, single_send.seq)
            self._calling += 1
            try:
                answer = await deliver(compiled, single_send, check)
            except Exception as error:  # noqa: BLE001 - a bug must cost one outcome, not the batch
                answer = lost_answer(error)
                log.error("%s: its outcome is unknown", answer.detail)
            self._calling -= 1
            if check.withheld:
                self._put_back(chunk, single_send)
                continue
            single_send.attempts += 1
            self._answered(chunk, single_send, intended_at, answer, check.number)

    def _no_more_calls(self) -> bool:
        """Whether no call is under way, or waits for its turn, whose result could join a commit."""
        return self._closing or not (self._calling or self._share.calls.waiters)

    def _hurried(self) -> bool:
        """Whether workers have nobody to call, or other campaigns wait for permits."""
        idle = not self._ready and self._idle != []
        return idle or self._share.intents.semaphore.has_waiters

    def _linger(self) -> float:
        """Seconds that results wait for others: long while it is the pace that sends wait for, and
        not a permit; longer than usual while it is the turn of other campaigns, and where a send
        whose result is lost is made again and the provider says the same."""
        others = self._share.intents.semaphore.has_waiters
        if self._permits.free >= self._concurrency and self._limiter.rate and not others:
            return _PACED_LINGER
        return _PATIENT_LINGER if others or self._channel.idempotent else self._handle.linger

    def _to_go(self) -> int | None:
        """How many are left to be called for the first time; None: the journal may have more."""
        return len(self._ready) + self._chunks.fresh_left if self._chunks.are_all else None

    def _put_back(self, chunk: LeasedChunk, single_send: SingleSend) -> None:
        """An intended one that must wait too long is pending again, uncalled."""
        self._reachability.drop(single_send)
        now, maybe_sent = self._clock.time(), single_send.maybe_sent
        result = SendResult(
            single_send.seq, _PENDING, "", "", None, now, maybe_sent, None, called=False
        )
        decision = self._chunks.uncalled(single_send)
        self._results.push(chunk, result, FollowUp(chunk, single_send, result, decision))

    def _answered(
        self,
        chunk: LeasedChunk,
        single_send: SingleSend,
        intended_at: float,
        answer: Answer,
        number: int = 0,
        *,
        called: bool = True,
    ) -> None:
        """Has the answer judged, and its result written with the next commit."""
        decision = self._brakes.judge(
            single_send,
            answer,
            self._limiter,
            attempt=single_send.attempts - single_send.earlier,
            number=number,
            maybe_sent=single_send.maybe_sent,
            called=called,
        )
        state = str(decision.state)
        result = SendResult(
            single_send.seq,
            state,
            str(answer.code),
            answer.detail,
            answer.rid,
            self._clock.time(),
            decision.maybe_sent,
            answer.extra,
            called,
            intended_at,
        )
        if called and state != _PENDING and not decision.message_refused:
            self._results.push(chunk, result)
            return
        if decision.message_refused:
            self._refused.add(single_send.values, answer)
        single_send.maybe_sent = decision.maybe_sent
        renewable = called and decision.again and answer.token_failed and self._channel.needs_tokens
        refusal = answer if renewable else None
        self._results.push(chunk, result, FollowUp(chunk, single_send, result, decision, refusal))

    # Once results are on disk: permits back, and a retry for those who are pending again.

    async def _committed(self, batch: ResultBatch) -> None:
        self._permits.free += batch.count
        self._share.intents.release(batch.count)
        if not self._breaker.calm or self._reachability.has_saved_outage:
            await self._reachability.save()
            self._reachability.wake()  # a group send may wait for these permits
        finished = {chunk: len(results) for chunk, results in batch.by_chunk.items()}
        for follow_up in batch.follow_ups:
            await self._follow_up(follow_up)
            finished[follow_up.chunk] -= follow_up.decision.again
        for chunk, results in batch.by_chunk.items():
            chunk.out -= len(results)
            self._brakes.count_outcomes(results)
            self._chunks.finish(chunk, finished[chunk])
        self._notify()
        self._changed.set()

    async def _follow_up(self, follow_up: FollowUp) -> None:
        chunk, single_send, result, decision, refusal = follow_up
        if not result.called:
            self._before.give_back(1)
        if decision.message_refused:
            await self._handle.refuse_message(
                single_send.seq, Reason(result.code, result.detail, result.rid), result.at
            )
        if refusal is not None:
            self._tasks.start_soon(self._retries.renew, chunk, single_send, refusal)
        elif decision.again and self._chunks.holds(chunk):
            attempt = single_send.attempts - single_send.earlier
            self._retries.add(chunk, single_send, self._brakes.pause(decision, attempt))
        elif decision.state is State.PENDING:
            self._chunks.exhausted = False
