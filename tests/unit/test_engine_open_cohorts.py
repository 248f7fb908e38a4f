"""Recipients of several time zones in one campaign: each is sent to within their own hours, singly and in
groups, and a campaign of which nobody is open waits and does not ask again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clocks import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import ModelJournal
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, Everyone, Pace, PollPolicy, Report, UsageError, WeChatMessage
from promomsg.engine.joining import Part, do_part
from promomsg.hours import parse_hours
from promomsg.journal.records import Lease
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.model import Answer, Audience, Promoters, SingleSend, Verdict

MESSAGE = WeChatMessage(1, {"title": "三件五折"}, "pages/index/index")
PERSONAL = WeChatMessage(1, {"title": "{key}"}, "pages/index/index")
POLL = PollPolicy(first_after=30, every=60)
ZONES = ("Asia/Dhaka", "Asia/Kathmandu", "Asia/Kolkata")
"""Six hours from UTC, 15 and 30 minutes less."""
HOURS = "09:00-09:30"
BOTH = Part(singles=True, groups=True)
BEGIN = datetime(2026, 11, 27, 2, 50, tzinfo=UTC).timestamp()
"""Ten minutes before the first of them opens."""


class CalledAt(ScriptedWeChat):
    """Remembers the wall clock at which each person was called."""

    def __init__(self, clock: FakeClock, pace: Pace | None = None) -> None:
        super().__init__(clock, pace)
        self.called: list[tuple[str, float]] = []

    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: Any = None
    ) -> Answer:
        before = len(self.single_times)
        answer = await super().deliver(compiled, single_send, last_check)
        if len(self.single_times) > before:
            self.called.append((single_send.key, self.clock.time()))
        return answer

    deliver.asks_last_check = True  # type: ignore[attr-defined]

    async def deliver_group(
        self, compiled: Any, values: Any, audience: Audience, last_check: Any = None
    ) -> Answer:
        assert isinstance(audience, Promoters)
        before = len(self.group_times)
        answer = await super().deliver_group(compiled, values, audience, last_check)
        if len(self.group_times) > before:
            self.called += [(id, self.clock.time()) for id in audience.ids]
        return answer

    deliver_group.asks_last_check = True  # type: ignore[attr-defined]


class Counting(ModelJournal):
    """Counts how often a lease is asked for."""

    takes = 0

    async def create(self, record: Any) -> Any:
        handle = await super().create(record)
        take = handle.take

        async def counted(**words: Any) -> Lease | None:
            self.takes += 1
            return await take(**words)

        handle.take = counted  # type: ignore[method-assign]
        return handle


def people(zones: Iterable[str | None]) -> list[dict[str, Any]]:
    return [
        {"id": str(500_001 + n), "key": str(500_001 + n), "zone": zone}
        for n, zone in enumerate(zones)
    ]


def outside(channel: CalledAt, rows: list[dict[str, Any]], between: Any) -> list[str]:
    """Whoever was called outside of the hours of their zone."""
    hours = parse_hours(between)
    zone_of = {row["key"]: ZoneInfo(row["zone"] or "Asia/Shanghai") for row in rows}
    return [key for key, at in channel.called if not hours.are_open(at, zone_of[key])]


async def planned(journal: ModelJournal, channel: CalledAt, rows: list[dict[str, Any]]) -> Any:
    """A plan that others may send parts of."""
    campaign = Campaign(
        channel,
        PERSONAL,
        rows,
        journal=journal,
        clock=channel.clock,
        zone_column="zone",
        between=HOURS,
    )
    journal.address = "fleet:zones"  # type: ignore[misc]
    await campaign.hand_over()
    return await journal.open(write=True)


async def send_all(
    channel: CalledAt, rows: list[dict[str, Any]], message: WeChatMessage, **options: Any
) -> Report:
    options = {"journal": ModelJournal(), "zone_column": "zone", "poll": POLL, **options}
    async with Campaign(channel, message, rows, clock=channel.clock, **options) as run:
        return await run.wait()


@pytest.mark.asyncio
async def test_everybody_is_sent_to_within_the_hours_of_their_own_zone() -> None:
    clock = FakeClock(start=BEGIN, auto=True)
    rows = people(ZONES[n % 3] for n in range(90))
    channel = CalledAt(clock)
    report = await send_all(channel, rows, PERSONAL, between=HOURS)
    assert (report.state, report.sent, report.pending) == ("done", 90, 0)
    assert outside(channel, rows, HOURS) == []
    assert sorted(key for key, _ in channel.called) == sorted(row["key"] for row in rows)
    assert 40 * 60 <= clock.time() - BEGIN < 42 * 60


@pytest.mark.asyncio
async def test_a_clock_that_is_set_into_the_hours_of_another_zone_is_noticed_at_once() -> None:
    """While a zone is open in which nobody is left, and no timer is near."""
    clock = FakeClock(start=BEGIN + 15 * 60)
    rows = people([ZONES[0]] * 3 + [ZONES[2]] * 3)
    channel = CalledAt(clock)
    options: dict[str, Any] = {"zone_column": "zone", "between": HOURS, "clock": clock}
    async with Campaign(channel, PERSONAL, rows, journal=ModelJournal(), **options) as run:
        await clock.advance(5.0)
        assert run.progress.sent == 3
        clock.jump(26 * 60)
        await clock.advance(1.0)
        assert run.progress.sent == 6
        assert outside(channel, rows, HOURS) == []


@pytest.mark.asyncio
async def test_groups_are_sent_within_the_hours_of_their_zone_too() -> None:
    clock = FakeClock(start=BEGIN, auto=True)
    rows = people([*([ZONES[0]] * 60), *([ZONES[1]] * 70), *([ZONES[2]] * 20)])
    channel = CalledAt(clock)
    report = await send_all(channel, rows, MESSAGE, between=HOURS)
    assert (report.state, report.sent) == ("done", 150)
    assert (len(channel.group_times), len(channel.single_times)) == (2, 20)
    assert outside(channel, rows, HOURS) == []


@pytest.mark.asyncio
async def test_who_is_at_hand_when_their_hours_end_is_sent_to_when_they_begin_again() -> None:
    """The pace leaves some of them over; others whose hours go on have the time."""
    hours = [HOURS, "10:00-10:30"]
    begin = BEGIN + 37 * 60
    clock = FakeClock(start=begin, auto=True)
    rows = people([ZONES[0], ZONES[1]] * 20)
    channel = CalledAt(clock, Pace(singles_per_minute=2))
    report = await send_all(channel, rows, PERSONAL, between=hours)
    assert (report.state, report.sent) == ("done", 40)
    assert outside(channel, rows, hours) == []
    early = {key for key, at in channel.called if at < begin + 20 * 60}
    assert early >= {row["key"] for row in rows if row["zone"] == ZONES[1]}
    assert 20 < len(early) < 40


@pytest.mark.asyncio
async def test_a_retry_waits_for_the_hours_of_its_zone() -> None:
    clock = FakeClock(start=BEGIN + 40 * 60 - 2.2, auto=True)
    channel = CalledAt(clock)
    channel.single_answers.extend(Answer(Verdict.RETRY, "-1", "busy") for _ in range(2))
    rows = people([ZONES[0], ZONES[1]] * 3)
    hours = [HOURS, "10:00-10:30"]
    report = await send_all(channel, rows, PERSONAL, between=hours)
    assert (report.state, report.sent) == ("done", 6)
    assert outside(channel, rows, hours) == []
    assert clock.time() >= BEGIN + 70 * 60


@pytest.mark.asyncio
async def test_who_waits_for_closed_zones_says_until_when_and_does_not_ask_the_journal() -> None:
    clock = FakeClock(start=BEGIN, auto=True)
    journal = Counting()
    rows = people([ZONES[0]] * 3 + [ZONES[2]] * 3)
    channel = CalledAt(clock)
    options: dict[str, Any] = {"zone_column": "zone", "between": HOURS, "clock": clock}
    seen: list[Any] = []
    async with Campaign(channel, PERSONAL, rows, journal=journal, **options) as run:
        async for outcome in run:
            seen.append(outcome)
            if len(seen) == 3:
                await clock.sleep(5)
                shown = run.progress
    assert len(seen) == 6
    assert shown.state == "waiting"
    assert "those who are left are outside their hours; it goes on at" in shown.reason
    assert shown.pending == 3
    assert journal.takes < 30


@pytest.mark.asyncio
async def test_a_part_that_finds_only_closed_zones_ends_and_says_until_when() -> None:
    clock = FakeClock(start=BEGIN + 11 * 60, auto=True)
    journal = ModelJournal()
    rows = people([ZONES[0]] * 3 + [ZONES[2]] * 3)
    channel = CalledAt(clock)
    handle = await planned(journal, channel, rows)
    await handle.close()
    done = await do_part(journal, channel, BOTH, clock=clock)
    opens = BEGIN + 40 * 60
    assert (done.calls, done.state, done.parked_until) == (3, "waiting", opens)
    again = await do_part(journal, channel, BOTH, clock=clock)
    assert (again.calls, again.parked_until) == (0, opens)
    clock.jump(opens + 1 - clock.time())
    last = await do_part(journal, channel, BOTH, clock=clock)
    assert (last.calls, last.state, last.work_left) == (3, "done", False)
    assert outside(channel, rows, HOURS) == []


@pytest.mark.asyncio
async def test_a_part_has_nobody_wait_while_others_send_to_those_who_are_open() -> None:
    clock = FakeClock(start=BEGIN + 11 * 60, auto=True)
    journal = ModelJournal()
    channel = CalledAt(clock)
    handle = await planned(journal, channel, people([ZONES[0]] * 3 + [ZONES[2]] * 3))
    lease = await handle.take(groups=False, singles=True, idempotent=False, cohorts=[1])
    assert lease is not None
    await handle.close()
    done = await do_part(journal, channel, BOTH, clock=clock)
    assert (done.calls, done.parked_until, done.work_left) == (0, None, True)


SPANS = st.tuples(st.integers(0, 40), st.integers(3, 19)).map(
    lambda span: [f"{h:02}:{span[0]:02}-{h:02}:{sum(span):02}" for h in range(24)]
)


@settings(max_examples=10, deadline=None)
@given(
    between=SPANS,
    zones=st.lists(st.sampled_from([*ZONES, None]), min_size=1, max_size=120),
    begin=st.integers(0, 3_600),
    per_minute=st.sampled_from([None, 5, 40]),
    word=st.sampled_from([MESSAGE, PERSONAL]),
    kind=st.sampled_from([ModelJournal, MemoryJournal]),
)
def test_whatever_opens_and_closes_everybody_is_sent_to_once_within_their_hours(
    between: list[str],
    zones: list[str | None],
    begin: int,
    per_minute: int | None,
    word: WeChatMessage,
    kind: Any,
) -> None:
    async def story() -> None:
        clock = FakeClock(start=BEGIN + begin, auto=True)
        rows = people(zones)
        pace = Pace(unlimited=True) if per_minute is None else Pace(singles_per_minute=per_minute)
        channel = CalledAt(clock, pace)
        report = await send_all(channel, rows, word, between=between, journal=kind())
        assert (report.state, report.sent, report.pending) == ("done", len(rows), 0)
        assert sorted(key for key, _ in channel.called) == sorted(row["key"] for row in rows)
        assert outside(channel, rows, between) == []

    asyncio.run(story())


@pytest.mark.asyncio
async def test_a_column_of_zones_by_which_nobody_would_be_sent_to_is_refused() -> None:
    """Who gives one believes that nobody gets a message at night."""
    clock = FakeClock(start=BEGIN, auto=True)
    channel, journal = CalledAt(clock), ModelJournal()
    everyone = Everyone(confirm=True)
    options: dict[str, Any] = {"zone_column": "zone", "between": HOURS, "clock": clock}
    with pytest.raises(UsageError, match="zone_column: an audience has no columns"):
        await Campaign(channel, MESSAGE, everyone, journal=ModelJournal(), **options).plan()

    planned_without = {"journal": journal, "clock": clock, "start_at": "2035-01-01 09:00"}
    await Campaign(channel, PERSONAL, people([ZONES[0]] * 3), **planned_without).hand_over()
    again = Campaign.resume(journal, channel, start_at="now", **options)
    with pytest.raises(UsageError, match=r"zone_column='zone': .* when a campaign is planned"):
        await again.plan()
    await again.discard()
    assert channel.called == []
    # The one that it was planned with may be said again.
    handle = await planned(zoned := ModelJournal(), channel, people([ZONES[0]] * 3))
    await handle.close()
    async with Campaign.resume(zoned, channel, clock=clock, zone_column="zone") as run:
        assert (await run.wait()).sent == 3
