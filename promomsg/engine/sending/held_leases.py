"""The leases of one run: renewed by one task, all in one step, and believed no longer than they are
surely ours (docs/design.md, "Leases")."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import inf
from typing import Final

from promomsg.clock import Clock
from promomsg.engine.sending.brakes.open_cohorts import OpenCohorts
from promomsg.engine.sending.run_control import RunControl
from promomsg.journal.contract import Handle
from promomsg.journal.records import Lease

__all__ = ["HeldLease", "HeldLeases"]


_LOOK_AGAIN: Final = 1.0
"""Seconds between looks at what other senders hold."""
_RENEWALS: Final = 5
"""In each life of a lease: a journal that is away for less than two thirds of one outlasts none, whenever
that begins and however late it is found out that it is back."""


class HeldLease:
    """A lease that this run has taken, on a chunk of singles or on a group.

    Attributes:
        lease: as the journal gave it, without its recipients.
        deadline: monotonic seconds until which nobody else can have it: counted from before the call
            that took or renewed it, so that no time on the way is counted as ours.
    """

    __slots__ = ("deadline", "lease")

    def __init__(self, lease: Lease, deadline: float) -> None:
        self.lease = lease
        self.deadline = deadline

    def lose(self) -> None:
        """It has moved on: nobody is called for it any more."""
        self.deadline = -inf

    def alive(self, now: float) -> bool:
        """Whether it is surely ours at this moment (monotonic seconds)."""
        return now < self.deadline


class HeldLeases:
    """Takes leases, keeps them alive, and gives them back.

    Args:
        patient: who has nothing to take waits for what other senders hold.
        control: says which cohorts may be sent to; None: always all of them.
    """

    def __init__(
        self,
        handle: Handle,
        clock: Clock,
        *,
        patient: bool = True,
        control: RunControl | None = None,
    ) -> None:
        self._cohorts: OpenCohorts | None = None
        if control is not None:
            self._cohorts = OpenCohorts(handle, control, clock, patient=patient)
        self._asked: dict[bool, tuple[int, ...] | None] = {}
        """The cohorts that were asked for last, of groups and of singles."""
        self._handle = handle
        self._patient = patient
        self._now = clock.monotonic
        self._sleep = clock.sleep
        self._life = handle.lease_life
        self._held: dict[int, HeldLease] = {}
        """By the number of the chunk."""

    async def take(
        self, *, groups: bool, singles: bool, idempotent: bool
    ) -> tuple[Lease, float] | None:
        """See `Handle.take`; the lease, and its deadline as `HeldLease` has it."""
        now = self._now()
        if not all(held.alive(now) for held in self._held.values()):
            # After a freeze our own would look abandoned: one would be taken once more, and the
            # results of its calls under way be shut out.
            await self.renew()
            now = self._now()
        asked = self._asked[groups] = None if self._cohorts is None else self._cohorts.now()
        lease = await self._handle.take(
            groups=groups, singles=singles, idempotent=idempotent, cohorts=asked
        )
        return None if lease is None else (lease, now + self._life)

    def sending(self) -> AbstractContextManager[None]:
        """A block in which a task sends, or looks for work."""
        return nullcontext() if self._cohorts is None else self._cohorts.sending()

    async def left_to_others(self, *, groups: bool = False, singles: bool = False) -> bool:
        """For who has nothing to take and holds none: whether other senders, or cohorts that were closed,
        still have work of these kinds. Then some time has passed, and it is to be asked for again: a
        lease may have run out or been given back, and a cohort has opened. Never for who is not patient."""
        if self._cohorts is not None:
            asked = self._asked.get(groups)
            if await self._cohorts.others_have_work(asked, groups=groups, singles=singles):
                return True
        if not self._patient or not await self._handle.is_work_left(groups=groups, singles=singles):
            return False
        await self._sleep(_LOOK_AGAIN)
        return True

    def add(self, held: HeldLease) -> None:
        """Has it renewed from now on."""
        before = self._held.get(held.lease.chunk_no)
        if before is not None:
            before.lose()
        self._held[held.lease.chunk_no] = held

    async def release(self, held: HeldLease) -> None:
        """Gives it back to the journal; see `Handle.release`."""
        if self._held.get(held.lease.chunk_no) is held:
            del self._held[held.lease.chunk_no]
        await self._handle.release(held.lease)

    async def ensure(self, held: HeldLease) -> bool:
        """Whether it is ours: one that may have run out is asked for once more."""
        if not held.alive(self._now()) and self._held.get(held.lease.chunk_no) is held:
            await self.renew()
        return held.alive(self._now())

    async def renew(self) -> None:
        """Renews all that are held; those that have moved on are given up."""
        now = self._now()
        asked = list(self._held.values())
        kept = await self._handle.renew([held.lease for held in asked])
        for held in asked:
            chunk_no = held.lease.chunk_no
            if self._held.get(chunk_no) is not held:
                continue  # given back meanwhile
            if chunk_no in kept:
                held.deadline = max(held.deadline, now + self._life)
            else:
                held.lose()
                del self._held[chunk_no]

    async def run(self) -> None:
        """Renews them again and again, until it is cancelled."""
        while True:
            await self._sleep(self._life / _RENEWALS)
            if self._held:
                await self.renew()
