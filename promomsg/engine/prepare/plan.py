"""The plan of a campaign as a person sees it before saying yes: what it sends, how, and how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.engine.schedule.cohorts import first_cohorts
from promomsg.engine.schedule.first_options import FirstOptions
from promomsg.engine.schedule.plan_times import PlanTimes, late_notices, plan_times
from promomsg.engine.schedule.schedule import Schedule
from promomsg.journal.contract import Handle
from promomsg.states import GroupState
from promomsg.transport.pace import Pace
from promomsg.url_origins import origin

__all__ = ["Plan", "PlannedFirst", "Sample", "describe_plan", "pace_in_words"]

_SAMPLES: Final = 3
"""Rendered messages that a plan shows."""


class Sample(msgspec.Struct, frozen=True):
    """One message as its recipient will see it."""

    key: str
    fields: dict[str, str]


class PlannedFirst(msgspec.Struct, frozen=True):
    """Whom a campaign is sent to before the others.

    Attributes:
        planned: how many they are.
        stop_above: the share of failed and unknown ones over which the others are not sent to.
        wait: seconds for which they are looked at.
        ask: whether a person then says that it goes on.
    """

    planned: int
    stop_above: float
    wait: float
    ask: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign is about to do.

    Attributes:
        name, channel, account: whose campaign it is; host: where the calls go.
        rows: rows read; an unexpanded audience counts as its members.
        singles: single calls to make.
        groups: members of each group call.
        audience: the audience of one group call, when it is not a list of recipients.
        not_sent: rows that will not be sent, by code.
        samples: up to three rendered messages; longest: the longest one.
        seconds: estimated time of the calls at the pace; None when it is not limited.
        days: China-time days over which the single calls go at the least, by the pace's
            `singles_per_day`, when nothing else of the account takes of it.
        pace: the pace in words.
        first: whom it is sent to before the others; None: it is sent to all at once.
        notices: what each route gives up, encodings, quotas: worth knowing before saying yes.
        times: when it is sent; None: at once, at any time.
    """

    name: str
    channel: str
    account: str
    host: str
    rows: int
    singles: int
    groups: tuple[int, ...]
    audience: str | None
    not_sent: dict[str, int]
    samples: tuple[Sample, ...]
    longest: Sample | None
    seconds: float | None
    pace: str
    notices: tuple[str, ...]
    times: PlanTimes | None = None
    days: int = 1
    first: PlannedFirst | None = None

    @property
    def to_send(self) -> int:
        """Recipients that would be sent to."""
        return self.singles + sum(self.groups)


async def describe_plan(
    handle: Handle,
    channel: Channel,
    compiled: CompiledMessage,
    *,
    name: str,
    notices: Sequence[str],
    longest: Sample | None = None,
    schedule: Schedule | None = None,
    now: float = 0.0,
    first: FirstOptions | None = None,
) -> Plan:
    """What the journal has planned and not sent, as a `Plan`.

    Args:
        name: the campaign's name.
        notices: what else is worth knowing; what each route gives up is added.
        longest: the longest rendered message, when the list has just been read.
        schedule: when it may be sent; None: at any time.
        now: Unix seconds.
        first: the options of the first few; None: there are none.
    """
    counts = await handle.counts()
    singles, _ = await handle.plan_counts()
    groups = [g for g in await handle.groups() if g.state is GroupState.PLANNED]
    audience = next((g.audience for g in groups if g.audience is not None), None)
    if audience is not None:
        samples = [Sample("", compiled.preview(()))]
    else:
        samples = [
            Sample(key, compiled.preview(values))
            for key, _, values in await handle.sample(_SAMPLES)
        ]
    pacer = channel.pacer
    seconds = _estimated_seconds(singles, pacer.singles.rate, len(groups), pacer.groups.rate)
    work = None if seconds is None else await _by_cohort(handle, seconds, schedule)
    to_send = singles + sum(g.planned for g in groups)
    limit = pacer.day_limit
    days = 1 if limit is None else max(-(-singles // limit), 1)
    per_day = None
    if limit is not None and days > 1 and seconds is not None:
        per_day = seconds * limit / singles
    notices = [*notices, *late_notices(schedule, now, work, to_send, per_day)]
    return Plan(
        name=name,
        channel=channel.name,
        account=channel.account,
        host=origin(channel.base_url),
        rows=counts.planned,
        singles=singles,
        groups=tuple(g.planned for g in groups),
        audience=None if audience is None else msgspec.json.encode(audience).decode(),
        not_sent=dict(counts.by_code),
        samples=tuple(samples),
        longest=longest,
        seconds=seconds,
        pace=pace_in_words(pacer.pace, singles),
        notices=(*notices, *_drawbacks(channel, singles, len(groups))),
        times=plan_times(schedule, now, work, per_day),
        days=days,
        first=None if first is None else await _planned_first(handle, first),
    )


async def _by_cohort(handle: Handle, seconds: float, schedule: Schedule | None) -> list[float]:
    """The time of the calls by cohort, where not all recipients are of one."""
    if schedule is None or len(schedule.zones) == 1:
        return [seconds]
    counts = await handle.cohort_counts()
    pending = [counts[no].pending if no in counts else 0 for no in range(len(schedule.zones))]
    everybody = sum(pending)
    return [seconds * number / everybody for number in pending] if everybody else [0.0]


async def _planned_first(handle: Handle, first: FirstOptions) -> PlannedFirst:
    counts = await handle.cohort_counts(first_cohorts(handle.record))
    planned = sum(one.planned for one in counts.values())
    return PlannedFirst(planned, first.stop_above, first.wait, first.ask)


def _estimated_seconds(
    singles: int, single_rate: float | None, groups: int, group_rate: float | None
) -> float | None:
    """Single and group calls go out side by side: the longer of the two counts."""
    times = [
        calls / rate
        for calls, rate in ((singles, single_rate), (groups, group_rate))
        if calls and rate is not None
    ]
    if not times and (singles or groups):
        return None
    return max(times, default=0.0)


def pace_in_words(pace: Pace, singles: int) -> str:
    """`50 singles a second`; what holds group calls alone is not in it.

    Args:
        singles: single calls to make.
    """
    if not singles:
        return "group calls only"
    quotas = (
        (pace.singles_per_second, "second"),
        (pace.singles_per_minute, "minute"),
        (pace.singles_per_day, "China-time day"),
    )
    limits = [f"{number:g} singles a {span}" for number, span in quotas if number is not None]
    return ", ".join(limits) or "unlimited"


def _drawbacks(channel: Channel, singles: int, groups: int) -> list[str]:
    """What each route cannot give, where there are two (docs/design.md, "Group or single")."""
    notices = []
    if singles and channel.groups:
        notices.append("single sends: no clicks per message, only per message type")
    if groups:
        notices.append("group sends: no immediate result; it is polled for some minutes")
    return notices
