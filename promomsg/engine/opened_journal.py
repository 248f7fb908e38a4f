"""A journal to look at, while its campaign is being sent or long after; plain calls, no event loop."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from promomsg.engine.report import CANNOT_BE_REACHED, Report, campaign_state
from promomsg.errors import UsageError
from promomsg.journal.contract import Journal
from promomsg.journal.locate import (
    Durability,
    LeftIntended,
    is_being_sent,
    journal_at,
    journal_behind,
    left_intended,
    open_reader,
    source_of,
)
from promomsg.journal.records import CampaignRecord, Counts, GroupRow
from promomsg.model import Outcome, State

__all__ = ["OpenedJournal", "open_journal"]


class OpenedJournal:
    """One journal, read only: a sender is never in its way, and it never in a sender's."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise UsageError(f"{path!r} is not a journal's path; give a str or a Path")
        self.path = os.fspath(path)
        self._reader = open_reader(self.path)

    def report(self) -> Report:
        """Where the campaign stands now; its outcomes are read when they are asked for."""
        reader = self._reader
        record = reader.record
        counts, groups, left, running = self._look()
        state, reason = campaign_state(
            counts,
            groups,
            control=reader.control(),
            halted=record.halted,
            running=running,
            in_doubt=left is not None,
        )
        if state == "sending" and record.outage is not None:
            reason = CANNOT_BE_REACHED
        doubts = [] if running else reader.warnings()
        if doubts and is_being_sent(self.path):
            doubts = []  # a sender began between the looks
        if left is not None:
            doubts += _were_out(left)
        return Report(
            record,
            counts,
            groups,
            state=state,
            reason=reason,
            rows=journal_at(self.path).rows_later(),
            elapsed_s=reader.elapsed(),
            journal=self.path,
            warnings=doubts,
        )

    def _look(self) -> tuple[Counts, list[GroupRow], LeftIntended | None, bool]:
        """The counts and the groups, whom a sender that died left intended (they are counted in it as
        a resume will take them), and whether a sender is at work."""
        reader = self._reader
        while True:
            running = is_being_sent(self.path)
            _, seen = reader.position()
            left = None if running else left_intended(reader)
            kept, groups = reader.running_counts(), reader.groups()
            if left is None:
                return kept.totals(), groups, left, running
            if not is_being_sent(self.path) and reader.position()[1] == seen:
                return left.counts(kept).totals(), left.groups(groups), left, running
            # A sender began between the looks.

    @property
    def record(self) -> CampaignRecord:
        """What the campaign was begun with."""
        return self._reader.record

    def outcomes(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`), in the order of the recipients, read by this opening."""
        return self._reader.rows(states, source_of(self._reader))

    def to_go_on(self, durability: Durability = "power") -> Journal:
        """The journal for a campaign that goes on with it: whoever opens that takes this opening over,
        and closes it."""
        return journal_behind(self._reader, durability=durability)

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _were_out(left: LeftIntended) -> list[str]:
    """How many calls were out when the sender ended, and what to do."""
    singles, groups, members = left.in_doubt
    out = []
    if singles:
        out.append("1 single send" if singles == 1 else f"{singles} single sends")
    if groups:
        out.append(f"{'1 group send' if groups == 1 else f'{groups} group sends'} of {members}")
    if not out:
        return []
    were = "was" if singles + groups == 1 else "were"
    then = "their recipients are unknown; resume it"
    if left.idempotent:
        then = "resume asks for them again with the same idempotency keys"
    return [f"{' and '.join(out)} {were} out when its sender ended: {then}"]


def open_journal(path: str | os.PathLike[str]) -> OpenedJournal:
    """Opens a journal for reading: `promomsg.open_journal("autumn.db").report()`.

    Raises:
        UsageError: it is no path.
        JournalError: there is none, or it is not one of this version.
    """
    return OpenedJournal(path)
