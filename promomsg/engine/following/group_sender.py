"""Group sends: one leased group, one call, and its members' fate together."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from promomsg.channels.base import CompiledMessage, Following
from promomsg.clock import Clock
from promomsg.crashpoints import reached
from promomsg.engine.prepare.audience import audience_from
from promomsg.engine.sending.brakes.brakes import Brakes
from promomsg.engine.sending.decision import Decision, lost_answer
from promomsg.engine.sending.first_byte import FirstByteCheck, behind_last_check
from promomsg.engine.sending.held_leases import HeldLease, HeldLeases
from promomsg.engine.sending.run_control import RunControl
from promomsg.engine.settings import Settings
from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.records import GroupRow, Lease, Reason
from promomsg.log_events import log_event
from promomsg.model import Answer, Audience, Code, Promoters, State
from promomsg.telemetry.in_force import observe_calls
from promomsg.transport.connections import CampaignShare

__all__ = ["GroupSender"]

log = logging.getLogger("promomsg.engine")


def _not_followed(group_no: int) -> None:
    """A group was accepted by a part that does not poll."""


class GroupSender:
    """Sends every planned group of one campaign, `groups_in_flight` at a time.

    Args:
        brakes: what slows or stops it, shared with the single sends.
        leases: those of the run, shared with them too.
        share: the campaign's part of the client's connections, shared with them too.
        accepted: called with the number of each accepted group, so that it is followed; None: by
            whoever finds its look due.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Following,
        compiled: CompiledMessage,
        settings: Settings,
        control: RunControl,
        brakes: Brakes,
        *,
        clock: Clock,
        leases: HeldLeases,
        share: CampaignShare,
        accepted: Callable[[int], None] | None,
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._compiled = compiled
        self._settings = settings
        self._control = control
        self._brakes = brakes
        self._reachability = brakes.reachability
        self._clock = clock
        self._leases = leases
        self._share = share
        self._accepted = accepted or _not_followed
        self._limiter = channel.pacer.groups
        self._deliver = behind_last_check(channel.deliver_group)
        self._no_more = False
        self._untried: set[anyio.CancelScope] = set()
        """What the groups wait in that were not called yet."""

    @property
    def in_flight(self) -> int:
        """Group calls whose answer is awaited."""
        return self._reachability.group_calls

    def send_no_more(self) -> None:
        """Leaves groups that were not called yet to other senders; those that were are brought to an end
        here."""
        self._no_more = True
        for scope in self._untried:
            scope.cancel()

    async def run(self) -> None:
        """Returns when no group is left to send, by other senders neither, or the control says
        stop."""
        self._deliver = observe_calls(self._deliver, "group", self._channel)
        with anyio.CancelScope() as scope:
            if not self._control.attach_sending(scope):
                return
            async with anyio.create_task_group() as senders:
                for _ in range(self._settings.groups_in_flight):
                    senders.start_soon(self._send_all)

    async def _send_all(self) -> None:
        with self._leases.sending():
            await self._send_groups()

    async def _send_groups(self) -> None:
        while True:
            if not await self._control.until_sending() or self._no_more:
                return
            with anyio.CancelScope(shield=True):
                taken = await self._leases.take(
                    groups=True, singles=False, idempotent=self._channel.idempotent
                )
            if taken is None:
                if await self._leases.left_to_others(groups=True):
                    continue
                return
            held = HeldLease(*taken)
            self._leases.add(held)
            try:
                await self._send(held)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._leases.release(held)

    async def _send(self, held: HeldLease) -> None:
        """One group, until it is out, refused, lost, or not to be sent now."""
        lease = held.lease
        assert lease.group_no is not None
        group = await self._handle.group(lease.group_no)
        audience = await self._audience(group)
        attempt = 0
        while self._control.may_send(lease.cohort) and (attempt or not self._no_more):
            pause: float | None = 0.0
            with anyio.CancelScope() as scope:
                if not attempt:
                    self._untried.add(scope)
                try:
                    if not await self._brakes.ready():
                        continue
                    if not await self._reachability.admit_group(lease):
                        continue
                    try:
                        attempt, pause = await self._send_at_pace(held, group, audience, attempt)
                    finally:
                        self._reachability.release_group(lease)
                finally:
                    self._untried.discard(scope)
            if pause is None:
                return
            await self._clock.sleep(pause)

    async def _send_at_pace(
        self, held: HeldLease, group: GroupRow, audience: Audience, attempt: int
    ) -> tuple[int, float | None]:
        """Waits for the pace and for a place among the client's connections, then sends."""
        await self._limiter.reserve(1)
        await self._share.intents.acquire()
        try:
            await self._share.calls.acquire()
            try:
                await self._channel.connect_ahead(1)
                if not self._control.may_send(held.lease.cohort):
                    return attempt, None
                if not self._reachability.may_go(held.lease):
                    return attempt, 0.0
                with anyio.CancelScope(shield=True):
                    attempt, pause = await self._send_once(held, group, audience, attempt)
                return attempt, pause
            finally:
                self._share.calls.release()
        finally:
            self._share.intents.release()

    async def _send_once(
        self, held: HeldLease, group: GroupRow, audience: Audience, attempt: int
    ) -> tuple[int, float | None]:
        """Intends, calls and settles; the calls made so far, and seconds until the next try."""
        lease = held.lease
        if not (
            await self._leases.ensure(held)
            and await self._handle.intend_group(lease, self._clock.time())
        ):
            self._control.heed(await self._handle.control())
            return attempt, None
        reached("group-intended")
        breaker = self._reachability.breaker
        check = FirstByteCheck(self._handle, self._control, breaker, self._limiter, self._clock)
        check.start(lease, held)
        answer = await self._call(group, audience, check)
        if check.withheld:
            await self._handle.return_group(lease, Reason(), False)
            return attempt, 0.0
        attempt += 1
        # A lost group costs all its members: as a probe it is not tried twice in a run.
        decision = self._brakes.judge(
            lease, answer, self._limiter, attempt=attempt, number=check.number, group=True
        )
        await self._write(lease, answer, decision)
        if decision.accepted:
            log_event(
                log,
                "group.accepted",
                "%(campaign)s: group %(group)s of %(members)s was accepted as %(msg_id)s",
                campaign=self._handle.record.name,
                group=group.group_no,
                msg_id=answer.msg_id,
                members=group.planned,
            )
        await self._reachability.save()
        return attempt, self._brakes.pause(decision, attempt) if decision.again else None

    async def _call(self, group: GroupRow, audience: Audience, check: FirstByteCheck) -> Answer:
        try:
            with self._reachability.group_call():
                return await self._deliver(self._compiled, group.values, audience, check)
        except Exception as error:  # noqa: BLE001 - a bug must cost one group, not the campaign
            answer = lost_answer(error)
            log.error("%s: its outcome is unknown", answer.detail)
            return answer

    async def _audience(self, group: GroupRow) -> Audience:
        if group.audience is not None:
            return audience_from(group.audience)
        ids = await self._handle.group_members(group.group_no)
        if not ids:
            raise JournalError(f"group {group.group_no} has no members left; this is a bug")
        return Promoters(tuple(ids))

    async def _write(self, lease: Lease, answer: Answer, decision: Decision) -> None:
        """Writes what a group call came to."""
        handle, now = self._handle, self._clock.time()
        if decision.accepted:
            assert lease.group_no is not None
            next_poll_at = now + self._settings.poll.first_wait
            msg_id = answer.msg_id or ""
            kept = await handle.accept_group(lease, msg_id, answer.rid, now, next_poll_at)
            reached("group-accepted")
            if kept:
                self._accepted(lease.group_no)
            else:
                await handle.warn(
                    f"group {lease.group_no} was taken for lost, and has been accepted after all as "
                    f"{msg_id}: `promomsg reconcile --adopt` follows it on"
                )
        elif decision.state is State.UNKNOWN:
            await handle.lose_group(
                lease, Reason(str(answer.code or Code.NO_ANSWER), answer.detail), now
            )
        elif decision.state is State.FAILED:
            everybody = decision.message_refused
            await handle.refuse_group(
                lease, Reason(answer.code, answer.detail, answer.rid), now, everybody=everybody
            )
        else:
            await handle.return_group(lease, Reason(answer.code, answer.detail), True)
