"""What a plan says of when it is sent, and which times cannot be meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from promomsg.durations import format_duration
from promomsg.engine.schedule.schedule import Schedule
from promomsg.errors import UsageError

__all__ = ["PlanTimes", "check_times", "late_notices", "plan_times"]

_STALE: Final = 86_400.0
"""Seconds for which a start may be past: who plans a campaign a little late still means it."""


class PlanTimes(msgspec.Struct, frozen=True, kw_only=True):
    """When a campaign is sent. All moments are Unix seconds.

    Attributes:
        start_at: before which nothing goes out; None: at once.
        finish_by: from which nothing goes out; None: however long it takes.
        hours: outside of which nothing goes out, as they were written; none: at any time.
        zone: whose clocks they are of, by name; None: each moment says its own offset.
        zones: by whose clocks the hours are too, each for the recipients in it; none: all are in `zone`.
        begins_at: when the first call may go out; None: there is no such moment.
        ends_at: when the last call goes out, at the pace; None: it is not known, or not before `finish_by`.
    """

    start_at: float | None = None
    finish_by: float | None = None
    hours: tuple[str, ...] = ()
    zone: str | None = None
    zones: tuple[str, ...] = ()
    begins_at: float | None = None
    ends_at: float | None = None


def check_times(schedule: Schedule, now: float) -> list[str]:
    """What a new plan should say of its times.

    Raises:
        UsageError: nothing could be sent by them, or they are those of another day: a start that is more
            than a day past is a year or a file that was not changed.
    """
    start, end, shown = schedule.start_at, schedule.finish_by, schedule.shown
    if end is not None and end <= now:
        raise UsageError(
            f"finish_by: {shown(end)} is past: nothing could be sent; give a later one"
        )
    if start is not None and end is not None and start >= end:
        raise UsageError(
            f"finish_by, {shown(end)}, is not after start_at, {shown(start)}: nothing could be sent"
        )
    if start is not None and now - start > _STALE:
        raise UsageError(
            f"start_at: {shown(start)} is {format_duration(now - start)} past; give another one, or say "
            '"now" to begin at once'
        )
    opens = schedule.first_opening(max(now, start or now))
    if schedule.hours is not None and (opens is None or (end is not None and opens >= end)):
        raise UsageError(
            f"between: {schedule.hours}: there are no such hours"
            + (f" before finish_by, {shown(end)}" if end is not None else "")
        )
    if start is not None and start <= now:
        return [f"start_at, {shown(start)}, is past: it begins at once"]
    return []


def plan_times(
    schedule: Schedule | None,
    now: float,
    work: Sequence[float] | None,
    per_day: float | None = None,
) -> PlanTimes | None:
    """When a plan that is begun now is sent; None: at once, at any time.

    Args:
        work: seconds of calls by cohort, at the pace that all of them share; None: it is not limited.
        per_day: seconds of it that a China-time day may have; None: all of it.
    """
    if schedule is None:
        return None
    opening = schedule.opening(now)
    return PlanTimes(
        start_at=schedule.start_at,
        finish_by=schedule.finish_by,
        hours=() if schedule.hours is None else schedule.hours.texts,
        zone=schedule.zone,
        zones=tuple(dict.fromkeys(zone for zone in schedule.zones if zone is not None)),
        begins_at=opening.next_at if opening.is_closed else now,
        ends_at=None if work is None else schedule.work_through(now, work, per_day).ends_at,
    )


def late_notices(
    schedule: Schedule | None,
    now: float,
    work: Sequence[float] | None,
    to_send: int,
    per_day: float | None = None,
) -> list[str]:
    """What a plan should say when it cannot end by `finish_by`.

    Args:
        work, per_day: as `plan_times` has them.
        to_send: how many recipients it is for.
    """
    if schedule is None or schedule.finish_by is None or not work or not sum(work):
        return []
    done = schedule.work_through(now, work, per_day)
    if done.ends_at is not None:
        return []
    sent = int(to_send * (1 - done.left / sum(work)))
    return [
        f"at this pace it does not end by finish_by, {schedule.shown(schedule.finish_by)}: about "
        f"{sent:,} of {to_send:,} are sent to by then, and the others are cancelled (FINISH_BY)"
    ]
