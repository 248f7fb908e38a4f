"""Which cohorts a run takes from now, and what it does while work is left in those that are closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from promomsg.clock import Clock
from promomsg.engine.schedule.cohorts import cohorts_of
from promomsg.engine.schedule.opening_times import ASK_AGAIN
from promomsg.engine.sending.run_control import RunControl
from promomsg.journal.contract import Handle
from promomsg.wakeup import wait_at_most

__all__ = ["OpenCohorts"]


class OpenCohorts:
    """The cohorts that may be sent to, for those who take leases.

    Args:
        patient: who finds nothing but closed cohorts waits until one of them opens; else it ends, and
            has the campaign wait.
    """

    def __init__(
        self, handle: Handle, control: RunControl, clock: Clock, *, patient: bool = True
    ) -> None:
        self._handle = handle
        self._control = control
        self._clock = clock
        self._patient = patient
        self._senders = 0
        """Tasks that send, or look for work."""
        self._waiting = 0
        """Those of them that wait, since only cohorts that are closed have work."""
        self._all = range(len(cohorts_of(handle.record)))

    def now(self) -> tuple[int, ...] | None:
        """The numbers of those that are open; None: all of them."""
        return self._control.opening().cohorts

    @contextmanager
    def sending(self) -> Iterator[None]:
        """A block in which a task sends, or looks for work."""
        self._change(senders=1)
        try:
            yield
        finally:
            self._change(senders=-1)

    @contextmanager
    def _left_closed(self) -> Iterator[None]:
        """A part of that block in which it waits."""
        self._change(waiting=1)
        try:
            yield
        finally:
            self._change(waiting=-1)

    def _change(self, *, senders: int = 0, waiting: int = 0) -> None:
        self._senders += senders
        self._waiting += waiting
        # Of those who only end, the last word stands.
        if self._patient:
            self._control.nobody_is_open = 0 < self._waiting == self._senders

    async def others_have_work(
        self, asked: Sequence[int] | None, *, groups: bool, singles: bool
    ) -> bool:
        """For who was given nothing: whether it is to ask again, since other cohorts than it has asked
        for have work, and are open by now.

        Args:
            asked: the cohorts that it has asked for; None: all of them.
        """
        if asked is None:
            return False
        others = [number for number in self._all if number not in asked]
        kinds = {"groups": groups, "singles": singles}
        if not others or not await self._handle.is_work_left(**kinds, cohorts=others):
            return False
        # The last of the first few may just have been answered.
        await self._control.look_at_first(await self._handle.control())
        if self.now() != tuple(asked):
            return True
        if not self._patient:
            if not await self._handle.is_work_left(groups=True, singles=True, cohorts=asked):
                self._control.nobody_is_open = True
            return False
        if not (await self._handle.counts()).pending:
            return False
        await self._until_others_open(asked)
        return True

    async def _until_others_open(self, asked: Sequence[int]) -> None:
        control = self._control
        with self._left_closed():
            while self.now() == tuple(asked) and not control.stopping:
                wait = min(control.closed_for(), ASK_AGAIN)
                await wait_at_most(control.changed, wait, self._clock)
