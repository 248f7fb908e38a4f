"""Sending, following and reading: what each call of the contract is as a statement of the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from functools import cached_property

from promomsg.crashpoints import reached
from promomsg.journal.postgres.commits.group_commit import GroupCommit
from promomsg.journal.postgres.open_campaign import OpenCampaign
from promomsg.journal.postgres.statements import (
    campaign_row,
    group_calls,
    group_results,
    group_rows,
    provider_answers,
    reading,
    recovery,
)
from promomsg.journal.postgres.statements import leases as lease_calls
from promomsg.journal.records import (
    ClickDay,
    Control,
    ControlRow,
    Counts,
    FirstFew,
    GroupCounts,
    GroupRow,
    Lease,
    Reason,
    Recovered,
    SendResult,
)
from promomsg.journal.unreachable import JournalUnreachable
from promomsg.model import Failure, Outcome, State

__all__ = ["SendingCalls"]


class SendingCalls(OpenCampaign):
    """The calls of `promomsg.journal.contract.Handle` that send, follow, recover and read."""

    linger: float = 0.02

    @property
    def lease_life(self) -> float:
        """See `Handle.lease_life`."""
        return self._access.lease_life

    @cached_property
    def _commits(self) -> GroupCommit:
        return GroupCommit(self._access)

    @cached_property
    def _held(self) -> dict[int, Lease]:
        """Leases that were not given back, by the chunk's number."""
        return {}

    async def missing(self) -> str | None:
        """See `Handle.missing`: whether a server is there shows when it is asked for something."""
        return None

    # Sending.

    async def take(
        self,
        *,
        groups: bool,
        singles: bool,
        idempotent: bool,
        cohorts: Sequence[int] | None = None,
    ) -> Lease | None:
        """See `Handle.take`."""
        lease = await self._access.do(
            lease_calls.take, groups, singles, idempotent, self.lease_life, cohorts
        )
        if lease is not None:
            self._held[lease.chunk_no] = lease
        return lease

    async def is_work_left(
        self, *, groups: bool, singles: bool, cohorts: Sequence[int] | None = None
    ) -> bool:
        """See `Handle.is_work_left`."""
        return await self._access.read(lease_calls.is_work_left, groups, singles, cohorts)

    async def renew(self, leases: Sequence[Lease]) -> frozenset[int]:
        """See `Handle.renew`."""
        return await self._access.do(lease_calls.renew, leases, self.lease_life)

    async def release(self, lease: Lease) -> None:
        """See `Handle.release`."""
        given_back = await self._access.do(lease_calls.release, lease)
        if given_back and self._held.get(lease.chunk_no, lease).epoch == lease.epoch:
            self._held.pop(lease.chunk_no, None)

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        """See `Handle.intend`."""
        return await self._commits.intend(lease, seqs, at, day)

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        """See `Handle.settle`."""
        kept = await self._commits.settle(lease, results)
        reached("results-durable")
        return kept

    async def make_slots(self, most: int) -> None:
        """Nothing: what a process had handed over when it ended is not known here, so that all
        whom it left intended are in doubt."""

    def mark_leaving(self, lease: Lease, seq: int | None = None) -> None:
        """Nothing; see `make_slots`."""

    async def refuse_message(self, seq: int, reason: Reason, at: float) -> int:
        """See `Handle.refuse_message`."""
        return await self._access.do(group_calls.refuse_message, seq, reason, at)

    async def intend_group(self, lease: Lease, at: float) -> bool:
        """See `Handle.intend_group`."""
        return await self._access.do(group_calls.intend, lease, at)

    async def group_members(self, group_no: int) -> list[str]:
        """See `Handle.group_members`."""
        return await self._access.read(group_calls.members, group_no)

    async def accept_group(
        self, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
    ) -> bool:
        """See `Handle.accept_group`."""
        kept = await self._access.do(group_calls.accept, lease, msg_id, rid, at, next_poll_at)
        reached("group-result-durable")
        return kept

    async def return_group(self, lease: Lease, reason: Reason, called: bool = True) -> bool:
        """See `Handle.return_group`."""
        kept = await self._access.do(group_calls.return_, lease, reason, called)
        reached("group-result-durable")
        return kept

    async def refuse_group(
        self, lease: Lease, reason: Reason, at: float, *, everybody: bool = True
    ) -> bool:
        """See `Handle.refuse_group`."""
        kept = await self._access.do(group_calls.refuse, lease, reason, at, everybody)
        reached("group-result-durable")
        return kept

    async def lose_group(self, lease: Lease, reason: Reason, at: float) -> bool:
        """See `Handle.lose_group`."""
        kept = await self._access.do(group_calls.lose, lease, reason, at)
        reached("group-result-durable")
        return kept

    # Following.

    async def groups(self) -> list[GroupRow]:
        """See `Handle.groups`."""
        return await self._access.read(group_rows.group_rows)

    async def group(self, group_no: int) -> GroupRow:
        """See `Handle.group`."""
        return await self._access.read(group_rows.get_group, group_no)

    async def poll_group(
        self,
        group_no: int,
        counts: GroupCounts,
        next_poll_at: float,
        *,
        polls: int | None = None,
        at_100: bool = False,
        given_up: bool = False,
        warned_of_age: bool = False,
    ) -> bool:
        """See `Handle.poll_group`."""
        seen = {
            "polls": polls,
            "at_100": at_100,
            "given_up": given_up,
            "warned_of_age": warned_of_age,
        }
        return await self._access.do(group_results.poll, group_no, counts, next_poll_at, seen)

    async def complete_group(
        self,
        group_no: int,
        counts: GroupCounts,
        *,
        failures: Sequence[Failure],
        unnamed: int,
        at: float,
        warnings: Sequence[str] = (),
    ) -> list[str] | None:
        """See `Handle.complete_group`."""
        own = await self._access.do(
            group_results.complete, group_no, counts, failures, unnamed, at, warnings
        )
        if own is not None:
            self._warned([*warnings, *own])
        return own

    async def expire_group(self, group_no: int, at: float) -> bool:
        """See `Handle.expire_group`."""
        return await self._access.do(group_results.expire, group_no, at)

    async def adopt_group(self, group_no: int, msg_id: str, at: float, next_poll_at: float) -> None:
        """See `Handle.adopt_group`."""
        await self._access.do(recovery.adopt, group_no, msg_id, at, next_poll_at)

    # What the provider says later.

    async def keep_failure_file(self, group_no: int, raw: bytes) -> None:
        """See `Handle.keep_failure_file`."""
        pieces = provider_answers.pieces_of(raw)
        do, count = self._access.do, len(pieces)
        for number, piece in enumerate(pieces):
            await do(provider_answers.keep_piece, group_no, number, count, piece)
        await do(provider_answers.forget_other_pieces, group_no, count)

    async def sent_days(self) -> list[str]:
        """See `Handle.sent_days`."""
        return await self._access.read(provider_answers.sent_days)

    async def keep_clicks(self, found: ClickDay) -> None:
        """See `Handle.keep_clicks`."""
        await self._access.do(provider_answers.keep_clicks, found)

    async def clicks(self) -> list[ClickDay]:
        """See `Handle.clicks`."""
        return await self._access.read(provider_answers.clicks)

    async def recover(self, *, idempotent: bool, at: float, day: str, recent: int) -> Recovered:
        """See `Handle.recover`: what other senders hold stays theirs."""
        own, self._held = list(self._held), {}
        return await self._access.do(recovery.recover, idempotent, at, day, recent, own)

    # What is asked of the senders.

    async def set_control(self, control: Control) -> None:
        """See `Handle.set_control`."""
        await self._access.do(campaign_row.set_control, control)

    async def control(self) -> ControlRow:
        """See `Handle.control`."""
        return await self._access.read(campaign_row.control_row)

    async def set_first_few(self, found: FirstFew | None, *, instead_of: FirstFew | None) -> bool:
        """See `Handle.set_first_few`."""
        return await self._access.do(campaign_row.save_first_few, found, instead_of)

    async def halt(self, code: str, detail: str) -> None:
        """See `Handle.halt`."""
        text = f"{code}: {detail}"
        await self._access.do(campaign_row.halt, text)
        self._record.halted = self._record.halted or text

    async def halt_by_first(self, code: str, detail: str, *, seen: FirstFew | None) -> bool:
        """See `Handle.halt_by_first`."""
        text = f"{code}: {detail}"
        is_halted = await self._access.do(campaign_row.halt_by_first, text, seen)
        if is_halted:
            self._record.halted = self._record.halted or text
        return is_halted

    async def park(self, until: float) -> None:
        """See `Handle.park`."""
        await self._access.do(campaign_row.park, until)

    async def resume(self, at: float) -> None:
        """See `Handle.resume`."""
        await self._access.do(campaign_row.resume, at)
        self._record.halted = None

    # Reading.

    async def counts(self) -> Counts:
        """See `Handle.counts`."""
        return await self._access.read(reading.kept_counts)

    async def cohort_counts(self, cohorts: Sequence[int] | None = None) -> dict[int, Counts]:
        """See `Handle.cohort_counts`."""
        return await self._access.read(reading.cohort_counts, cohorts)

    async def untouched(self) -> bool:
        """See `Handle.untouched`."""
        return await self._access.read(reading.untouched)

    async def outcomes(
        self, *, after: tuple[int, int] = (-1, 0), limit: int = 500
    ) -> tuple[list[Outcome], tuple[int, int]]:
        """See `Handle.outcomes`."""
        return await self._access.read(reading.outcomes, after, limit)

    async def outcomes_end(self) -> tuple[int, int]:
        """See `Handle.outcomes_end`."""
        return await self._access.read(reading.outcomes_end)

    async def rows(self, states: Iterable[State] | None = None) -> AsyncIterator[list[Outcome]]:
        """See `Handle.rows`."""
        wanted = None if states is None else frozenset(states)
        after = -1
        while True:
            found, after = await self._access.read(reading.page, after, wanted)
            if not found:
                return
            yield found

    async def close(self) -> None:
        """See `Handle.close`. Leases that are still held run out at once, so that whoever resumes the
        campaign need not wait for them."""
        try:
            await self._commits.close()
            if self._held:
                held, self._held = list(self._held.values()), {}
                # While the server is away they run out by themselves.
                with suppress(JournalUnreachable):
                    await self._access.do(lease_calls.end_now, held)
        finally:
            await self._access.close()
