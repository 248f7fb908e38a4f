"""What every journal promises to those who only look at a campaign, by plain calls without an event
loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from promomsg.journal.people.people_contract import PeopleView
from promomsg.journal.records import CampaignRecord, ClickDay, Control, Counts, FirstFew, Standing
from promomsg.model import Outcome, State
from promomsg.timeline import Timeline

__all__ = ["CampaignView", "Rows"]


class Rows(Protocol):
    """Single outcomes to read, by plain calls without an event loop, from any thread.

    They are read as they stand when asked for, while a sender runs and after. Nothing is held open
    in between, until `keep`.
    """

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq."""

    def timeline(self, most: int) -> Timeline:
        """How many came to which outcome in which stretch of time, in `most` stretches at the most.

        Whom planning failed or skipped is not in it, nor the members of an audience whom nobody named.
        """

    def keep(self) -> None:
        """Of a campaign that is closed: they stay readable after `Journal.discard`."""

    def close(self) -> None:
        """Gives back what `keep` holds; a second call does nothing."""


class CampaignView(PeopleView, Protocol):
    """A campaign to look at, by plain calls without an event loop, while it is sent and after. It
    changes nothing, and no sender is in its way."""

    @property
    def record(self) -> CampaignRecord:
        """The campaign."""

    def control(self) -> Control:
        """What was asked of its senders."""

    def parked_until(self) -> float | None:
        """Unix seconds before which none of its senders sends, as `Handle.park` has it; it may be past."""

    def standing(self) -> Standing:
        """Where it stands at this moment."""

    def first_few(self, cohorts: Sequence[int]) -> tuple[FirstFew | None, dict[int, Counts]]:
        """What is kept of the first few, and how they stand: those of these cohorts, as
        `Handle.cohort_counts` has them."""

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq. Whom a sender that died left intended is
        as a resume will take them."""

    def timeline(self, most: int) -> Timeline:
        """See `Rows.timeline`."""

    def elapsed(self) -> float:
        """Seconds from the complete plan to the last thing that happened."""

    def failure_file(self, group_no: int) -> bytes | None:
        """A group's failure file as it came; None: none was kept."""

    def sent_days(self) -> list[str]:
        """The China-time days (`2026-11-24`) on which singles were intended, in order. It takes
        no longer for many recipients."""

    def clicks(self) -> list[ClickDay]:
        """What was kept of clicks, in order of days, by message first."""

    def close(self) -> None:
        """Lets go of the journal; a second call does nothing."""
