"""Polling the groups of a campaign until the result of each is known
(docs/design.md, "Following a group")."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Final

import anyio

from promomsg.channels.base import FailureFile, Following
from promomsg.channels.following import poll_delivery
from promomsg.channels.read_retries import retry_read
from promomsg.clock import Clock
from promomsg.crashpoints import reached
from promomsg.delivery import (
    RESULT_LIFE,
    EarlierFailures,
    adds_up,
    is_complete,
    later_poll_in,
    merge_failures,
    needs_failure_file,
    next_poll_in,
)
from promomsg.engine.sending.decision import Halt
from promomsg.engine.sending.run_control import RunControl
from promomsg.engine.settings import Settings
from promomsg.errors import Halted, PromoError
from promomsg.journal.contract import Handle
from promomsg.journal.records import GroupCounts, GroupRow
from promomsg.log_events import log_event
from promomsg.model import Delivery, Failure
from promomsg.states import GroupState
from promomsg.wakeup import Wakeup

__all__ = ["Poller"]

log = logging.getLogger("promomsg.engine")

_POLLS_AT_ONCE: Final = 8
_FILE_TRIES: Final = 3
_LAST_DAY: Final = 86_400.0


class FollowedGroup:
    """A group that is polled.

    The wall clock is asked once, when it is first seen: from then on, waits and ages are measured on
    the clock that never jumps. What a later process, or another sender, has to know of it is in `row`.

    Args:
        longest_wait: seconds until its first poll at the most.

    Attributes:
        row: as the journal had it after the last poll.
        due: monotonic seconds of the next poll.
        warned_of_age: whether it was said that its result can be had for a day only.
    """

    __slots__ = (
        "_age_when_seen",
        "_clock",
        "_followed_when_seen",
        "_longest_wait",
        "_polled_at",
        "_seen_at",
        "due",
        "row",
        "warned_of_age",
    )

    def __init__(self, row: GroupRow, clock: Clock, longest_wait: float) -> None:
        self.row = row
        self._clock = clock
        now = clock.time()
        self._seen_at = clock.monotonic()
        self._age_when_seen = max(now - (row.sent_at or now), 0.0)
        self._followed_when_seen = max(now - (row.followed_since or now), 0.0)
        self._polled_at: float | None = None
        self._longest_wait = longest_wait
        self.warned_of_age = row.warned_of_age
        self.plan_poll()

    def plan_poll(self) -> None:
        """The next poll is due when the journal says so."""
        now = self._clock.time()
        wait = (self.row.next_poll_at or now) - now
        self.due = self._clock.monotonic() + min(max(wait, 0.0), self._longest_wait)

    @property
    def _seen_for(self) -> float:
        return self._clock.monotonic() - self._seen_at

    @property
    def followed_for(self) -> float:
        """Seconds since it is polled, by whichever sender: since it was accepted, or the campaign
        resumed."""
        return self._followed_when_seen + self._seen_for

    @property
    def age(self) -> float:
        """Seconds since it was sent."""
        return self._age_when_seen + self._seen_for

    def begin_poll(self) -> float:
        """Seconds since the poll before this one, or since it was sent."""
        before, self._polled_at = self._polled_at, self._clock.monotonic()
        if before is not None:
            return self._polled_at - before
        return max(self.age / (self.row.polls + 1), 0.001)


class Poller:
    """Polls every accepted group of one campaign.

    Each group is read by itself when something happened to it: reading all of them each time would
    make the cost of a campaign grow with the square of its groups. The journal has the moment of
    the next poll by the wall clock, for a later process.

    Args:
        answered: called with the error of each poll, None for one that was answered: a readable
            answer shows that the provider is there.
        keep_files: failure files are kept as they came (`Handle.keep_failure_file`).
        notify: called when counts have changed.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Following,
        settings: Settings,
        control: RunControl,
        *,
        clock: Clock,
        keep_files: bool,
        answered: Callable[[PromoError | None], None] = lambda error: None,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._policy = settings.poll
        self._longest_wait = max(settings.poll.every, settings.poll.first_wait)
        self._control = control
        self._clock = clock
        self._keep_files = keep_files
        self._answered = answered
        self._notify = notify
        self._changed = Wakeup()
        self._at_once = anyio.CapacityLimiter(_POLLS_AT_ONCE)
        self._new: list[int] = []
        self._followed: dict[int, FollowedGroup] = {}
        self._earlier = EarlierFailures()
        self._schedule: list[tuple[float, int]] = []
        """When the next poll of each is due; those that are being polled are not here."""
        self._stays = True
        """Whether this process follows them to their end, or gives them up; else whoever polls next does."""
        self.sending = True
        """Whether more groups may still be accepted."""

    def accepted(self, group_no: int) -> None:
        """A group send was accepted: it is polled from now on."""
        self._new.append(group_no)
        self._changed.set()

    def wake(self) -> None:
        """The senders have ended."""
        self._changed.set()

    async def run(self) -> None:
        """Returns when every group is complete, or those that are not were given up for now."""
        with anyio.CancelScope() as scope:
            if self._control.attach_following(scope):
                await self._poll_all()

    async def run_once(self) -> None:
        """Polls what is due now, each group once, also those that a process that followed them has
        given up: the next poll is anybody's."""
        self._stays = False
        with anyio.CancelScope() as scope:
            if not self._control.attach_following(scope):
                return
            await self._find_all()
            async with anyio.create_task_group() as polls:
                self._begin_polls(polls)

    def _begin_polls(self, polls: anyio.abc.TaskGroup) -> None:
        """Polls whose time has come."""
        now = self._clock.monotonic()
        schedule = self._schedule
        while schedule and schedule[0][0] <= now:
            polls.start_soon(self._poll, self._followed[heappop(schedule)[1]])

    async def _poll_all(self) -> None:
        async with anyio.create_task_group() as polls:
            await self._find_all()
            while True:
                while self._new:
                    group_no = self._new.pop()
                    if group_no not in self._followed:
                        self._follow(await self._handle.group(group_no))
                if not self._followed and not self.sending:
                    # Once more: somebody else may work on this journal too.
                    await self._find_all()
                    if not self._followed:
                        return
                self._begin_polls(polls)
                schedule = self._schedule
                upcoming = schedule[0][0] - self._clock.monotonic() if schedule else None
                await self._changed.wait_for(upcoming, self._clock)

    async def _find_all(self) -> None:
        """Takes in every accepted group that is not followed yet. (Those that are may be in the
        middle of a poll, which would make the row that is read here stale.)"""
        for row in await self._handle.groups():
            if row.group_no not in self._followed:
                self._follow(row)

    def _follow(self, row: GroupRow) -> None:
        """Plans the next poll of a group, or lets go of it."""
        group_no = row.group_no
        if row.state is not GroupState.ACCEPTED or (row.given_up and self._stays):
            self._followed.pop(group_no, None)
            self._earlier.drop(group_no)
            return
        group = self._followed.get(group_no)
        if group is None:
            group = FollowedGroup(row, self._clock, self._longest_wait)
            self._followed[group_no] = group
        group.row = row
        heappush(self._schedule, (group.due, group_no))

    async def _poll(self, group: FollowedGroup) -> None:
        async with self._at_once:
            alone = await self._poll_once(group)
        row = await self._handle.group(group.row.group_no)
        if not alone:
            group.row = row
            group.plan_poll()
        self._follow(row)
        self._changed.set()

    async def _poll_once(self, group: FollowedGroup) -> bool:
        """One poll, and what comes of it; False: another sender has polled it meanwhile."""
        row, age = group.row, group.age
        waited = group.begin_poll()
        msg_id = row.msg_id or ""
        if age > RESULT_LIFE:
            if not await self._handle.expire_group(row.group_no, self._clock.time()):
                return False
            await self._handle.warn(
                f"group {row.group_no} ({msg_id}): its result was to be had for 7 days only; "
                "its members are unknown"
            )
            self._notify()
            return True
        if age > RESULT_LIFE - _LAST_DAY and not group.warned_of_age:
            group.warned_of_age = True
            await self._handle.warn(
                f"group {row.group_no} ({msg_id}): its result can be had for another "
                f"{(RESULT_LIFE - age) / 3600:.0f} hours only"
            )
        reached("poll")
        try:
            delivery = await poll_delivery(self._channel, msg_id, self._clock)
        except Halted as error:
            # No token, and none to come: asking on would only pass the time. Resume follows on.
            # A day's quota that the campaign waits for comes back, and the poll with it.
            self._control.halt_or_wait(Halt(error.code, error.detail))
            if self._control.halt is not None:
                return True
            return await self._poll_later(group, None, self._policy.every)
        except PromoError as error:
            self._answered(error)
            await self._handle.warn(f"group {row.group_no} ({msg_id}) could not be polled: {error}")
            asked = getattr(error, "retry_after", None) or 0.0
            return await self._poll_later(group, None, max(self._policy.every, asked))
        self._answered(None)
        at_100 = is_complete(delivery, row.planned)
        if at_100 and (finished := await self._finish(group, delivery)) is not None:
            return finished
        self._earlier.add(row.group_no, delivery.failures)
        wait = next_poll_in(
            self._policy, waited=waited, percent=delivery.percent, before=row.percent
        )
        return await self._poll_later(group, delivery, wait, at_100=at_100)

    async def _poll_later(
        self, group: FollowedGroup, delivery: Delivery | None, wait: float, *, at_100: bool = False
    ) -> bool:
        row, following = group.row, group.followed_for
        if not self._stays:
            wait = later_poll_in(self._policy, wait=wait, followed=following, age=group.age)
        given_up = self._stays and following + wait > self._policy.give_up_after
        if given_up:
            await self._handle.warn(
                f"group {row.group_no} ({row.msg_id}) is at "
                f"{row.percent if delivery is None else delivery.percent} percent after "
                f"{following:.0f} s: resume later to follow it on (results stay 7 days)"
            )
        group.due = self._clock.monotonic() + wait
        seen = row if delivery is None else delivery
        alone = await self._handle.poll_group(
            row.group_no,
            GroupCounts(seen.percent, seen.send_cnt, seen.fail_cnt),
            self._clock.time() + wait,
            polls=row.polls,
            at_100=at_100,
            given_up=given_up,
            warned_of_age=group.warned_of_age,
        )
        if alone:
            log_event(
                log,
                "group.percent",
                "%(campaign)s: group %(group)s (%(msg_id)s) is at %(percent)s%%",
                campaign=self._handle.record.name,
                group=row.group_no,
                msg_id=row.msg_id,
                percent=seen.percent,
                next_poll_s=round(wait, 3),
            )
        self._notify()
        return alone

    async def _finish(self, group: FollowedGroup, delivery: Delivery) -> bool | None:
        """Merges a finished group; None: it is to be polled again first; False: another sender has
        merged it meanwhile."""
        row = group.row
        file: FailureFile | None = None
        warnings: list[str] = []
        if needs_failure_file(delivery):
            try:
                file = await self._fetch(row, delivery.fail_info_url or "")
                if file.warning:
                    warnings.append(f"group {row.group_no} ({row.msg_id}): {file.warning}")
            except PromoError as error:
                warnings.append(
                    f"group {row.group_no} ({row.msg_id}): the failure file could not be had: {error}"
                )
        members: frozenset[str] | None = None
        if row.audience is None:
            members = frozenset(await self._handle.group_members(row.group_no))
        from_file: Sequence[Failure] = file.failures if file is not None else ()
        earlier = self._earlier.of(row.group_no)
        merged = merge_failures(delivery, from_file, row.planned, members, earlier)
        if not adds_up(merged, row.polls_at_100 + 1):
            self._earlier.add(row.group_no, from_file)
            return None
        reached("merge")
        found = await self._handle.complete_group(
            row.group_no,
            GroupCounts(delivery.percent, delivery.send_cnt, delivery.fail_cnt),
            failures=merged.failures,
            unnamed=merged.unnamed,
            at=self._clock.time(),
            warnings=(*merged.warnings, *warnings),
        )
        for text in found or ():
            log.warning("%s", text)
        if found is not None:
            log_event(
                log,
                "group.done",
                "%(campaign)s: group %(group)s (%(msg_id)s) is complete: %(send_cnt)s, "
                "%(fail_cnt)s not reached",
                campaign=self._handle.record.name,
                group=row.group_no,
                msg_id=row.msg_id,
                send_cnt=delivery.send_cnt,
                fail_cnt=delivery.fail_cnt,
            )
        self._notify()
        return found is not None

    async def _fetch(self, row: GroupRow, url: str) -> FailureFile:
        file = await retry_read(
            lambda: self._channel.fetch_failures(url, row.planned),
            self._clock,
            self._channel.is_transient,
            tries=_FILE_TRIES,
        )
        if self._keep_files:
            await self._handle.keep_failure_file(row.group_no, file.raw)
        return file
