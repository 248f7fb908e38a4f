"""What a report is made of, whatever it is written as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from promomsg.journal.records import CampaignRecord, ClickDay, Counts, GroupRow
from promomsg.model import ClickCount, Outcome, State
from promomsg.timeline import Timeline

__all__ = [
    "COLUMNS",
    "NOT_SENT",
    "ClickSummary",
    "ReportContents",
    "share_text",
    "summary_of_clicks",
]

COLUMNS: Final = ("key", "verdict", "code", "detail", "attempts", "group", "at", "rid")
"""The columns of an outcome where cells have types (Parquet, workbook, frame): those of the CSV report,
and the provider's id of the request."""

NOT_SENT: Final = tuple(state for state in State if state is not State.SENT)


class ClickSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the clicks on a campaign's messages.

    Attributes:
        people: who clicked on its group sends; None: it is not known of any. Of single sends WeChat only
            says how many clicked on any message of their type, whoever sent it.
        reached: whom its group sends reached, as the provider counts them.
        days: what was kept, in order of days.
        notes: what to know of the figures: what they are of, which are to come, and which nobody has.
    """

    people: int | None = None
    reached: int = 0
    days: tuple[ClickDay, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> list[tuple[ClickDay, ClickCount]]:
        """Each count that was kept, with its day."""
        return [(day, count) for day in self.days for count in day.counts]

    @property
    def rate(self) -> float | None:
        """The share of those reached who clicked, 0 to 1; None: it is not known."""
        return self.people / self.reached if self.people is not None and self.reached else None


class ReportContents(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign, as it stands.

    Attributes:
        record: what it was begun with.
        state, reason: where it stands, and why.
        counts: how many recipients, by state and by code.
        groups: its group sends.
        warnings: what a person should know.
        elapsed_s: seconds that it took.
        host: where it was sent; journal: where it is kept, None for a place that is gone.
        made_at: Unix seconds at which this was looked at.
        timeline: its outcomes by time.
        clicks: what is known of clicks.
        outcomes: its rows, of some states or of all (None), read when they are asked for.
    """

    record: CampaignRecord
    state: str
    reason: str
    counts: Counts
    groups: tuple[GroupRow, ...]
    warnings: tuple[str, ...]
    elapsed_s: float
    host: str
    journal: str | None
    made_at: float
    timeline: Timeline
    clicks: ClickSummary
    outcomes: Callable[[Iterable[State] | None], Iterator[Outcome]]


def summary_of_clicks(
    days: Iterable[ClickDay], groups: Iterable[GroupRow], notes: Iterable[str] = ()
) -> ClickSummary:
    """The figures that were kept, summed up.

    Args:
        days: what was kept, in order of days.
        groups: the campaign's group sends.
    """
    days = tuple(days)
    # One that was sent at midnight may be listed on two days.
    people: dict[str | None, int] = {}
    for day in days:
        for count in day.counts:
            if day.by_message and count.people is not None:
                people[count.msg_id] = max(count.people, people.get(count.msg_id, 0))
    return ClickSummary(
        people=sum(people.values()) if people else None,
        reached=sum(_reached(group) for group in groups if group.msg_id is not None),
        days=days,
        notes=tuple(notes),
    )


def _reached(group: GroupRow) -> int:
    sent = group.planned if group.send_cnt is None else group.send_cnt
    return max(sent - (group.fail_cnt or 0), 0)


def share_text(value: float) -> str:
    """`98.2%`; what is not all of it is never shown as 100%, nor something as 0%."""
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1:
        return "99.9%"
    return "<0.1%" if text == "0.0%" and value > 0 else text
