"""Which chunks of a campaign may be sent now, where its recipients are in several cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from promomsg.engine.schedule.cohorts import Cohort
from promomsg.engine.schedule.first_few import FirstDecision, FirstPhase, with_first_few
from promomsg.engine.schedule.schedule import ALWAYS_OPEN
from promomsg.engine.schedule.time_options import kept_times
from promomsg.journal.postgres.database import Connection
from promomsg.journal.records import FirstFew

__all__ = ["open_chunks"]

_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"
# Settings may name each recipient (`only`), and are asked for every few seconds.
_CAMPAIGNS: Final = f"""
SELECT campaign, settings, cohorts, first_few, {_NOW} FROM campaign
WHERE campaign = ANY(%s::bigint[]) AND cohorts IS NOT NULL AND octet_length(settings) < 65536
""".encode()  # noqa: S608 - constants of this file
_CHUNKS: Final = f"""
SELECT campaign, cohort, count(*) FILTER (WHERE deadline IS NULL OR deadline <= {_NOW})
FROM chunk WHERE campaign = ANY(%s::bigint[]) AND NOT done GROUP BY campaign, cohort
""".encode()  # noqa: S608 - constants of this file

_json = msgspec.json.Decoder().decode
_cohorts = msgspec.json.Decoder(list[Cohort]).decode
_few = msgspec.json.Decoder(FirstFew).decode


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
        numbers = _open_cohorts(free[campaign], *kept)
        if numbers is not None:
            found[campaign] = sum(free[campaign].get(number, 0) for number in numbers)
    return found


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
