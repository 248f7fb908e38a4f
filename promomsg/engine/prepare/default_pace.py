"""The pace of a campaign for which none was set: what the provider says, else 50 a second."""

from __future__ import annotations

from typing import Final

import anyio
import msgspec

from promomsg.channels.base import Advice, Channel
from promomsg.errors import JournalError, UsageError
from promomsg.journal.records import CampaignRecord
from promomsg.plural import counted
from promomsg.transport.pace import DEFAULT_SINGLES_PER_SECOND, Pace

__all__ = [
    "ask_quota",
    "day_notices",
    "keep_pace",
    "pace_from_quota",
    "pace_of",
    "quota_notices",
    "set_default_pace",
]

_PACE: Final = "pace"
"""Where a record's settings have it."""
_LONGEST_WAIT: Final = 5.0
"""Seconds for the provider to say its quota: without it there is a default."""


def keep_pace(record: CampaignRecord, channel: Channel) -> None:
    """Has a campaign's record say the pace that is in force, for whoever sends it later."""
    record.settings[_PACE] = msgspec.to_builtins(channel.pacer.pace)


def pace_of(record: CampaignRecord) -> Pace | None:
    """The pace that was in force when a campaign was planned or last resumed; None for a campaign of
    an earlier version, which does not say it.

    Raises:
        JournalError: it is not one that promomsg writes.
    """
    kept = record.settings.get(_PACE)
    if kept is None:
        return None
    try:
        return msgspec.convert(kept, Pace)
    except (msgspec.ValidationError, UsageError) as error:
        raise JournalError(f"its pace cannot be read back: {error}") from None


def pace_from_quota(advice: Advice | None) -> Pace | None:
    """The pace that a provider's rate limit says; None when it says none."""
    if advice is None or not advice.calls or not advice.per_seconds:
        return None
    if advice.calls <= 0 or advice.per_seconds <= 0:
        return None
    if advice.per_seconds == 60:
        return Pace(singles_per_minute=advice.calls)
    return Pace(singles_per_second=advice.calls / advice.per_seconds)


async def ask_quota(channel: Channel) -> Advice | None:
    """What the provider says of its quotas; None when it cannot be had in some seconds."""
    with anyio.move_on_after(_LONGEST_WAIT):
        return await channel.advise()
    return None


def quota_notices(advice: Advice | None, singles: int) -> list[str]:
    """What a plan should say of the day's quota: only when it is known to be too small."""
    if advice is None or advice.daily_remaining is None or advice.daily_remaining >= singles:
        return []
    return [
        f"today's quota has {counted(advice.daily_remaining, 'single call')} left and the plan needs "
        f'{singles:,}: the campaign will stop, resumable, or wait with on_daily_quota = "wait"'
    ]


def day_notices(limit: int | None, singles: int) -> list[str]:
    """What a plan should say of the user's own limit for one China-time day."""
    if limit is None or singles <= limit:
        return []
    return [
        f"{singles:,} single calls at {limit:,} a China-time day take {counted(-(-singles // limit), 'day')}: "
        "each day the campaign stops, resumable, or waits for the next one with "
        'on_daily_quota = "wait"'
    ]


def set_default_pace(channel: Channel, advice: Advice | None) -> list[str]:
    """Sets the account's pace when the user has set none; returns what the plan should say of it.

    Args:
        advice: from `ask_quota`; None: it could not be had.
    """
    pacer = channel.pacer
    if pacer.configured:
        return []
    pace = pace_from_quota(advice)
    if pace is not None:
        pacer.configure(pace)
        return ["the pace is what the provider's quota says"]
    pacer.configure(Pace(singles_per_second=DEFAULT_SINGLES_PER_SECOND))
    return [
        "no pace a second or a minute is set and the provider says none: "
        f"{DEFAULT_SINGLES_PER_SECOND:g} singles a second; set [pace] (or pace=Pace(…)) to your quota"
    ]
