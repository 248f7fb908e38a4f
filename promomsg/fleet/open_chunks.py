"""What the campaigns' schedules say now: which chunks may be sent, where recipients are in several cohorts, and
which campaigns are over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.engine.schedule.cohorts import Cohort
from promomsg.engine.schedule.first_few import FirstDecision, FirstPhase, with_first_few
from promomsg.engine.schedule.schedule import ALWAYS_OPEN
from promomsg.engine.schedule.time_options import kept_times
from promomsg.errors import JournalError, UsageError
from promomsg.journal.postgres.database import Connection
from promomsg.journal.records import FirstFew

__all__ = ["open_chunks", "over_campaigns"]

_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"
# Settings may name each recipient (`only`), and are asked for every few seconds.
_CAMPAIGNS: Final = f"""
SELECT campaign, settings, cohorts, first_few, {_NOW} FROM campaign
WHERE campaign = ANY(%s::bigint[]) AND cohorts IS NOT NULL AND octet_length(settings) < 65536
""".encode()  # noqa: S608 - constants of this file
_TIMES: Final = f"""
SELECT campaign, settings, {_NOW} FROM campaign
WHERE campaign = ANY(%s::bigint[]) AND octet_length(settings) < 65536
""".encode()  # noqa: S608 - constants of this file
_CHUNKS: Final = f"""
SELECT campaign, cohort, count(*) FILTER (WHERE deadline IS NULL OR deadline <= {_NOW})
FROM chunk WHERE campaign = ANY(%s::bigint[]) AND NOT done GROUP BY campaign, cohort
""".encode()  # noqa: S608 - constants of this file

_json = msgspec.json.Decoder().decode
_cohorts = msgspec.json.Decoder(list[Cohort]).decode
_few = msgspec.json.Decoder(FirstFew).decode

_UNREADABLE: Final = (JournalError, UsageError, msgspec.MsgspecError, ValueError)
"""A newer version's campaign, or a damaged one, keeps no other from its work: whoever takes a part of it says
what is wrong with it."""


async def open_chunks(db: Connection, campaigns: Sequence[int]) -> dict[int, int]:
    """How many chunks that nobody holds may be sent now, by campaign. One of which there is no entry is
    of one cohort, or all of its chunks may be."""
    if not campaigns:
        return {}
    rows = await (await db.execute(_CAMPAIGNS, (list(campaigns),))).fetchall()
    several = [row[0] for row in rows]
    free: dict[int, dict[int, int]] = {campaign: {} for campaign in several}
    if several:
        for campaign, cohort, count in await (await db.execute(_CHUNKS, (several,))).fetchall():
            free[campaign][cohort] = count
    found = {}
    for campaign, *kept in rows:
        try:
            numbers = _open_cohorts(free[campaign], *kept)
        except _UNREADABLE:
            numbers = None
        if numbers is not None:
            found[campaign] = sum(free[campaign].get(number, 0) for number in numbers)
    return found


async def over_campaigns(db: Connection, campaigns: Sequence[int]) -> frozenset[int]:
    """Those of them whose `finish_by` has come."""
    if not campaigns:
        return frozenset()
    rows = await (await db.execute(_TIMES, (list(campaigns),))).fetchall()
    return frozenset(campaign for campaign, settings, now in rows if _is_over(settings, now))


def _is_over(settings: str, now: float) -> bool:
    try:
        schedule = kept_times(_json(settings)).schedule()
    except _UNREADABLE:
        return False
    return schedule is not None and schedule.opening(now).is_over


def _open_cohorts(
    undone: dict[int, int], settings: str, cohorts: str, first_few: str | None, now: float
) -> list[int] | None:
    """The numbers of those that may be sent to; None: all, or somebody has to look."""
    who = _cohorts(cohorts)
    if len(who) < 2:
        return None
    times: Any = kept_times(_json(settings))
    schedule = times.schedule(tuple(cohort.zone for cohort in who))
    opening = ALWAYS_OPEN if schedule is None else schedule.opening(now)
    if opening.is_over:
        return None  # those who are left are cancelled by whoever comes
    passed = first_few is not None and _few(first_few).approved is not None
    first = [number for number, cohort in enumerate(who) if cohort.first]
    if not passed and any(number in undone for number in first):
        out = FirstDecision(phase=FirstPhase.SENDING)
        opening = with_first_few(opening, out, first=first, cohorts=len(who), zone=None)
    return list(range(len(who)) if opening.cohorts is None else opening.cohorts)
