"""Whoever sends a campaign looks at its first few again and again, and keeps in the journal what is decided."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from promomsg.clock import Clock
from promomsg.engine.schedule.cohorts import first_cohorts
from promomsg.engine.schedule.first_few import (
    FirstDecision,
    FirstPhase,
    FirstProgress,
    decide_first,
    first_progress,
    results_in_words,
    with_first_few,
)
from promomsg.engine.schedule.first_options import FirstOptions, kept_first
from promomsg.engine.schedule.plan_digest import plan_digest
from promomsg.engine.schedule.schedule import Opening
from promomsg.engine.schedule.waiting import zone_of
from promomsg.journal.contract import Handle
from promomsg.journal.records import CampaignRecord, Counts, FirstFew
from promomsg.log_events import log_event
from promomsg.states import GroupState

__all__ = [
    "FirstWatch",
    "add_counts",
    "approve",
    "decide_of_record",
    "look_again",
    "progress_of",
    "progress_of_handle",
    "watch_of",
]

log = logging.getLogger("promomsg.engine")


def decide_of_record(
    record: CampaignRecord, options: FirstOptions, kept: FirstFew | None, counts: Counts, now: float
) -> FirstDecision:
    """What a campaign's first few mean, as its journal has them; nothing is written.

    Args:
        kept: what was decided so far; None: nothing.
        counts: of the first few.
        now: Unix seconds.
    """
    kept = kept or FirstFew()
    return decide_first(
        counts,
        answered_at=kept.answered_at,
        now=now,
        options=options,
        passed=kept.approved is not None and kept.approved == plan_digest(record),
        tried_again=kept.tried_again,
    )


def add_counts(parts: Iterable[Counts]) -> Counts:
    """The counts of several cohorts together."""
    total = Counts()
    for part in parts:
        for name in Counts.__struct_fields__:
            if name != "by_code":
                setattr(total, name, getattr(total, name) + getattr(part, name))
        for code, number in part.by_code.items():
            total.by_code[code] = total.by_code.get(code, 0) + number
    return total


def watch_of(handle: Handle) -> FirstWatch | None:
    """The first few of a campaign, by the options that its journal has; None: everybody is sent to at
    once."""
    record = handle.record
    options = kept_first(record.settings)
    if options is None or not first_cohorts(record):
        return None
    return FirstWatch(handle, options, zone_of(record))


def progress_of(
    record: CampaignRecord,
    look: Callable[[Sequence[int]], tuple[FirstFew | None, dict[int, Counts]]],
    now: float,
) -> FirstProgress | None:
    """How the first few of a campaign stand that is only looked at; None: it has none.

    Args:
        look: what is kept of those of some cohorts, and their counts (`CampaignView.first_few`).
        now: Unix seconds.
    """
    options, first = kept_first(record.settings), first_cohorts(record)
    if options is None or not first:
        return None
    kept, by_cohort = look(first)
    counts = add_counts(by_cohort.values())
    return first_progress(counts, decide_of_record(record, options, kept, counts, now))


async def progress_of_handle(
    handle: Handle, kept: FirstFew | None, now: float
) -> FirstProgress | None:
    """The same of a campaign that is open; `kept` as its control row has it."""
    first = first_cohorts(handle.record)
    counts = await handle.cohort_counts(first) if first else {}
    return progress_of(handle.record, lambda _: (kept, counts), now)


class FirstWatch:
    """The first few of one campaign, as one of its senders sees them.

    Args:
        zone: in which people are told of moments, by name; None: in UTC.

    Attributes:
        decision, counts: as of the last look; before it, that they are sent to.
        kept: what the journal kept of them after it.
    """

    def __init__(self, handle: Handle, options: FirstOptions, zone: str | None) -> None:
        self._handle = handle
        self._options = options
        self._zone = zone
        self._cohorts = first_cohorts(handle.record)
        self._all = len(handle.record.cohorts)
        self.decision = FirstDecision(phase=FirstPhase.SENDING)
        self.counts = Counts()
        self.kept: FirstFew | None = None

    @property
    def others_are_open(self) -> bool:
        """Whether the others are sent to."""
        return self.decision.others_are_open

    @property
    def is_settled(self) -> bool:
        """Whether no look finds anything new: the others are sent to, and the first few are answered."""
        return self.others_are_open and not self.counts.pending

    def opening(self, by_time: Opening) -> Opening:
        """Who may be sent to, of those who may by the time."""
        return with_first_few(
            by_time, self.decision, first=self._cohorts, cohorts=self._all, zone=self._zone
        )

    def progress(self) -> FirstProgress | None:
        """How they stand, as of the last look; None: they were not looked at yet."""
        if not self.counts.planned:
            return None
        return first_progress(self.counts, self.decision)

    async def look(self, kept: FirstFew | None, now: float) -> FirstDecision:
        """Decides by what the journal has now, and keeps it there, unless another sender was quicker:
        the next look has what that one kept.

        Args:
            kept: what the journal had of it, read before.
            now: Unix seconds.
        """
        record = self._handle.record
        counts = add_counts((await self._handle.cohort_counts(self._cohorts)).values())
        decision = decide_of_record(record, self._options, kept, counts, now)
        known = kept or FirstFew()
        to_keep = msgspec.structs.replace(known, answered_at=decision.answered_at)
        if decision.others_are_open and known.approved is None:
            to_keep = msgspec.structs.replace(to_keep, approved=plan_digest(record))
        if to_keep != known:
            if not await self._handle.set_first_few(to_keep, instead_of=kept):
                return self.decision
            self._log(known, to_keep, counts)
            kept = to_keep
        self.counts, self.decision, self.kept = counts, decision, kept
        return decision

    async def are_given_up(self) -> bool:
        """Whether nobody waits any more for an answer to them: their group sends take too long."""
        if self.decision.phase is not FirstPhase.SENDING:
            return False
        out = [g for g in await self._handle.groups() if g.state is GroupState.ACCEPTED]
        members = sum(group.planned for group in out)
        return bool(out) and members >= self.counts.pending and all(g.given_up for g in out)

    def _log(self, before: FirstFew, now: FirstFew, counts: Counts) -> None:
        values: dict[str, Any] = {
            "campaign": self._handle.record.name,
            "first": counts.planned,
            "sent": counts.sent,
            "failed": counts.failed,
            "unknown": counts.unknown,
        }
        results = "%(sent)s sent, %(failed)s failed, %(unknown)s unknown"
        if now.answered_at is not None and before.answered_at is None:
            text = f"%(campaign)s: the first %(first)s are answered: {results}"
            log_event(log, "first.answered", text, **values)
        if now.approved is not None and before.approved is None:
            text = f"%(campaign)s: the others follow the first %(first)s: {results}"
            log_event(log, "first.passed", text, **values)


async def approve(handle: Handle, clock: Clock, options: FirstOptions) -> None:
    """Lets the others follow by a person's word, and keeps that it was one. Where they follow already,
    nothing changes."""
    digest = plan_digest(handle.record)
    is_kept = False
    while True:
        kept = (await handle.control()).first_few
        if kept is not None and kept.approved == digest:
            return
        if not is_kept:
            # Before they follow: nobody is sent to without a trace of whose word it was.
            await _keep_word(handle, kept, clock, options)
            is_kept = True
        word = msgspec.structs.replace(kept or FirstFew(), approved=digest, by_person=True)
        if await handle.set_first_few(word, instead_of=kept):
            return


async def _keep_word(
    handle: Handle, kept: FirstFew | None, clock: Clock, options: FirstOptions
) -> None:
    record, digest = handle.record, plan_digest(handle.record)
    counts = add_counts((await handle.cohort_counts(first_cohorts(record))).values())
    unapproved = msgspec.structs.replace(kept or FirstFew(), approved=None)
    decision = decide_of_record(record, options, unapproved, counts, clock.time())
    first, results, plan = counts.planned, results_in_words(counts), digest[:12]
    text = f"a person let the others follow the first {first:,} ({results}; plan {plan})"
    if decision.phase is FirstPhase.STOPPED:
        text = (
            f"a person let the others follow the first {first:,} although too many of them were not "
            f"sent ({results}; plan {plan})"
        )
    await handle.warn(text)
    log_event(
        log,
        "first.approved",
        "%(campaign)s: a person let the others follow the first %(first)s (plan %(plan)s)",
        campaign=record.name,
        first=counts.planned,
        plan=digest,
    )


async def look_again(handle: Handle) -> None:
    """Some of the first few are tried again at the user's word: they are looked at anew once they are
    answered. Not where the others follow already."""
    while True:
        kept = (await handle.control()).first_few
        if kept is not None and kept.approved is not None:
            return
        again = FirstFew(tried_again=True)
        if kept == again or await handle.set_first_few(again, instead_of=kept):
            return
