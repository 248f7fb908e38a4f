"""Following the groups of a campaign until each has said how it went (DESIGN §7)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from promomsg.channels.base import FailureFile, Following
from promomsg.channels.following import poll_delivery
from promomsg.clock import Clock
from promomsg.crashpoints import reached
from promomsg.delivery import (
    RESULT_LIFE,
    adds_up,
    is_complete,
    merge_failures,
    needs_failure_file,
    next_poll_in,
)
from promomsg.engine.sending.decision import Halt
from promomsg.engine.sending.run_control import RunControl, Wakeup
from promomsg.engine.settings import Settings
from promomsg.errors import Halted, JournalError, PromoError
from promomsg.journal.contract import Handle
from promomsg.journal.records import GroupRow
from promomsg.model import Delivery, Failure
from promomsg.private_files import write_private
from promomsg.states import GroupState

__all__ = ["Poller"]

log = logging.getLogger("promomsg.engine")

_AT_ONCE: Final = 8
_FILE_TRIES: Final = 3
_LAST_DAY: Final = 86_400.0


class Poller:
    """Polls every accepted group of one campaign.

    The journal has the moment of the next look by the wall clock, for a later process; in this one
    waits and ages are measured on the clock that never jumps, and no wait is over its ceiling.

    Args:
        answered: called with the error of each look, None for one that was answered: a readable
            answer shows that the provider is there.
        files_beside: failure files are kept as they came, as `<files_beside>.group-<no>.failures`;
            None: they are not kept.
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
        files_beside: str | None,
        answered: Callable[[PromoError | None], None] = lambda error: None,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._policy = settings.poll
        self._ceiling = max(settings.poll.every, settings.poll.first_wait)
        self._control = control
        self._clock = clock
        self._files_beside = files_beside
        self._answered = answered
        self._notify = notify
        self._changed = Wakeup()
        self._limit = anyio.CapacityLimiter(_AT_ONCE)
        self._new: list[int] = []
        self._followed: dict[int, GroupRow] = {}
        self._schedule: list[tuple[float, int]] = []
        """When the next look at each of them is due; those that are being looked at are not here."""
        self._given_up: set[int] = set()
        self._looks_at_100: dict[int, int] = {}
        self._warned_of_age: set[int] = set()
        self._seen: dict[int, float] = {}
        self._age_when_seen: dict[int, float] = {}
        self._due: dict[int, float] = {}
        self._looked: dict[int, float] = {}
        self.sending = True
        """Whether more groups may still be accepted."""

    def accepted(self, group_no: int) -> None:
        """A group is out: it is followed from now on."""
        self._new.append(group_no)
        self._changed.set()

    def wake(self) -> None:
        """The senders are through."""
        self._changed.set()

    async def run(self) -> None:
        """Returns when every group is through, or those that are not were given up for now."""
        with anyio.CancelScope() as scope:
            if self._control.follow(scope):
                await self._poll_all()

    async def _poll_all(self) -> None:
        # Each group is read by itself when something happened to it: reading all of them each time
        # would make the cost of a campaign grow with the square of its groups.
        async with anyio.create_task_group() as looks:
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
                now = self._clock.monotonic()
                schedule = self._schedule
                while schedule and schedule[0][0] <= now:
                    looks.start_soon(self._poll, self._followed[heappop(schedule)[1]])
                upcoming = schedule[0][0] - now if schedule else None
                await self._changed.wait_for(upcoming, self._clock)

    async def _find_all(self) -> None:
        """Takes in every accepted group. Nobody is looking at one meanwhile, which would make its
        row stale."""
        for row in await self._handle.groups():
            if row.group_no not in self._followed:
                self._follow(row)

    def _follow(self, row: GroupRow) -> None:
        """Plans the next look at a group, or lets go of it."""
        if row.state is not GroupState.ACCEPTED or row.group_no in self._given_up:
            self._followed.pop(row.group_no, None)
            return
        self._notice(row)
        self._followed[row.group_no] = row
        heappush(self._schedule, (self._due[row.group_no], row.group_no))

    def _notice(self, row: GroupRow) -> None:
        """Takes a group in when it is first seen: the one time that the wall clock is asked."""
        if row.group_no in self._seen:
            return
        now, then = self._clock.time(), self._clock.monotonic()
        self._seen[row.group_no] = then
        self._age_when_seen[row.group_no] = max(now - (row.sent_at or now), 0.0)
        wait = (row.next_poll_at or now) - now
        self._due[row.group_no] = then + min(max(wait, 0.0), self._ceiling)

    def _age(self, row: GroupRow) -> float:
        """Seconds since it was sent."""
        return (
            self._age_when_seen[row.group_no] + self._clock.monotonic() - self._seen[row.group_no]
        )

    async def _poll(self, row: GroupRow) -> None:
        async with self._limit:
            await self._look(row)
        self._follow(await self._handle.group(row.group_no))
        self._changed.set()

    async def _look(self, row: GroupRow) -> None:
        age = self._age(row)
        waited = self._waited(row)
        self._looked[row.group_no] = self._clock.monotonic()
        msg_id = row.msg_id or ""
        if age > RESULT_LIFE:
            await self._handle.expire_group(row.group_no, self._clock.time())
            await self._handle.warn(
                f"group {row.group_no} ({msg_id}): its result was to be had for 7 days only; "
                "its members are unknown"
            )
            self._notify()
            return
        if age > RESULT_LIFE - _LAST_DAY and row.group_no not in self._warned_of_age:
            self._warned_of_age.add(row.group_no)
            await self._handle.warn(
                f"group {row.group_no} ({msg_id}): its result can be had for another "
                f"{(RESULT_LIFE - age) / 3600:.0f} hours only"
            )
        reached("poll")
        try:
            delivery = await poll_delivery(self._channel, msg_id, self._clock)
        except Halted as error:
            # No token, and none to come: asking on would only pass the time. Resume follows on.
            # A day's quota that the campaign waits for comes back, and the look with it.
            self._control.halt_or_park(Halt(error.code, error.detail))
            if self._control.halt is None:
                await self._poll_again(row, None, self._policy.every)
            return
        except PromoError as error:
            self._answered(error)
            await self._handle.warn(f"group {row.group_no} ({msg_id}) could not be polled: {error}")
            asked = getattr(error, "retry_after", None) or 0.0
            await self._poll_again(row, None, max(self._policy.every, asked))
            return
        self._answered(None)
        if is_complete(delivery, row.planned) and await self._finish(row, delivery):
            return
        wait = next_poll_in(
            self._policy, waited=waited, percent=delivery.percent, before=row.percent
        )
        await self._poll_again(row, delivery, wait)

    def _waited(self, row: GroupRow) -> float:
        """Seconds between this look and the one before, as far as that is known."""
        before = self._looked.get(row.group_no)
        if before is not None:
            return self._clock.monotonic() - before
        return max(self._age(row) / (row.polls + 1), 0.001)

    async def _poll_again(self, row: GroupRow, delivery: Delivery | None, wait: float) -> None:
        following = self._clock.monotonic() - self._seen[row.group_no]
        if following + wait > self._policy.give_up_after:
            self._given_up.add(row.group_no)
            await self._handle.warn(
                f"group {row.group_no} ({row.msg_id}) is at "
                f"{row.percent if delivery is None else delivery.percent} percent after "
                f"{following:.0f} s: resume later to follow it on (results stay 7 days)"
            )
        self._due[row.group_no] = self._clock.monotonic() + wait
        await self._handle.poll_group(
            row.group_no,
            percent=row.percent if delivery is None else delivery.percent,
            send_cnt=row.send_cnt if delivery is None else delivery.send_cnt,
            fail_cnt=row.fail_cnt if delivery is None else delivery.fail_cnt,
            next_poll_at=self._clock.time() + wait,
        )
        self._notify()

    async def _finish(self, row: GroupRow, delivery: Delivery) -> bool:
        """Merges a finished group; False when it is to be looked at again first."""
        looks = self._looks_at_100[row.group_no] = self._looks_at_100.get(row.group_no, 0) + 1
        file: FailureFile | None = None
        notes: list[str] = []
        if needs_failure_file(delivery):
            try:
                file = await self._fetch(row, delivery.fail_info_url or "")
                if file.warning:
                    notes.append(f"group {row.group_no} ({row.msg_id}): {file.warning}")
            except PromoError as error:
                notes.append(
                    f"group {row.group_no} ({row.msg_id}): the failure file could not be had: {error}"
                )
        members: frozenset[str] | None = None
        if row.audience is None:
            members = frozenset(await self._handle.group_members(row.group_no))
        from_file: Sequence[Failure] = file.failures if file is not None else ()
        merged = merge_failures(delivery, from_file, row.planned, members)
        if not adds_up(merged, looks):
            return False
        reached("merge")
        more = await self._handle.complete_group(
            row.group_no,
            percent=delivery.percent,
            send_cnt=delivery.send_cnt,
            fail_cnt=delivery.fail_cnt,
            failures=merged.failures,
            unnamed=merged.unnamed,
            at=self._clock.time(),
            warnings=(*merged.warnings, *notes),
        )
        for text in more:
            log.warning("%s", text)
        self._notify()
        return True

    async def _fetch(self, row: GroupRow, url: str) -> FailureFile:
        for attempt in range(1, _FILE_TRIES + 1):
            try:
                file = await self._channel.fetch_failures(url, row.planned)
                break
            except PromoError as error:
                if attempt == _FILE_TRIES or not self._channel.is_transient(error):
                    raise
                await self._clock.sleep(0.5 * 2.0**attempt)
        if self._files_beside is not None:
            path = Path(f"{self._files_beside}.group-{row.group_no}.failures")
            try:
                await anyio.to_thread.run_sync(write_private, path, file.raw)
            except OSError as error:
                raise JournalError(
                    f"the failure file cannot be kept as {path}: {error.strerror}; "
                    "make room or mend the folder's permissions, then resume"
                ) from None
        return file
