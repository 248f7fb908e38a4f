"""The pace of a campaign for which none was set: what the provider says, else 50 a second."""

from __future__ import annotations

from typing import Final

import anyio

from promomsg.channels.base import Advice, Channel
from promomsg.transport.pace import Pace

__all__ = ["DEFAULT_PACE", "pace_from", "settle_pace"]

DEFAULT_PACE: Final = Pace(singles_per_second=50)
_PATIENCE: Final = 8.0
"""Seconds that advice is waited for: without it there is a default."""


def pace_from(advice: Advice | None) -> Pace | None:
    """The pace that a provider's rate limit says; None when it says none."""
    if advice is None or not advice.calls or not advice.per_seconds:
        return None
    if advice.calls <= 0 or advice.per_seconds <= 0:
        return None
    if advice.per_seconds == 60:
        return Pace(singles_per_minute=advice.calls)
    return Pace(singles_per_second=advice.calls / advice.per_seconds)


async def settle_pace(channel: Channel, singles: int | None = None) -> list[str]:
    """Sets the account's pace when nobody did; returns what the plan should say of it."""
    pacer = channel.pacer
    if pacer.configured:
        return []
    advice: Advice | None = None
    with anyio.move_on_after(_PATIENCE):
        advice = await channel.advise()
    pace = pace_from(advice)
    if pace is not None:
        pacer.configure(pace)
        notices = ["the pace is what the provider's quota says"]
    else:
        pacer.configure(DEFAULT_PACE)
        notices = [
            f"no pace is set and the provider says none: {DEFAULT_PACE.singles_per_second:g} "
            "singles a second; set [pace] (or pace=Pace(…)) to your quota"
        ]
    if advice is not None and advice.daily_remaining is not None:
        notices.append(f"{advice.daily_remaining} single calls are left of today's quota")
    return notices
