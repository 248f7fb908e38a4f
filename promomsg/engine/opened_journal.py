"""A journal to look at, while its campaign is being sent or long after; plain calls, no event loop."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from promomsg.clock import SYSTEM_CLOCK
from promomsg.engine.later_days.due_days import click_questions, clicks_asked_at, earliest
from promomsg.engine.later_days.provider_windows import closing_windows
from promomsg.engine.report import CANNOT_BE_REACHED, Report, campaign_state
from promomsg.engine.schedule.first_watch import progress_of
from promomsg.engine.schedule.waiting import waiting_of
from promomsg.errors import UsageError
from promomsg.journal.contract import CampaignView, Journal
from promomsg.journal.locate import journal_at, journal_behind
from promomsg.journal.records import CampaignRecord, Durability, InDoubt
from promomsg.model import GROUP_CHANNELS, Code, Outcome, State

__all__ = ["OpenedJournal", "open_journal", "report_of_view"]


class OpenedJournal:
    """One journal, read only: a sender is never in its way, and it never in a sender's."""

    def __init__(self, journal: str | os.PathLike[str] | Journal) -> None:
        self.journal: Journal
        self.address: str | None
        if isinstance(journal, (str, os.PathLike)):
            self.journal, self.address = journal_at(journal), os.fspath(journal)
        elif isinstance(journal, type) or not hasattr(journal, "rows_later"):
            raise UsageError(
                f"{journal!r} is not a journal's path; give a str or a Path, or a journal"
            )
        else:
            self.journal, self.address = journal, journal.address
        self._view = self.journal.reader()

    def report(self) -> Report:
        """Where the campaign stands now; its outcomes are read when they are asked for."""
        return report_of_view(self._view, self.journal, self.address)

    @property
    def record(self) -> CampaignRecord:
        """What the campaign was begun with."""
        return self._view.record

    def outcomes(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`), in the order of the recipients, read by this opening."""
        return self._view.rows(states)

    def failure_file(self, group: int) -> bytes | None:
        """The failure file of a group, by its number in the journal, as the provider gave it.

        Returns:
            None: none was kept: the provider named every failure in its answers, the group is not over, or
            the journal is in memory.
        """
        return self._view.failure_file(group)

    def has_clicks_due(self) -> bool:
        """Whether the provider has clicks on what this campaign sent that nobody has asked for, or that
        moved since: from the China-time day after a send on, for 90 days. Nothing is called."""
        if self.record.channel not in GROUP_CHANNELS:
            return False
        now, kept = SYSTEM_CLOCK.time(), self._view.clicks()
        questions = click_questions(self._view.standing().groups, self._view.sent_days())
        moments = [clicks_asked_at(one, kept, now=now, spread=0.0) for one in questions]
        return (first := earliest(moments)) is not None and first <= now

    def to_go_on(self, durability: Durability = "power") -> Journal:
        """The journal for a campaign that goes on with it: whoever opens that takes this opening over,
        and closes it."""
        return journal_behind(self.journal, self._view, durability=durability)

    def close(self) -> None:
        """Closes the file."""
        self._view.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def report_of_view(
    view: CampaignView, journal: Journal, address: str | None, *, goes_on: bool = False
) -> Report:
    """Where a campaign that is looked at stands.

    Args:
        journal: its outcomes are read from it when they are asked for.
        address: `Report.journal`.
        goes_on: somebody sends it on when its time comes, though nobody has it in hand.
    """
    record = view.record
    standing = view.standing()
    now = SYSTEM_CLOCK.time()
    first = progress_of(record, view.first_few, now)
    # Nobody waits for the next day in a campaign that nobody sends: whoever resumes it asks the provider.
    parked_until = view.parked_until() if standing.running or goes_on else None
    waiting = waiting_of(record, parked_until, now, first)
    state, reason = campaign_state(
        standing.counts,
        standing.groups,
        control=view.control(),
        halted=record.halted,
        running=standing.running,
        waiting=waiting.why,
        in_doubt=standing.in_doubt is not None,
    )
    if state == "sending" and record.outage is not None:
        reason = CANNOT_BE_REACHED
    doubts = list(standing.warnings)
    if state == "waiting" and not (standing.running or goes_on):
        doubts.append("nobody is there to go on with it when its time comes: resume it")
    if standing.in_doubt is not None:
        doubts += _were_out(standing.in_doubt, standing.asks_again)
    closing = closing_windows(
        record,
        standing.groups,
        clicks := view.clicks(),
        sent_days := view.sent_days(),
        unnamed=standing.counts.by_code.get(Code.UNNAMED.value, 0),
        running=standing.running or goes_on,
        journal=address,
        now=now,
    )
    return Report(
        record,
        standing.counts,
        standing.groups,
        state=state,
        reason=reason,
        rows=journal.rows_later(),
        elapsed_s=view.elapsed(),
        journal=address,
        warnings=doubts,
        waits_until=waiting.until,
        first=first,
        clicks=clicks,
        closing=closing,
        sent_days=sent_days,
    )


def _were_out(in_doubt: InDoubt, asks_again: bool) -> list[str]:
    """How many calls were out when the sender ended, and what to do."""
    singles, groups, members = in_doubt
    out = []
    if singles:
        out.append("1 single send" if singles == 1 else f"{singles} single sends")
    if groups:
        out.append(f"{'1 group send' if groups == 1 else f'{groups} group sends'} of {members}")
    if not out:
        return []
    then = "their recipients are unknown; resume it"
    if asks_again:
        then = "resume asks for them again with the same idempotency keys"
    if singles + groups == 1:
        return [f"{out[0]} was out when its sender ended: {then}"]
    return [f"{' and '.join(out)} were out when its sender ended: {then}"]


def open_journal(journal: str | os.PathLike[str] | Journal) -> OpenedJournal:
    """Opens a journal, or the one at a path, for reading: `promomsg.open_journal("autumn.db").report()`.

    Raises:
        UsageError: it is neither.
        JournalError: there is none, or it is not one of this version.
    """
    return OpenedJournal(journal)
