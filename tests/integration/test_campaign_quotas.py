"""Daily quotas, throttles and tokens that end: they cost a campaign time, and no recipient."""

from __future__ import annotations

import asyncio

import pytest
from campaigning import MESSAGE, QUICK, honest, ids, run_to_end, single, wechat
from clocks import FakeClock
from waiting import real_time, until

import promomsg
from promomsg import Campaign, Pace, WeChatPromoter, open_journal
from promomsg.clock import next_china_midnight
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


MIDNIGHT = next_china_midnight(1_760_000_000.0)


async def test_the_providers_daily_quota_stops_a_campaign_that_can_be_resumed(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.daily_quota = {"singlesendmsg": 30}
    report = await promomsg.send(channel, MESSAGE, ids(49), journal=journal, **QUICK)
    assert (report.state, report.sent, report.pending) == ("halted", 30, 19)
    assert "45009" in report.reason
    box.clock.advance(86_400)
    box.expire_tokens()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 49
    assert box.ledger.twice() == []


@pytest.mark.parametrize("count", [40, 50])
async def test_a_daily_quota_is_waited_out_when_told_so(
    box: Sandbox, journal: Journal, count: int
) -> None:
    endpoint = "singlesendmsg" if count < 50 else "sendmsg"
    box.faults = FaultPlan([Fault(endpoint=endpoint, kind="daily", calls=[1])])
    clock = FakeClock(start=MIDNIGHT - 3600)
    async with (
        wechat(box, clock=clock) as channel,
        Campaign(
            channel,
            MESSAGE,
            ids(count),
            journal=journal,
            clock=clock,
            on_daily_quota="wait",
            **QUICK,
        ) as run,
    ):
        await until(lambda: box.calls[endpoint] >= 1)
        states = set()

        def look() -> None:
            states.add(run.progress["state"])
            assert clock.time() >= MIDNIGHT or box.calls[endpoint] <= count

        await clock.advance_until(lambda: clock.time() >= MIDNIGHT + 40, 300, each=look)
        await clock.advance_until(lambda: not run.report.pending, 1)
        await run.wait()
    assert "waiting" in states
    assert run.report.sent == count
    assert clock.time() >= MIDNIGHT
    assert box.ledger.twice() == []


async def test_singles_per_day_is_the_users_own_daily_quota(box: Sandbox, journal: Journal) -> None:
    clock = FakeClock(start=MIDNIGHT - 7200)
    pace = Pace(singles_per_day=12, singles_per_second=1_000_000)
    async with wechat(box, pace=pace, clock=clock) as channel:
        async with Campaign(
            channel, MESSAGE, ids(20), journal=journal, clock=clock, **QUICK
        ) as run:
            await clock.advance_until(lambda: run.report.reason, 0.05)
            report = await run.wait()
        assert (report.state, report.sent, report.pending) == ("halted", 12, 8)
        assert report.reason.startswith("SINGLES_PER_DAY")
    # The journal keeps the count: a new process on the same day may send nobody.
    again = FakeClock(start=MIDNIGHT - 3600)
    async with wechat(box, pace=pace, clock=again) as channel:
        async with Campaign.resume(journal, channel, clock=again, **QUICK) as run:
            await again.advance_until(lambda: run.report.reason, 0.05)
            report = await run.wait()
        assert (report.state, box.calls["singlesendmsg"]) == ("halted", 12)
    tomorrow = FakeClock(start=MIDNIGHT + 60)
    async with (
        wechat(box, pace=pace, clock=tomorrow) as channel,
        Campaign.resume(journal, channel, clock=tomorrow, **QUICK) as run,
    ):
        await tomorrow.advance_until(lambda: not run.report.pending, 0.05)
        report = await run.wait()
    assert (report.sent, box.calls["singlesendmsg"]) == (20, 20)


async def test_singles_per_day_can_be_waited_out_too(box: Sandbox, journal: Journal) -> None:
    clock = FakeClock(start=MIDNIGHT - 100)
    pace = Pace(singles_per_day=12, singles_per_second=1_000_000)
    async with (
        wechat(box, pace=pace, clock=clock) as channel,
        Campaign(
            channel, MESSAGE, ids(20), journal=journal, clock=clock, on_daily_quota="wait", **QUICK
        ) as run,
    ):

        def look() -> None:
            assert clock.time() >= MIDNIGHT or box.calls["singlesendmsg"] <= 12

        await clock.advance_until(lambda: not run.report.pending, 1, each=look)
        await run.wait()
    assert run.report.sent == 20


async def test_who_only_looks_is_told_until_when_a_used_up_day_is_waited_out(
    box: Sandbox, journal: Journal
) -> None:
    pace = Pace(singles_per_day=12, singles_per_second=1_000_000)
    async with (
        wechat(box, pace=pace) as channel,
        Campaign(channel, MESSAGE, ids(20), journal=journal, on_daily_quota="wait", **QUICK) as run,
    ):
        await until(lambda: run.progress.waits_until is not None)

        def looked_at() -> tuple[str, str, float | None]:
            with open_journal(journal) as opened:
                seen = opened.report().progress()
            return seen.state, seen.reason, seen.waits_until

        own = run.progress
        await until(lambda: looked_at() == (own.state, own.reason, own.waits_until))
        assert own.state == "waiting"
        assert "daily quota is used up" in own.reason
    with open_journal(journal) as opened:  # nobody waits any more
        report = opened.report()
    assert (report.state, report.waits_until) == ("stopped", None)


async def test_throttled_holds_everyone_and_nobody_is_left_intended(
    box: Sandbox, journal: Journal
) -> None:
    box.faults = single(kind="throttle", calls=[10])
    clock = FakeClock()
    async with (
        wechat(box, clock=clock) as channel,
        Campaign(
            channel, MESSAGE, ids(49), journal=journal, clock=clock, concurrency=4, **QUICK
        ) as run,
    ):
        await until(lambda: box.calls["singlesendmsg"] >= 10)
        for _ in range(10):  # what was out comes back; then nothing moves while the hold lasts
            await real_time(0.003)
            await clock.advance(0.5)
        held = box.calls["singlesendmsg"]
        assert held <= 14
        for _ in range(10):
            await real_time(0.002)
            await clock.advance(4)
        assert box.calls["singlesendmsg"] == held
        assert run.in_flight == 0
        if journal.path is not None:
            lasting = [o.state for o in run.report.outcomes()]
            assert lasting.count("pending") == 49 - lasting.count("sent")
        await clock.advance_until(lambda: not run.report.pending, 1)
        await run.wait()
    report = run.report
    assert (report.sent, box.ledger.twice()) == (49, [])
    assert sorted({o.attempts for o in report.outcomes()}) == [1, 2]
    honest(report, box)


async def test_a_throttled_group_waits_and_is_sent_once(box: Sandbox, journal: Journal) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="throttle", calls=[1])])
    clock = FakeClock()
    async with (
        wechat(box, clock=clock) as channel,
        Campaign(channel, MESSAGE, ids(50), journal=journal, clock=clock, **QUICK) as run,
    ):
        await until(lambda: box.calls["sendmsg"] == 1)
        for _ in range(10):
            await real_time(0.002)
            await clock.advance(5)
        assert box.calls["sendmsg"] == 1
        await clock.advance_until(lambda: not run.report.pending, 1)
        await run.wait()
    assert (run.report.sent, box.calls["sendmsg"]) == (50, 2)
    assert box.ledger.twice() == []


async def test_a_token_that_ends_mid_run_costs_one_token_call_and_no_recipient(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await run_to_end(
        Campaign(
            channel, MESSAGE, ids(400), journal=journal, route="single", concurrency=16, **QUICK
        ),
        when=lambda: box.calls["singlesendmsg"] >= 60,
        act=lambda _: box.expire_tokens(),
    )
    assert report.sent == 400
    assert box.calls["stable_token"] == 2
    assert box.calls["singlesendmsg"] <= 400 + 16
    assert box.ledger.twice() == []
    honest(report, box)


async def test_tokens_that_end_again_and_again_cost_no_recipient(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(
        channel, MESSAGE, ids(300), journal=journal, route="single", concurrency=8, **QUICK
    ) as run:
        for mark in (40, 90, 140, 190):
            await until(lambda mark=mark: box.calls["singlesendmsg"] >= mark)  # type: ignore[misc]
            box.expire_tokens()
        report = await run.wait()
    assert report.sent == 300
    assert box.calls["stable_token"] <= 5
    assert box.ledger.twice() == []


async def test_a_token_that_is_refused_though_new_halts_instead_of_looping(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = single(kind="token_invalid")
    report = await promomsg.send(channel, MESSAGE, ids(20), journal=journal, **QUICK)
    assert (report.state, report.pending) == ("halted", 20)
    assert "TOKEN_REFUSED" in report.reason
    assert box.calls["stable_token"] == 2
    honest(report, box)


async def test_a_token_callable_of_ones_own_is_asked_once_a_token(
    box: Sandbox, journal: Journal
) -> None:
    issued: list[str | None] = []

    async def token(stale: str | None) -> str:
        issued.append(stale)
        await asyncio.sleep(0)
        return str(box.wechat.tokens.plain_token("wx0001")["access_token"])

    async with (
        wechat(box, secret=None, token=token) as channel,
        Campaign(channel, MESSAGE, ids(300), journal=journal, route="single", **QUICK) as run,
    ):
        await until(lambda: box.calls["singlesendmsg"] >= 50)
        box.expire_tokens()
        report = await run.wait()
    assert report.sent == 300
    assert len(issued) == 2
    assert issued[0] is None
    assert issued[1] is not None
    assert box.calls["stable_token"] == 0
