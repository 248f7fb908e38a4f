"""What a report is made of, whatever it is written as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from promomsg.journal.records import CampaignRecord, ClickDay, Counts, GroupRow
from promomsg.model import Outcome, State
from promomsg.timeline import Timeline

__all__ = ["COLUMNS", "NOT_SENT", "ReportContents", "clicked_people"]

COLUMNS: Final = ("key", "verdict", "code", "detail", "attempts", "group", "at", "rid")
"""The columns of an outcome where cells have types (Parquet, workbook, frame): those of the CSV report,
and the provider's id of the request."""

NOT_SENT: Final = tuple(state for state in State if state is not State.SENT)


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
        clicks: what was kept of clicks.
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
    clicks: tuple[ClickDay, ...]
    outcomes: Callable[[Iterable[State] | None], Iterator[Outcome]]


def clicked_people(days: Iterable[ClickDay]) -> int | None:
    """People who clicked on the campaign's own group sends; None: it is not known of any. Of single sends
    WeChat only says how many clicked on any message of their type, whoever sent it."""
    found = [
        count.people
        for day in days
        if day.by_message
        for count in day.counts
        if count.people is not None
    ]
    return sum(found) if found else None
