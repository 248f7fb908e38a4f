"""For what a campaign waits, as it is told to people: its start, its hours, or the next day."""

from __future__ import annotations

import msgspec

from promomsg.engine.schedule.cohorts import cohorts_of, first_cohorts
from promomsg.engine.schedule.first_few import (
    LOOK_AGAIN,
    FirstDecision,
    FirstPhase,
    FirstProgress,
    with_first_few,
)
from promomsg.engine.schedule.schedule import ALWAYS_OPEN, Opening, Schedule
from promomsg.engine.schedule.time_options import TimeOptions, kept_times, usual_zone
from promomsg.journal.records import CampaignRecord

__all__ = ["NOT_WAITING", "Waiting", "schedule_of", "waiting_at", "waiting_of", "zone_of"]


class Waiting(msgspec.Struct, frozen=True):
    """A campaign that may not send now.

    Attributes:
        why: until when, and why, for people; empty: it may.
        until: Unix seconds; None: it is not known, or it may.
    """

    why: str = ""
    until: float | None = None


NOT_WAITING = Waiting()


def waiting_at(opening: Opening, parked_until: float | None, now: float) -> Waiting:
    """For what a campaign waits, if it does.

    Args:
        opening: by its schedule.
        parked_until: Unix seconds before which nobody sends, as its journal has it; None: nobody waits.
        now: Unix seconds.
    """
    if opening.is_closed and not opening.is_over:
        return Waiting(opening.why, opening.next_at)
    if parked_until is not None and parked_until > now:
        return Waiting(
            "the daily quota is used up; it goes on on the next China-time day", parked_until
        )
    return NOT_WAITING


def waiting_of(
    record: CampaignRecord,
    parked_until: float | None,
    now: float,
    first: FirstProgress | None = None,
) -> Waiting:
    """The same of a campaign's record, and of how its first few stand; None: it has none."""
    schedule = schedule_of(record)
    opening = ALWAYS_OPEN if schedule is None else schedule.opening(now)
    are_out = first is not None and first.phase == FirstPhase.SENDING
    if are_out and parked_until is not None and parked_until - now <= LOOK_AGAIN:
        parked_until = None  # by a part that looks again soon
    if first is not None and not first.needs_a_word:
        opening = with_first_few(
            opening,
            FirstDecision(phase=FirstPhase(first.phase), until=first.until),
            first=first_cohorts(record),
            cohorts=len(record.cohorts),
            zone=zone_of(record),
        )
    if schedule is not None and opening.cohorts and parked_until == opening.next_at:
        opening = schedule.without_those_open(
            opening
        )  # a sender has found that nobody is left there
    return waiting_at(opening, parked_until, now)


def zone_of(record: CampaignRecord) -> str | None:
    """The time zone in which people are told of a campaign's moments, by name; None: in UTC."""
    return kept_times(record.settings).zone or usual_zone(record.channel)


def schedule_of(record: CampaignRecord, times: TimeOptions | None = None) -> Schedule | None:
    """When a campaign may be sent, as its record says; None: at any time.

    Args:
        times: instead of those of the record.
    """
    times = times or kept_times(record.settings)
    return times.schedule(tuple(one.zone for one in cohorts_of(record)))
