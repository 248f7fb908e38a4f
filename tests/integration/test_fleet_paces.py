"""Campaigns of one account that were planned at different paces, sent by one worker."""

from __future__ import annotations

import asyncio

import pytest
from campaigning import MESSAGE, QUICK, ids, wechat
from fleet_working import new_fleet, quick_looks, working

import promomsg
from promomsg import Campaign, Pace
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
