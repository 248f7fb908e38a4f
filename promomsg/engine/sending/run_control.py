"""What makes a running campaign go on, pause, stop, or be cancelled; shared by all its parts.

In none of these states does a send go out:

| state | groups are followed | ends by |
| --- | --- | --- |
| paused | yes | the user's request, here or in the control row; nobody is pending any more |
| waiting for the day | yes | the next China-time day (`on_daily_quota="wait"`) |
| waiting for its start or its hours | yes | the wall clock, whatever it was set to meanwhile |
| looking at the first few | yes | the wall clock; a person's word (`approve`) |
| cancelled, or over by `finish_by` | yes | - |
| stopped (a halt, or the block was left) | no | - |
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from typing import Final

import anyio

from promomsg.clock import Clock, next_china_midnight
from promomsg.engine.schedule.first_few import LOOK_AGAIN, FirstProgress
from promomsg.engine.schedule.first_watch import FirstWatch
from promomsg.engine.schedule.opening_times import ASK_AGAIN, OpeningTimes
from promomsg.engine.schedule.schedule import Opening, Schedule
from promomsg.engine.schedule.waiting import NOT_WAITING, Waiting, waiting_at
from promomsg.engine.sending.decision import Halt
from promomsg.journal.contract import Handle
from promomsg.journal.records import Control, ControlRow
from promomsg.log_events import log_event
from promomsg.states import GroupState
from promomsg.transport.quota.limiter import SINGLES_PER_DAY
from promomsg.wakeup import wait_at_most

__all__ = ["JOURNAL_GONE", "RunControl"]

log = logging.getLogger("promomsg.engine")

JOURNAL_GONE: Final = "JOURNAL_GONE"
"""The code of a halt because the journal's file, or its lock, is not where it was."""

_READ_CONTROL_EVERY: Final = 0.5
"""Seconds between looks at the journal's files, and at its control row, which another process may
have written."""


class RunControl:
    """Whether one run may send. `may_send` is what the senders ask before every call.

    Args:
        daily_codes: the codes by which the provider says that a day's quota is used up.
        wait_for_day: such a halt is waited out until the next China-time day.
        patient: senders wait out a pause, a used-up day and what `schedule` says; else they end.
        schedule: when it may send; None: at any time.
        first: its first few, who decide about the others; None: there are none.
        now: the wall clock that the schedule and the days go by, Unix seconds; it says None while it does
            not know, and nothing goes out then. None: `clock`'s.
    """

    def __init__(
        self,
        handle: Handle,
        clock: Clock,
        *,
        daily_codes: frozenset[str] = frozenset(),
        wait_for_day: bool = False,
        patient: bool = True,
        schedule: Schedule | None = None,
        first: FirstWatch | None = None,
        now: Callable[[], float | None] | None = None,
        rng: Random | None = None,
    ) -> None:
        self._handle = handle
        self._clock = clock
        self._daily_codes = daily_codes | {SINGLES_PER_DAY}
        self._wait_for_day = wait_for_day
        self._patient = patient
        self._first = first
        self._times = OpeningTimes(clock, schedule, first, now)
        self._rng = rng or Random()  # noqa: S311 - spreads wake-ups, guards nothing
        self.halt: Halt | None = None
        self.stopping = self.paused = self.cancelled = False
        self.is_over = False
        """`finish_by` has come: whoever is pending is cancelled for that."""
        self.waits_until: float | None = None
        """Unix seconds until which the daily quota keeps the campaign waiting."""
        self._waits_at_most = 0.0
        self._parked: float | None = None
        """What the journal says of how long nobody sends, as far as it is known here."""
        self.nobody_is_open = False
        """Who is left is in cohorts that are closed, though others are open."""
        self._logged = NOT_WAITING
        self._halt_is_kept = self._told_halt = False
        self.changed = anyio.Event()
        self._sending_scopes: list[anyio.CancelScope] = []
        self._following_scopes: list[anyio.CancelScope] = []
        self._ended = False
        self._requests = 0
        self._unwritten = 0
        self._seen_open: tuple[bool, tuple[int, ...] | None] | None = None

    def may_send(self, cohort: int | None = None) -> bool:
        """Whether a call may still go out.

        Args:
            cohort: of the recipients that it is for; None: whether one for anybody may.
        """
        if self.stopping or self.paused or self.waits_for_day:
            return False
        if self._times.always:
            return True
        cohorts = self._times.opening().cohorts
        return cohorts is None or (bool(cohorts) if cohort is None else cohort in cohorts)

    def opening(self) -> Opening:
        """Who may be sent to now, by the campaign's schedule and as its first few came out."""
        return self._times.opening()

    async def look_at_first(self, row: ControlRow) -> None:
        """Looks how the first few came out, and stops the campaign when the others are not to follow.

        Args:
            row: the control row as it was just read.
        """
        if self._first is None or self._first.is_settled or self.stopping:
            return
        before = self._first.decision
        decision = await self._first.look(row.first_few, self._times.time())
        if decision != before:
            self._times.decide_anew()
            self._notify()
        if decision.code:
            await self._halt_by_first(self._first, Halt(decision.code, decision.text))
        elif self._patient and self.nobody_is_open and await self._first.are_given_up():
            self.stop()

    async def _halt_by_first(self, first: FirstWatch, halt: Halt) -> None:
        """Stops for what the first few came to, unless a person has let the others follow meanwhile: the
        next look goes by that."""
        if await self._handle.halt_by_first(halt.code, halt.detail, seen=first.kept):
            self._halt_is_kept = True
            self.stop(halt)

    def first_progress(self) -> FirstProgress | None:
        """How the first few stand; None: there are none, or they were not looked at yet."""
        return None if self._first is None else self._first.progress()

    @property
    def waiting(self) -> Waiting:
        """For what it waits, and until when."""
        parked, opening = self.waits_until if self.waits_for_day else None, self.opening()
        if self.nobody_is_open:
            opening = self._times.without_those_open(opening)
        return waiting_at(opening, parked, self._times.time())

    def _notify(self) -> None:
        event, self.changed = self.changed, anyio.Event()
        event.set()

    def attach_sending(self, scope: anyio.CancelScope) -> bool:
        """Cancels this scope once nothing more is to be sent; False: that is so already."""
        self._sending_scopes.append(scope)
        return not self.stopping

    def attach_following(self, scope: anyio.CancelScope) -> bool:
        """Cancels this scope once the campaign stops; a cancelled one is still followed."""
        self._following_scopes.append(scope)
        return not self._ended

    def stop(self, halt: Halt | None = None) -> None:
        """Nothing more goes out or is followed; calls in flight finish."""
        if halt is not None and self.halt is None:
            self.halt = halt
        self._ended = True
        for scope in self._following_scopes:
            scope.cancel()
        self._stop_sending()

    def cancel(self) -> None:
        """Nothing more goes out; calls in flight finish, groups that are out are followed on."""
        self.cancelled = True
        self._stop_sending()

    def _end_when_over(self) -> None:
        """Cancels what is left once `finish_by` has come."""
        if not self.stopping and self.opening().is_over:
            self.is_over = True
            self.cancel()

    def _stop_sending(self) -> None:
        self.stopping = True
        for scope in self._sending_scopes:
            scope.cancel()
        self._notify()

    def halt_or_wait(self, halt: Halt) -> None:
        """Stops the campaign; a used-up day is waited out instead, when the user says so.

        The campaign waits, not the account's rate limiter: another campaign on it may have said "stop".
        """
        if halt.code not in self._daily_codes or not self._wait_for_day:
            self.stop(halt)
            return
        if not self.waits_for_day:
            now = self._times.time()
            # Some seconds into the day, apart from everybody else who waits for midnight.
            self._wait_until(next_china_midnight(now) + 5 + 25 * self._rng.random())

    def _wait_until(self, until: float) -> None:
        self.waits_until = until
        # The day ends then by any clock: one that is set back meanwhile keeps nobody longer.
        self._waits_at_most = self._clock.monotonic() + until - self._times.time()
        self._notify()

    @property
    def waits_for_day(self) -> bool:
        """Whether the campaign waits for the next China-time day."""
        return self.waits_until is not None and self._day_waits_for() > 0

    def _day_waits_for(self) -> float:
        """Seconds that are left of that, by whichever clock says less; 0: it does not wait for it."""
        if self.waits_until is None:
            return 0.0
        by_monotonic = self._waits_at_most - self._clock.monotonic()
        return min(self.waits_until - self._times.time(), by_monotonic)

    def closed_for(self) -> float:
        """Seconds until the schedule says something else."""
        return max(self.opening().until - self._times.time(), 0.001)

    def _waits_for(self) -> float:
        """Seconds until the next moment at which it may go on."""
        return max(self.closed_for() if self.opening().is_closed else 0.0, self._day_waits_for())

    def apply(self, control: Control) -> None:
        """Takes over what the control row says."""
        if control is Control.CANCEL and not self.cancelled:
            self.cancel()
        elif control is Control.PAUSE and not self.paused:
            self.paused = True
            self._notify()
        elif control is Control.RUN and self.paused:
            self.paused = False
            self._notify()

    def heed(self, row: ControlRow) -> None:
        """Takes over what the control row says, and what another sender has halted or parked."""
        self.apply(row.requested)
        if row.halted is not None and self.halt is None:
            code, _, detail = row.halted.partition(": ")
            # Written again, it would undo the word of a person who goes on with it at this moment.
            self._halt_is_kept = True
            self._handle.record.halted = row.halted
            self.stop(Halt(code, detail))
        if row.parked_until is not None and row.parked_until != self._parked:
            self._parked = row.parked_until
            if not self.waits_for_day:
                self._wait_until(row.parked_until)

    async def write_halt(self) -> None:
        """Has the journal know, once, why this run stopped: the other senders stop too."""
        if self.halt is not None and not self._told_halt:
            log_event(
                log,
                "campaign.halted",
                "%(campaign)s: halted: %(code)s: %(detail)s",
                level=logging.WARNING,
                campaign=self._handle.record.name,
                code=self.halt.code,
                detail=self.halt.detail,
            )
            if not self._halt_is_kept:
                await self._handle.halt(self.halt.code, self.halt.detail)
            self._told_halt = True

    async def write_park(self) -> None:
        """The same of how long nobody sends."""
        until, opening = self.waits_until or 0.0, self.opening()
        # Who waits for its hours goes by the schedule, and by a clock that may be set meanwhile; who does
        # a part leaves the waiting to others.
        if not self._patient and (opening.is_closed or self.nobody_is_open):
            until = max(until, opening.next_at or self._look_again_at())
        if until > (self._parked or 0.0):
            self._parked = until
            await self._handle.park(self._parked)

    def _look_again_at(self) -> float:
        """When a part is to look again whose first few are all out; 0: it is not that it waits for."""
        if self._first is None or not self.nobody_is_open or self._first.others_are_open:
            return 0.0
        return self._times.time() + LOOK_AGAIN

    def _heed_unparked(self, row: ControlRow) -> None:
        """Waits no longer once the user has resumed it."""
        if row.parked_until is None and self._parked is not None:
            self._parked = self.waits_until = None
            self._notify()

    def request(self, control: Control) -> None:
        """The user's own request: in effect at once, and in the row once `written` is called."""
        self._requests += 1
        self._unwritten += 1
        self.apply(control)

    def written(self) -> None:
        """What `request` was told stands in the control row now, or never will."""
        self._requests += 1
        self._unwritten -= 1

    async def watch(self) -> None:
        """Looks at the journal's files and at the control row again and again."""
        while True:
            gone = await self._handle.missing()
            if gone is not None:
                # What is sent from now on could be sent again by whoever finds the older file.
                self.stop(Halt(JOURNAL_GONE, gone))
                return
            requests = self._requests
            row = await self._handle.control()
            # A row that was read before the user's latest request was written is out of date.
            if requests == self._requests and not self._unwritten:
                self.heed(row)
            self._end_when_over()
            await self.look_at_first(row)
            await self.write_halt()
            self._heed_unparked(row)
            self._wake_who_may_send()
            await self.write_park()
            await self._clock.sleep(_READ_CONTROL_EVERY)

    def _wake_who_may_send(self) -> None:
        """Has those who wait look again when other people may be sent to than at the look before: a clock
        may have been set, and they wait by another."""
        seen, self._seen_open = self._seen_open, (self.waits_for_day, self.opening().cohorts)
        if self._seen_open != seen:
            self._notify()

    async def until_sending(self) -> bool:
        """Waits out a pause, a used-up day and closed hours; False: nothing is to be sent any more,
        since the campaign is stopping, or has nobody left who is pending, or this run is not patient."""
        while True:
            self._end_when_over()
            if self.stopping:
                return False
            if self.may_send():
                return True
            if not self._patient or not await self._is_anybody_left():
                return False
            if self._first is not None and not self._first.others_are_open:
                await self.look_at_first(await self._handle.control())
                if self.may_send():
                    continue
            wait = _READ_CONTROL_EVERY
            if not self.paused:
                self._log_waiting()
                wait = min(max(self._waits_for(), 0.001), ASK_AGAIN)
            await wait_at_most(self.changed, wait, self._clock)

    async def _is_anybody_left(self) -> bool:
        """Whether somebody is still to be sent to. Who waits for hours need not wait for members of groups
        that are out; while it is paused, looks come often, and groups may be thousands."""
        pending = (await self._handle.counts()).pending
        if not pending or self.paused:
            return pending > 0
        groups = await self._handle.groups()
        return pending > sum(g.planned for g in groups if g.state is GroupState.ACCEPTED)

    def _log_waiting(self) -> None:
        waiting = self.waiting
        if waiting != self._logged and waiting.why:
            self._logged = waiting
            log_event(
                log,
                "campaign.waiting",
                "%(campaign)s: waiting: %(reason)s",
                campaign=self._handle.record.name,
                reason=waiting.why,
                until=waiting.until,
            )
