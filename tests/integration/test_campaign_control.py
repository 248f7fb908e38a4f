"""Pause, go on, cancel, submit, and what `progress` says at every moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from campaigning import KEYS, MESSAGE, PERSONAL, QUICK, add_up, honest, ids, run_to_end
from waiting import real_time, until

import promomsg
from promomsg import Campaign, PollPolicy, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.journal.records import Control
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

SLOWLY = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)])


def slowly() -> FaultPlan:
    """Every single call takes 10 ms."""
    return FaultPlan(SLOWLY.faults)


async def test_pause_stops_at_once_and_resume_sending_goes_on(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly()
    async with Campaign(channel, MESSAGE, ids(49), journal=journal, concurrency=2, **QUICK) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 4)
        await run.pause()
        await until(lambda: run.in_flight == 0)
        held = box.calls["singlesendmsg"]
        assert held <= 8
        await real_time(0.04)
        assert box.calls["singlesendmsg"] == held
        assert run.progress["state"] == "paused"
        add_up(run.progress.to_dict())
        await run.resume_sending()
        report = await run.wait()
    assert (report.sent, report.state) == (49, "done")
    assert box.ledger.twice() == []


async def test_pause_holds_groups_too(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="slow", seconds=0.03)])
    async with Campaign(
        channel, MESSAGE, ids(198), journal=journal, max_group_size=99, **QUICK
    ) as run:
        await until(lambda: box.calls["sendmsg"] == 1)
        run.pause()
        await real_time(0.06)
        assert box.calls["sendmsg"] == 1
        run.resume_sending()
        assert (await run.wait()).sent == 198
    assert box.calls["sendmsg"] == 2


async def test_a_paused_campaign_with_nobody_left_ends(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    """A pause that comes with the last answers, or that nobody needs, keeps no service waiting."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.05)])
    wrong = [{"key": f"k{n}", "id": "no id"} for n in range(2)]
    async with asyncio.timeout(20):
        async with Campaign(channel, MESSAGE, wrong, **QUICK) as run:
            run.pause()
            assert (await run.wait()).failed == 2
        async with Campaign(channel, MESSAGE, ids(2), journal=journal, **QUICK) as run:
            await until(lambda: box.calls["singlesendmsg"] == 2)
            run.pause()
            report = await run.wait()
    assert (report.sent, report.state) == (2, "done")


async def test_leaving_while_paused_is_a_paused_campaign(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly()
    async with Campaign(channel, MESSAGE, ids(49), journal=journal, concurrency=2, **QUICK) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 4)
        await run.pause()
    assert run.report.state == "paused"
    honest(run.report, box)
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 49
    assert box.ledger.twice() == []


async def test_a_pause_that_comes_while_a_resume_is_prepared_stands(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    """A resume ends the pause that was there when it began, and no later one."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=45009)])
    report = await run_to_end(Campaign(channel, MESSAGE, ids(9), journal=journal, **QUICK))
    assert report.state == "halted"
    box.faults = FaultPlan()
    again = Campaign.resume(journal, channel, **QUICK)
    await again.plan()
    await journal.request(Control.PAUSE)
    async with again as run:
        await until(lambda: run.progress["state"] == "paused")
    assert (again.report.state, again.report.sent) == ("paused", 0)
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 9


async def test_cancel_leaves_nobody_pending_and_calls_in_flight_finish(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly()
    report = await run_to_end(
        Campaign(channel, MESSAGE, ids(49), journal=journal, concurrency=2, **QUICK),
        when=lambda: box.calls["singlesendmsg"] >= 4,
        act=lambda run: run.cancel(),
    )
    assert report.state == "cancelled"
    assert (report.pending, report.unknown) == (0, 0)
    assert report.sent == box.calls["singlesendmsg"]
    assert report.cancelled == 49 - report.sent > 0
    assert report.by_code == {"CANCELLED": report.cancelled}
    honest(report, box)


async def test_a_cancelled_campaign_still_follows_the_groups_that_are_out(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly()
    rows = [*ids(50), *({"openid": f"o{n}"} for n in range(40))]
    async with Campaign(channel, MESSAGE, rows, journal=journal, concurrency=2, **QUICK) as run:
        await until(lambda: box.calls["sendmsg"] == 1 and box.calls["singlesendmsg"] > 2)
        await until(lambda: any(g["msg_id"] for g in run.progress["groups"]))
        await run.cancel()
        report = await run.wait()
    assert report.groups[0].state == "done"
    assert report.sent >= 50
    assert report.cancelled > 0
    assert report.pending == 0
    honest(report, box)


async def test_a_planned_group_is_cancelled_with_its_members(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="slow", seconds=0.03)])
    report = await run_to_end(
        Campaign(channel, MESSAGE, ids(198), journal=journal, max_group_size=99, **QUICK),
        when=lambda: box.calls["sendmsg"] == 1,
        act=lambda run: run.cancel(),
    )
    assert (report.sent, report.cancelled) == (99, 99)
    assert sorted(g.state for g in report.groups) == ["cancelled", "done"]
    honest(report, box)


async def test_a_paused_campaign_can_be_cancelled(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly()
    async with Campaign(channel, MESSAGE, ids(49), journal=journal, concurrency=2, **QUICK) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 2)
        run.pause()
        run.cancel()
        report = await run.wait()
    assert (report.state, report.pending) == ("cancelled", 0)
    honest(report, box)


async def test_requests_after_the_end_change_nothing(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, ids(3), journal=journal, **QUICK) as run:
        await run.wait()
        await run.cancel()
        await run.pause()
    assert (run.report.state, run.report.sent) == ("done", 3)
    await run.cancel()
    assert run.report.state == "done"


async def test_another_process_may_pause_go_on_and_cancel(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = slowly()
    async with Campaign(
        channel, MESSAGE, ids(400), journal=journal, concurrency=2, route="single", **QUICK
    ) as run:
        await until(lambda: box.calls["singlesendmsg"] >= 4)
        await journal.request(Control.PAUSE)
        await until(lambda: run.progress["state"] == "paused")
        await until(lambda: run.in_flight == 0)
        held = box.calls["singlesendmsg"]
        await journal.request(Control.RUN)
        await until(lambda: box.calls["singlesendmsg"] > held)
        await journal.request(Control.CANCEL)
        report = await run.wait()
    assert report.state == "cancelled"
    assert report.pending == 0
    honest(report, box)


async def test_who_resumes_what_was_to_be_cancelled_is_told(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    """As after a cancel that was killed when it had asked for it."""
    async with Campaign(channel, MESSAGE, ids(40), journal=journal, route="single", **QUICK) as run:
        await run.pause()
    await journal.request(Control.CANCEL)
    again = Campaign.resume(journal, channel, **QUICK)
    assert any("asked to cancel it" in notice for notice in (await again.plan()).notices)
    report = await run_to_end(again)
    assert (report.state, report.pending) == ("cancelled", 0)
    honest(report, box)


async def test_submit_returns_when_every_call_is_answered(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    much_later = {**QUICK, "poll": PollPolicy(first_after=600, every=600)}
    rows = [*ids(50), *({"openid": f"o{n}"} for n in range(10))]
    async with Campaign(channel, MESSAGE, rows, journal=journal, **much_later) as run:
        await run.submit()
        assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (1, 10)
        assert box.calls["getmsg"] == 0
    report = run.report
    assert (report.state, report.sent, report.pending) == ("following", 10, 50)
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 60
    assert box.calls["sendmsg"] == 1


async def test_the_numbers_add_up_at_every_moment(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_single = {"o7": 43101}
    box.faults = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", kind="html", every=9),
            Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01),
        ]
    )
    rows = [
        *({"id": i, "name": "甲"} for i in ids(60)),
        *({"openid": f"o{n}", "name": f"n{n}"} for n in range(120)),
        *({"openid": f"o{n}", "name": f"n{n}"} for n in range(20)),
    ]
    samples: list[dict[str, Any]] = []
    async with Campaign(
        channel, PERSONAL, rows, name="autumn", journal=journal, concurrency=4, **QUICK
    ) as run:
        waiting = asyncio.ensure_future(run.wait())
        while not waiting.done():
            samples.append(run.progress.to_dict())
            await real_time(0.002)
        samples.append(run.progress.to_dict())
    for sample in samples:
        assert set(sample) == KEYS
        add_up(sample)
        assert sample["planned"] == 200
        assert sample["campaign"] == "autumn"
    assert {s["state"] for s in samples} >= {"sending", "done"}
    settled = [s["sent"] + s["failed"] + s["unknown"] for s in samples]
    assert settled == sorted(settled)
    assert len(set(settled)) > 3
    elapsed = [s["elapsed_s"] for s in samples]
    assert elapsed == sorted(elapsed)
    assert run.progress.to_dict() == run.report.to_dict()


GROUP_KEYS = {"msg_id", "planned", "percent", "send_cnt", "fail_cnt", "state"}


async def test_groups_show_their_percent_as_it_grows(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    seen = set()
    async with Campaign(channel, MESSAGE, ids(50), journal=journal, **QUICK) as run:
        waiting = asyncio.ensure_future(run.wait())
        while not waiting.done():
            [group] = run.progress["groups"]
            assert set(group) - {"next_poll_at"} == GROUP_KEYS
            assert ("next_poll_at" in group) is (group["state"] == "accepted")
            seen.add((group["state"], group["percent"]))
            await real_time(0.001)
    assert {"accepted"} <= {state for state, _ in seen}
    assert run.progress["groups"][0]["percent"] == 100
    assert set(run.progress["groups"][0]) == GROUP_KEYS


async def test_following_is_a_state_of_its_own(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (10, 10, 10, 10, 10, 10, 10, 10, 100)
    async with Campaign(channel, MESSAGE, ids(50), journal=journal, **QUICK) as run:
        await until(lambda: run.progress["state"] == "following")
        assert run.progress["pending"] == 50
        await run.wait()
    assert run.report.state == "done"


async def test_campaigns_beside_each_other_do_not_share_their_control(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    async with (
        Campaign(channel, MESSAGE, ids(20), **QUICK) as one,
        Campaign(channel, MESSAGE, ids(20, 900), **QUICK) as two,
    ):
        one.cancel()
        await one.wait()
        assert (await two.wait()).sent == 20
    assert one.report.pending == 0
    assert promomsg.Report is type(one.report)
