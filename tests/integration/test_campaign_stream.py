"""The stream of outcomes, leaving early, and one client that many tasks share."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from campaigning import MESSAGE, QUICK, add_up, honest, ids, run_to_end, wechat
from waiting import until

import promomsg
from promomsg import Campaign, Pace, Recipient, UsageError, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


def slowly(seconds: float = 0.01) -> FaultPlan:
    """Every single call takes this long."""
    return FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=seconds)])


async def test_every_row_comes_once_and_only_when_it_is_final(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_single = {"500004": 43101}
    rows = [*ids(40), "500001", {"key": "nobody"}]
    async with Campaign(channel, MESSAGE, rows, journal=journal, **QUICK) as run:
        outcomes = [outcome async for outcome in run]
    assert len(outcomes) == 42
    states = [o.state for o in outcomes]
    assert (states.count("sent"), states.count("failed"), states.count("skipped")) == (39, 2, 1)
    assert {o.recipient.key for o in outcomes} == {*ids(40), "nobody"}


async def test_outcomes_come_while_others_are_still_being_sent(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly()
    async with Campaign(channel, MESSAGE, ids(40), journal=journal, concurrency=2, **QUICK) as run:
        async for outcome in run:
            assert outcome.state == "sent"
            break
        assert box.calls["singlesendmsg"] < 40
        report = await run.wait()
    assert report.sent == 40


async def test_a_slow_reader_does_not_slow_the_sending(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(
        channel, MESSAGE, ids(600), journal=journal, route="single", **QUICK
    ) as run:
        seen = 0
        async for _ in run:
            seen += 1
            if seen == 1:
                await until(lambda: box.calls["singlesendmsg"] == 600)
    assert seen == 600
    assert run.report.sent == 600


async def test_two_readers_each_see_everybody(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, ids(30), journal=journal, **QUICK) as run:

        async def read() -> int:
            return len([outcome async for outcome in run])

        assert await asyncio.gather(read(), read()) == [30, 30]


async def test_nobody_has_to_read(box: Sandbox, channel: WeChatPromoter, journal: Journal) -> None:
    async with Campaign(channel, MESSAGE, ids(30), journal=journal, **QUICK) as run:
        report = await run.wait()
    assert report.sent == run.report.sent == 30


async def test_leaving_early_finishes_calls_in_flight_and_leaves_the_rest_pending(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly(0.02)
    async with Campaign(channel, MESSAGE, ids(49), journal=journal, concurrency=4, **QUICK) as run:
        async for _ in run:
            break
    report = run.report
    assert report.state == "stopped"
    assert report.unknown == 0
    assert 0 < report.sent < 49
    assert report.pending == 49 - report.sent
    assert box.calls["singlesendmsg"] == report.sent
    honest(report, box)
    box.faults = FaultPlan()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 49
    assert box.ledger.twice() == []


async def test_an_exception_in_the_block_comes_out_as_it_is(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly(0.02)
    run = Campaign(channel, MESSAGE, ids(49), journal=journal, concurrency=4, **QUICK)

    async def fail() -> None:
        async with run:
            async for _ in run:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert run.report.unknown == 0
    honest(run.report, box)


async def test_a_block_left_at_once_has_sent_nobody_twice(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, ids(49), journal=journal, **QUICK) as run:
        pass
    assert run.report.planned == 49
    honest(run.report, box)


async def test_a_campaign_runs_once(channel: WeChatPromoter) -> None:
    campaign = Campaign(channel, MESSAGE, ids(2), **QUICK)
    with pytest.raises(UsageError, match="async with"):
        _ = campaign.progress
    with pytest.raises(UsageError, match="async with"):
        await campaign.wait()
    async with campaign as run:
        await run.wait()
    with pytest.raises(UsageError, match="already"):
        async with campaign:
            pass


async def test_one_client_carries_many_campaigns_and_calls_at_once(box: Sandbox) -> None:
    async with wechat(box) as channel:

        async def campaign(number: int) -> None:
            report = await promomsg.send(
                channel, MESSAGE, ids(30, 1000 * number), durability="process", **QUICK
            )
            assert report.sent == 30

        async with anyio.create_task_group() as tasks:
            for number in range(1, 9):
                tasks.start_soon(campaign, number)
            for number in range(20):
                tasks.start_soon(channel.send_one, MESSAGE, Recipient(id=f"7{number:05}"))
    assert box.calls["stable_token"] == 1
    assert box.ledger.twice() == []
    assert box.ledger.total == 8 * 30 + 20


async def test_a_cancelled_request_harms_no_other(box: Sandbox) -> None:
    box.faults = slowly(0.01)
    async with wechat(box) as channel:
        tasks = [
            asyncio.create_task(
                promomsg.send(
                    channel,
                    MESSAGE,
                    ids(25, 1000 * number),
                    concurrency=4,
                    durability="process",
                    **QUICK,
                )
            )
            for number in range(1, 5)
        ]
        await until(lambda: box.calls["singlesendmsg"] >= 12)
        tasks[0].cancel()
        tasks[2].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert isinstance(done[2], asyncio.CancelledError)
    assert [r.sent for r in (done[1], done[3])] == [25, 25]  # type: ignore[union-attr]
    assert box.ledger.twice() == []


async def test_a_cancelled_token_fetch_leaves_the_others_theirs(box: Sandbox) -> None:
    box.faults = FaultPlan([Fault(endpoint="stable_token", kind="slow", seconds=0.05)])
    async with wechat(box) as channel:
        first = asyncio.create_task(channel.get_roles())
        second = asyncio.create_task(channel.get_roles())
        await until(lambda: box.calls["stable_token"] == 1)
        first.cancel()
        assert len(await second) == 3
        with pytest.raises(asyncio.CancelledError):
            await first
    assert box.calls["stable_token"] == 1


async def test_another_account_shares_the_connections_not_the_token(box: Sandbox) -> None:
    box.settings.accounts = {"wx0001": "s3cret", "wx0002": "other"}
    async with wechat(box) as channel:
        other = channel.with_account("wx0002", "other", pace=Pace(unlimited=True))
        reports = await asyncio.gather(
            promomsg.send(channel, MESSAGE, ids(10), **QUICK),
            promomsg.send(other, MESSAGE, ids(10, 900), **QUICK),
        )
        assert [r.sent for r in reports] == [10, 10]
        assert box.calls["stable_token"] == 2
        await other.close()  # is not the owner: the pool stays open
        assert len(await channel.get_roles()) == 3
    bodies = b"".join(box.calls.bodies("stable_token"))
    assert b"wx0001" in bodies
    assert b"wx0002" in bodies


async def test_fifty_a_second_is_fifty_a_second_at_the_server(box: Sandbox) -> None:
    async with wechat(box, pace=Pace(singles_per_second=50)) as channel:
        report = await promomsg.send(
            channel, MESSAGE, ids(100), route="single", durability="process", **QUICK
        )
    times = box.calls.times("singlesendmsg")
    assert report.sent == 100
    assert box.calls.most_within("singlesendmsg", 1.0) <= 50
    assert times[-1] - times[0] <= 100 / 50 / 0.95
    add_up(report.to_dict())
