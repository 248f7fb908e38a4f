"""A campaign under way: its senders, its poller, its stream of outcomes, and its end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from promomsg.channels.base import has_groups
from promomsg.clock import Clock
from promomsg.engine.frequency.counted_at_start import may_begin
from promomsg.engine.observing.observe_run import observe_run
from promomsg.engine.prepare.campaign_start import RunContext
from promomsg.engine.report import Progress, Report, campaign_state
from promomsg.engine.schedule.first_watch import watch_of
from promomsg.engine.schedule.waiting import NOT_WAITING, schedule_of
from promomsg.engine.sending.brakes.brakes import Brakes
from promomsg.engine.sending.dispatcher import Dispatcher
from promomsg.engine.sending.held_leases import HeldLeases
from promomsg.engine.sending.run_control import RunControl
from promomsg.errors import JournalError
from promomsg.journal.reasons import CANCELLED, FINISHED
from promomsg.journal.records import Control
from promomsg.log_events import EVENTS, log_event
from promomsg.model import Outcome
from promomsg.telemetry.in_force import set_in_force
from promomsg.url_origins import origin
from promomsg.wakeup import wait_at_most

if TYPE_CHECKING:
    from promomsg.campaign_events import CampaignEvent
    from promomsg.channels.base import Following
    from promomsg.engine.following.group_sender import GroupSender
    from promomsg.engine.following.poller import Poller
    from promomsg.engine.settings import Settings

__all__ = ["Run"]

log = logging.getLogger("promomsg.engine")

_PAGE = 500
_COUNT_EVERY = 0.05
"""Seconds between counts for `progress`, at the least."""
_LINGERS = 10
"""The same in the journal's lingers: where a commit costs more, so does a look."""


class Run:
    """Drives one started campaign; `drive` is its one task, the rest may be called from outside.

    Where it does a part only, it ends when it has nothing to take, whatever others hold.
    """

    def __init__(self, context: RunContext, *, clock: Clock, rng: Random) -> None:
        self._context = context
        self._observer = observe_run(context, clock)
        part = context.part
        self._handle = handle = context.handle
        self._clock = clock
        self._began_at = clock.monotonic()
        channel = context.channel
        poll = context.settings.poll.resolved(loopback=channel.loopback)
        settings = msgspec.structs.replace(context.settings, poll=poll)
        self.control = RunControl(
            handle,
            clock,
            daily_codes=channel.daily_quota_codes,
            wait_for_day=settings.on_daily_quota == "wait",
            patient=part is None,
            schedule=schedule_of(handle.record),
            first=watch_of(handle),
            now=context.now,
            rng=rng,
        )
        self._brakes = Brakes(handle, channel, settings, self.control, clock=clock, rng=rng)
        self._limiter = channel.pacer.singles
        self._leases = HeldLeases(handle, clock, patient=part is None, control=self.control)
        self._share = channel.connections.campaign()
        self._dispatcher: Dispatcher | None = None
        if part is None or part.singles:
            self._dispatcher = Dispatcher(
                handle,
                channel,
                context.compiled,
                settings,
                self.control,
                self._brakes,
                clock=clock,
                leases=self._leases,
                share=self._share,
                tokens=context.tokens,
                notify=self._notify,
            )
        else:
            self._brakes.reachability.finish_singles()
        self._poller: Poller | None = None
        self._groups: GroupSender | None = None
        if has_groups(channel):
            self._add_groups(channel, settings)
        self._counts, self._group_rows = context.counts, context.groups
        self._changed = anyio.Event()
        self.submitted = anyio.Event()
        self.ended = anyio.Event()
        self.error: JournalError | None = None
        self._elapsed: float | None = None
        self._closed_state: tuple[str, str, float | None] | None = None

    def _add_groups(self, channel: Following, settings: Settings) -> None:
        """What sends and follows groups. It is loaded for a channel that has them."""
        from promomsg.engine.following.group_sender import GroupSender
        from promomsg.engine.following.poller import Poller

        context, part = self._context, self._context.part
        if part is None or part.polls:
            self._poller = Poller(
                self._handle,
                channel,
                settings,
                self.control,
                clock=self._clock,
                keep_files=not context.temporary,
                answered=self._brakes.reachability.record_poll,
                notify=self._notify,
            )
        if part is None or part.groups:
            self._groups = GroupSender(
                self._handle,
                channel,
                context.compiled,
                settings,
                self.control,
                self._brakes,
                clock=self._clock,
                leases=self._leases,
                share=self._share,
                accepted=None if self._poller is None else self._poller.accepted,
            )

    def _notify(self) -> None:
        """Something was committed, or the run ended: whoever waits for that looks again."""
        event, self._changed = self._changed, anyio.Event()
        event.set()

    async def drive(self) -> None:
        """Runs to the end; a cancellation from outside waits until calls in flight are back."""
        set_in_force(self._context.observers)
        try:
            with anyio.CancelScope(shield=True):
                await self._drive()
        except BaseExceptionGroup as group:
            errors, others = group.split(JournalError)
            if others is not None:
                raise
            assert errors is not None
            self.error = _first(errors)
        except JournalError as error:
            self.error = error
        finally:
            self._share.close()
            if self.error is not None:
                with anyio.CancelScope(shield=True), suppress(JournalError):
                    await self._count()  # what the journal has, as far as it can be read
            self._elapsed = self._clock.monotonic() - self._began_at
            self.submitted.set()
            self.ended.set()
            self._notify()
            if self._observer is not None:
                self._observer.ended(self.progress(), self.error)
            if self._context.part is None and log.isEnabledFor(logging.INFO):
                self._log_end()

    def _log_start(self) -> None:
        log_event(
            log,
            "campaign.started",
            "%(campaign)s: sending, %(pending)s of %(planned)s are to come",
            campaign=self._handle.record.name,
            planned=self._counts.planned,
            pending=self._counts.pending,
            journal=self._context.address,
        )

    def _log_end(self) -> None:
        now = self.progress()
        counts = {
            name: getattr(now, name) for name in EVENTS["campaign.ended"] if name != "journal"
        }
        log_event(
            log,
            "campaign.ended",
            "%(campaign)s: %(state)s after %(elapsed_s)s s: %(sent)s sent, %(failed)s failed, "
            "%(unknown)s unknown, %(pending)s pending %(reason)s",
            **counts,
            journal=self._context.address,
        )

    async def _drive(self) -> None:
        settings, part = self._context.settings, self._context.part
        if part is None:
            self._log_start()
        await self.control.look_at_first(await self._handle.control())
        await self._handle.make_slots(2 * settings.concurrency + settings.groups_in_flight)
        async with anyio.create_task_group() as watching:
            watching.start_soon(self.control.watch)
            if part is None:
                watching.start_soon(self._keep_counts)
            watching.start_soon(self._leases.run)
            if self._observer is not None:
                self._observer.started(self._counts)
                watching.start_soon(self._observer.look, self)
            async with anyio.create_task_group() as following:
                if self._poller is not None:
                    poll = self._poller.run if part is None else self._poller.run_once
                    following.start_soon(poll)
                await self._send()
                await self._brakes.reachability.save()
                if self.control.cancelled:
                    reason = FINISHED if self.control.is_over else CANCELLED
                    await self._handle.cancel_pending(self._clock.time(), reason)
                await self._count()
                self.submitted.set()
                self._notify()
                if self._poller is not None:
                    self._poller.sending = False
                    self._poller.wake()
            watching.cancel_scope.cancel()
        await self._count()
        await self.control.write_halt()
        await self.control.write_park()

    async def _send(self) -> None:
        """Sends what is to be sent, at the pace that everybody who sends for the account shares."""
        if not await may_begin(self._context, self.control, self._clock):
            return
        channel = self._context.channel
        of = (channel.name, origin(channel.base_url), channel.account)
        store = self._context.journal.quota_store(*of)
        async with channel.pacer.shared_through(store) as trouble:
            await self._warn(trouble)
            async with anyio.create_task_group() as sending:
                if self._dispatcher is not None:
                    sending.start_soon(self._dispatcher.run)
                if self._groups is not None:
                    sending.start_soon(self._groups.run)
        await self._warn(channel.pacer.trouble)

    async def _warn(self, text: str) -> None:
        if text and text not in self._handle.record.warnings:
            await self._handle.warn(text)

    async def _count(self) -> None:
        # A plan without groups gets none later.
        groups = await self._handle.groups() if self._group_rows else self._group_rows
        # The two change together, or a campaign would look done before its groups do.
        self._counts, self._group_rows = await self._handle.counts(), groups
        if self._observer is not None:
            self._observer.counted(self._counts)

    async def _keep_counts(self) -> None:
        """Keeps what `progress` shows fresh, a few times a second at the most."""
        clock = self._clock
        while True:
            changed = self._changed
            began = clock.monotonic()
            await self._count()
            # With thousands of groups a count takes long: most of the time is for sending.
            took = clock.monotonic() - began
            next_at = began + max(_COUNT_EVERY, _LINGERS * self._handle.linger, 5 * took)
            await changed.wait()
            if (early := next_at - clock.monotonic()) > 0:
                await clock.sleep(early)

    def stop(self) -> None:
        """Nothing more goes out; calls in flight finish."""
        if not self.ended.is_set():
            self.control.stop()

    def send_no_more(self) -> None:
        """Whoever was not tried yet is left to other senders; what has begun is brought to an end."""
        for sender in (self._dispatcher, self._groups):
            if sender is not None:
                sender.send_no_more()

    @property
    def is_troubled(self) -> bool:
        """Whether it is being found out if the provider is there."""
        return self._brakes.is_troubled

    async def write(self, control: Control) -> None:
        """Makes a request durable, so that a later process knows it too."""
        await self._handle.set_control(control)

    async def stream(self) -> AsyncIterator[Outcome]:
        """Outcomes in the order in which they became final. A slow reader slows nobody."""
        cursor = self._context.stream_from
        while True:
            changed, ended = self._changed, self.ended.is_set()
            page, cursor = await self._handle.outcomes(after=cursor, limit=_PAGE)
            for outcome in page:
                yield outcome
            if page:
                continue
            if ended:
                break
            await changed.wait()
        if self.error is not None:
            raise self.error

    @property
    def in_flight(self) -> int:
        """Calls under way: their connection, the gate or their answer is awaited."""
        groups = 0 if self._groups is None else self._groups.in_flight
        singles = 0 if self._dispatcher is None else self._dispatcher.in_flight
        return singles + groups

    @property
    def pending(self) -> int:
        """Recipients without an outcome, as they were counted last."""
        return self._counts.pending

    @property
    def calls(self) -> int:
        """Sends that were called, single and group ones."""
        return self._brakes.calls

    def _state(self) -> tuple[str, str, float | None]:
        """Where it stands, why, and until when it waits."""
        ended, waiting = self.ended.is_set(), self.control.waiting
        if ended and self.control.waits_for_day:
            waiting = NOT_WAITING  # it is a later run that may send
        halted = self._handle.record.halted
        control = Control.PAUSE if self.control.paused else Control.RUN
        state, reason = campaign_state(
            self._counts,
            self._group_rows,
            control=control,
            halted=str(self.error) if self.error is not None else halted,
            running=not ended,
            waiting=waiting.why,
        )
        if state == "sending":
            reason = self._brakes.stalled_by(self._limiter)
        return state, reason, waiting.until

    def _seconds(self) -> float:
        if self._elapsed is not None:
            return self._elapsed
        return self._clock.monotonic() - self._began_at

    def progress(self) -> Progress:
        """The document of `--json`, as of now."""
        return self.report_now().progress()

    async def events(self, every: float) -> AsyncIterator[CampaignEvent]:
        """What happens from now on, until the campaign ends; see `Campaign.events`."""
        # Loaded for whoever follows a campaign.
        from promomsg.campaign_events import events_between

        before: dict[str, Any] | None = None
        while True:
            ended = self.ended.is_set()
            now = self.progress().to_dict()
            for event in events_between(before, now):
                yield event
            if ended:
                return
            before = now
            await wait_at_most(self.ended, every, self._clock)

    def report_now(self) -> Report:
        """The report, as of now."""
        state, reason, waits_until = self._closed_state or self._state()
        return Report(
            self._handle.record,
            self._counts,
            self._group_rows,
            state=state,
            reason=reason,
            rows=self._context.rows,
            elapsed_s=self._seconds(),
            journal=self._context.address,
            waits_until=waits_until,
            first=self.control.first_progress(),
        )

    @property
    def kept_warning(self) -> str:
        """Once closed: where a temporary journal is that was not removed."""
        return self._context.kept_warning

    async def close(self) -> Report:
        """Closes the journal; the report stays readable."""
        self._closed_state = self._state()
        report = self.report_now()
        await self._context.close(clean=report.pending == 0 and self.error is None, report=report)
        return report


def _first(group: BaseExceptionGroup[JournalError]) -> JournalError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, JournalError)
    return error
