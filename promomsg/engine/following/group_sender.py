"""Group sends: one leased group, one call, and its members' fate together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random

import anyio

from promomsg.channels.base import CompiledMessage, Following
from promomsg.clock import Clock
from promomsg.crashpoints import reached
from promomsg.engine.prepare.audience import audience_from
from promomsg.engine.sending.decision import backoff, decide
from promomsg.engine.sending.leased_chunks import LEASE_LIFE
from promomsg.engine.sending.limits import RetryBudget
from promomsg.engine.sending.reachability import Reachability
from promomsg.engine.sending.readiness import Readiness
from promomsg.engine.sending.run_control import RunControl, Wakeup
from promomsg.engine.settings import Settings
from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.records import GroupRow, Lease
from promomsg.model import Answer, Audience, Code, Promoters, State, Verdict
from promomsg.transport.connections import CampaignShare

__all__ = ["GroupSender"]

log = logging.getLogger("promomsg.engine")


class GroupSender:
    """Sends every planned group of one campaign, `groups_in_flight` at a time.

    Args:
        share: the campaign's part of the client's connections.
        reachability: whether the provider can be reached, shared with the single sends.
        accepted: called with the number of each accepted group, so that it is followed.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Following,
        compiled: CompiledMessage,
        settings: Settings,
        control: RunControl,
        *,
        clock: Clock,
        rng: Random,
        budget: RetryBudget,
        share: CampaignShare,
        reachability: Reachability,
        accepted: Callable[[int], None],
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._compiled = compiled
        self._settings = settings
        self._control = control
        self._clock = clock
        self._rng = rng
        self._budget = budget
        self._share = share
        self._reachability = reachability
        self._accepted = accepted
        self._limiter = channel.pacer.groups
        self._readiness = Readiness(channel, control, settings.retry, clock, rng)
        self.in_flight = 0
        """Group calls whose answer is awaited."""
        self._signal = Wakeup()

    async def run(self) -> None:
        """Returns when no group is left to send, or the steering says stop."""
        with anyio.CancelScope() as scope:
            if not self._control.send_in(scope):
                return
            async with anyio.create_task_group() as senders:
                for _ in range(self._settings.groups_in_flight):
                    senders.start_soon(self._send_groups)

    async def _send_groups(self) -> None:
        while True:
            await self._control.until_sending()
            if self._control.stopping:
                return
            with anyio.CancelScope(shield=True):
                lease = await self._handle.take(
                    groups=True, singles=False, now=self._clock.time(), ttl=LEASE_LIFE
                )
            if lease is None:
                return
            try:
                await self._send(lease)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._handle.release(lease)

    async def _send(self, lease: Lease) -> None:
        """One group, until it is out, refused, lost, or not to be sent now."""
        assert lease.group_no is not None
        group = await self._handle.group(lease.group_no)
        audience = await self._audience(group)
        attempt = 0
        while self._control.may_send():
            if not await self._readiness.ready():
                continue
            if not await self._reachability.admit_group(lease):
                continue
            try:
                attempt, pause = await self._in_its_place(lease, group, audience, attempt)
            finally:
                self._reachability.group_back(lease)
            if pause is None:
                return
            await self._clock.sleep(pause)

    async def _in_its_place(
        self, lease: Lease, group: GroupRow, audience: Audience, attempt: int
    ) -> tuple[int, float | None]:
        """Waits for the pace and for a place among the client's connections, then sends."""
        await self._limiter.reserve(1)
        await self._share.intents.acquire()
        try:
            await self._share.calls.acquire()
            try:
                if not self._control.may_send():
                    return attempt, None
                if not self._reachability.may_go(lease):
                    return attempt, 0.0
                with anyio.CancelScope(shield=True):
                    attempt, pause = await self._send_once(lease, group, audience, attempt)
                return attempt, pause
            finally:
                self._share.calls.release()
        finally:
            self._share.intents.release()

    async def _send_once(
        self, lease: Lease, group: GroupRow, audience: Audience, attempt: int
    ) -> tuple[int, float | None]:
        """Intends, calls and settles; the calls made so far, and seconds until the next try."""
        # The pace, or others on this client, may have kept it for longer than a lease lives.
        now = self._clock.time()
        renewed = await self._handle.renew(lease, now=now, ttl=LEASE_LIFE)
        if renewed is None or not await self._handle.intend_group(renewed, now):
            self._control.apply(await self._handle.control())
            return attempt, None
        reached("group-intended")
        if not await self._limiter.gate() or not self._reachability.may_go(lease):
            await self._handle.return_group(lease, "", "", False)
            return attempt, 0.0
        answer = await self._call(group, audience)
        self._budget.calls += 1
        pause = await self._settle(lease, answer, attempt + 1)
        await self._watch_reachability(lease, answer)
        return attempt + 1, pause

    async def _watch_reachability(self, lease: Lease, answer: Answer) -> None:
        """What a group call says of the provider. A lost one costs all its members: as a probe it
        is not tried twice in a run."""
        lost = answer.verdict is Verdict.UNKNOWN
        self._reachability.watch(lease, answer, in_doubt=lost, costly=True)
        await self._reachability.save()

    async def _call(self, group: GroupRow, audience: Audience) -> Answer:
        self.in_flight += 1
        self._reachability.group_calls += 1
        try:
            return await self._channel.deliver_group(self._compiled, group.values, audience)
        except Exception as error:  # noqa: BLE001 - a bug must cost one group, not the campaign
            why = f"the call ended in {type(error).__name__}"
            log.error("%s: its outcome is unknown", why)
            return Answer(Verdict.UNKNOWN, Code.NO_ANSWER, why, readable=False)
        finally:
            self._reachability.group_calls -= 1
            self.in_flight -= 1

    async def _audience(self, group: GroupRow) -> Audience:
        if group.audience is not None:
            return audience_from(group.audience)
        ids = await self._handle.group_members(group.group_no)
        if not ids:
            raise JournalError(f"group {group.group_no} has no members left; this is a bug")
        return Promoters(tuple(ids))

    async def _settle(self, lease: Lease, answer: Answer, attempt: int) -> float | None:
        """Writes what a group call came to; seconds until the next try, None when there is none."""
        now = self._clock.time()
        verdict = answer.verdict
        handle = self._handle
        if verdict is Verdict.ACCEPTED and answer.msg_id:
            await handle.accept_group(
                lease, answer.msg_id, answer.rid, now, now + self._settings.poll.first_wait
            )
            reached("group-accepted")
            assert lease.group_no is not None
            self._accepted(lease.group_no)
            return None
        if verdict in (Verdict.SENT, Verdict.ACCEPTED, Verdict.UNKNOWN):
            # Without a msg_id nobody can ask how it went: taken or not, the outcome is unknown.
            await handle.lose_group(lease, str(answer.code or Code.NO_ANSWER), answer.detail, now)
            return None
        if verdict in (Verdict.FAILED, Verdict.REFUSED):
            await handle.refuse_group(
                lease,
                answer.code,
                answer.detail,
                answer.rid,
                now,
                everybody=verdict is Verdict.REFUSED,
            )
            return None
        await handle.return_group(lease, answer.code, answer.detail, True)
        decision = decide(
            answer,
            attempt=attempt,
            maybe_sent=False,
            idempotent=False,
            budget_left=self._budget.left,
            policy=self._settings.retry,
        )
        assert decision.state is State.PENDING
        if verdict is Verdict.THROTTLED and not answer.token_failed:
            self._limiter.throttled(answer.retry_after)
        if decision.halt is not None:
            self._control.halt_or_park(decision.halt)
            return None
        if not answer.token_failed:
            self._budget.retries += 1
        if answer.token_failed or verdict is Verdict.THROTTLED:
            return 0.0
        return backoff(attempt, self._settings.retry, self._rng.random())
