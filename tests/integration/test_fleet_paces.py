"""Campaigns of one account that were planned at different paces, sent by one worker."""

from __future__ import annotations

import asyncio

import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from fleet_working import new_fleet, quick_looks, sent, sent_at_least, working

import promomsg
from promomsg import Campaign, Pace
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio


async def test_a_campaign_does_not_go_at_the_pace_of_one_that_has_ended(
    postgres: str, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_looks(monkeypatch)
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        async with wechat(box, pace=None) as channel, working(fleet, channel):
            for name, pace, count in (("slow", 5, 3), ("quick", 200, 40)):
                async with wechat(box, pace=Pace(singles_per_second=pace)) as planner:
                    await Campaign(
                        planner,
                        MESSAGE,
                        ids(count),
                        route="single",
                        journal=fleet.journal(name),
                        **QUICK,
                    ).hand_over()
                report = await asyncio.wait_for(fleet.wait(name), 40)
                assert (report.state, report.sent) == ("done", count)
                assert channel.pacer.pace.singles_per_second == pace


async def test_a_campaign_does_not_go_at_the_pace_of_one_whose_rest_others_send(
    postgres: str, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_looks(monkeypatch)
    monkeypatch.setattr(CampaignAccess, "lease_life", 60.0)
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()

        async def hand_over(name: str, pace: int, count: int) -> None:
            async with wechat(box, pace=Pace(singles_per_second=pace)) as planner:
                journal = fleet.journal(name)
                options = {"route": "single", "journal": journal, **QUICK}
                await Campaign(planner, MESSAGE, ids(count), **options).hand_over()

        await hand_over("slow", 50, 530)
        handle = await fleet.journal("slow").open(write=True)
        lease = await handle.take(groups=False, singles=True, idempotent=False)
        assert lease is not None
        left = 530 - len(lease.single_sends)
        assert left > 0
        async with wechat(box, pace=None) as channel, working(fleet, channel):
            await sent_at_least(fleet, "slow", left)
            await hand_over("quick", 400, 40)
            report = await asyncio.wait_for(fleet.wait("quick"), 40)
            assert (report.state, report.sent) == ("done", 40)
            assert sent(fleet, "slow") == left
            assert channel.pacer.pace.singles_per_second == 400
        await handle.close()
