"""Whatever clocks do, and however often it is left and resumed: no call is made outside of a campaign's
times, and everybody has one outcome."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from clocks import FakeClock
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from journal_model import ModelJournal
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, Pace, PollPolicy, Report, UsageError, WeChatMessage

MESSAGE = WeChatMessage(1, {"title": "三件五折"}, "pages/index/index")
PERSONAL = WeChatMessage(1, {"title": "{key}"}, "pages/index/index")
BERLIN = ZoneInfo("Europe/Berlin")
MINUTES = 60
"""Of a trial, by the clock that is not set."""

_minutes = st.integers(0, MINUTES - 1)
_jumps = st.lists(st.tuples(_minutes, st.sampled_from([-180, -60, -25, 25, 60, 180])), max_size=2)


def clock_text(minute: int) -> str:
    return f"{minute // 60 % 24:02d}:{minute % 60:02d}"


@settings(max_examples=4, deadline=None)
@given(
    begin=st.sampled_from([datetime(2026, 3, 29, 0, 30), datetime(2026, 10, 25, 0, 30)]),
    spans=st.lists(st.tuples(st.integers(60, 240), st.integers(5, 40)), min_size=1, max_size=2),
    start_at=st.none() | st.integers(-20, 40),
    finish_by=st.none() | st.integers(40, 120),
    jumps=_jumps,
    left_at=st.none() | _minutes,
    grouped=st.booleans(),
)
def test_no_call_is_made_outside_of_a_campaigns_times(
    begin: datetime,
    spans: list[tuple[int, int]],
    start_at: int | None,
    finish_by: int | None,
    jumps: list[tuple[int, int]],
    left_at: int | None,
    grouped: bool,
) -> None:
    begin = begin.replace(tzinfo=UTC)
    limits = {
        "start_at": None if start_at is None else begin + timedelta(minutes=start_at),
        "finish_by": None if finish_by is None else begin + timedelta(minutes=finish_by),
    }
    # From half past four on they are open in any case, for clocks that are set forward.
    between = [f"{clock_text(at)}-{clock_text(at + length)}" for at, length in spans]
    options = {"between": [*between, "04:30-23:59"], "zone": "Europe/Berlin", **limits}
    try:
        report, called = asyncio.run(_trial(begin, options, dict(jumps), left_at, grouped))
    except UsageError:
        reject()  # no such hours before finish_by
    parts = report.sent + report.failed + report.unknown + report.cancelled + report.pending
    assert report.planned == parts
    assert (report.failed, report.unknown) == (0, 0)
    open_at = [(at, at + length) for at, length in spans] + [(270, 1439)]
    for at in called:
        local = at.astimezone(BERLIN)
        minute = local.hour * 60 + local.minute
        assert any(first <= minute < last for first, last in open_at), (local, between)
        assert limits["start_at"] is None or at >= limits["start_at"]
        assert limits["finish_by"] is None or at < limits["finish_by"]


async def _trial(
    begin: datetime,
    options: dict[str, Any],
    jumps: dict[int, int],
    left_at: int | None,
    grouped: bool,
) -> tuple[Report, list[datetime]]:
    """One campaign for so many minutes; its report, and when its calls were made."""
    clock, journal = FakeClock(start=begin.timestamp()), ModelJournal()
    called: list[datetime] = []

    def channel() -> ScriptedWeChat:
        found = ScriptedWeChat(clock, Pace(singles_per_minute=1, groups_per_minute=1))

        async def note() -> None:
            called.append(datetime.fromtimestamp(clock.time(), UTC))

        found.before_single = found.before_group = note
        return found

    people = [str(500_001 + n) for n in range(500 if grouped else 12)]
    common: dict[str, Any] = {"clock": clock, "max_group_size": 100, "poll": PollPolicy()}
    campaign = Campaign(
        channel(), MESSAGE if grouped else PERSONAL, people, journal=journal, **common, **options
    )
    minute = 0
    while True:
        async with campaign as run:
            while minute < MINUTES and minute != left_at and run.progress.pending:
                await clock.advance(60.0)
                if minute in jumps:
                    clock.jump(60.0 * jumps[minute])
                minute += 1
            done = minute >= MINUTES or not run.progress.pending
        if done:
            return run.report, called
        left_at = None
        campaign = Campaign.resume(journal, channel(), **common)
