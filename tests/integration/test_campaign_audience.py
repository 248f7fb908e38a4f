"""Roles, retailers and everyone: counted first, then expanded or sent to as one group."""

from __future__ import annotations

import json
from typing import Any

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, add_up, run_to_end, wechat
from journal_rows import has_campaign

import promomsg
from promomsg import (
    Campaign,
    Everyone,
    PollPolicy,
    ProviderError,
    Retailers,
    Roles,
    UsageError,
    WeChatPromoter,
)
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxPromoter

pytestmark = pytest.mark.asyncio


def asked(box: Sandbox) -> list[dict[str, Any]]:
    """The audiences of the group calls."""
    names = ("list_type", "role_id", "retail_id", "id")
    return [
        {n: body[n] for n in names if n in body}
        for body in map(json.loads, box.calls.bodies("sendmsg"))
    ]


@pytest.mark.parametrize(
    ("audience", "wire", "count"),
    [
        (Roles([1, 2]), {"list_type": 1, "role_id": [1, 2]}, 200),
        (Retailers(["r1"]), {"list_type": 2, "retail_id": ["r1"]}, 75),
        (Everyone(confirm=True), {}, 300),
    ],
    ids=["roles", "retailers", "everyone"],
)
async def test_an_audience_of_fifty_or_more_is_one_group_call(
    box: Sandbox,
    channel: WeChatPromoter,
    journal: Journal,
    audience: Any,
    wire: dict[str, Any],
    count: int,
) -> None:
    report = await promomsg.send(channel, MESSAGE, audience, journal=journal, **QUICK)
    [sent] = asked(box)
    assert {k: v for k, v in sent.items() if v != 0} == wire
    assert (report.planned, report.sent, report.state) == (count, count, "done")
    assert box.calls["singlesendmsg"] == 0
    add_up(report.to_dict())


async def test_an_audience_under_fifty_is_expanded_into_singles(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.promoters = [
        SandboxPromoter(id=str(n), openid=f"o{n}", role_id=1 if n < 49 else 2) for n in range(100)
    ]
    campaign = Campaign(channel, MESSAGE, Roles([1]), journal=journal, **QUICK)
    plan = await campaign.plan()
    assert any("49 promoters" in notice for notice in plan.notices)
    async with campaign as run:
        report = await run.wait()
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 49)
    assert report.sent == 49
    assert sorted(box.ledger.delivered) == sorted(f"o{n}" for n in range(49))


async def test_only_authorised_promoters_are_counted_and_expanded(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.promoters = [
        SandboxPromoter(id=str(n), openid=f"o{n}", auth_status=1 if n < 10 else 2)
        for n in range(60)
    ]
    report = await promomsg.send(channel, MESSAGE, Everyone(confirm=True), journal=journal, **QUICK)
    assert (report.sent, box.calls["sendmsg"]) == (10, 0)


async def test_expand_makes_every_promoter_a_recipient_of_their_own(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.page_size = 7
    report = await promomsg.send(
        channel, MESSAGE, Retailers(["r1"]), journal=journal, expand=True, **QUICK
    )
    [sent] = asked(box)
    assert sent["list_type"] == 3
    assert len(sent["id"]) == 75
    assert (report.planned, report.sent) == (75, 75)
    assert len(list(report.outcomes())) == 75


async def test_expanded_promoters_bring_their_name_as_a_parameter(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.promoters = [SandboxPromoter(id="7", openid="o7", name="小明")]
    await promomsg.send(
        channel, PERSONAL, Everyone(confirm=True), journal=journal, expand=True, **QUICK
    )
    assert json.loads(box.ledger.messages["o7"])["title"] == "小明"


async def test_placeholders_and_an_unexpanded_audience_do_not_go_together(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    with pytest.raises(UsageError, match="expand"):
        await promomsg.send(channel, PERSONAL, Roles([1]), **QUICK)
    assert box.calls.total() == 0


async def test_everyone_needs_the_word(box: Sandbox, channel: WeChatPromoter) -> None:
    with pytest.raises(UsageError, match="confirm=True"):
        Everyone()
    with pytest.raises(UsageError, match="empty"):
        Roles([])


async def test_send_cnt_corrects_the_count_with_a_warning(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.missing_from_group = 20
    report = await promomsg.send(channel, MESSAGE, Retailers(["r1"]), journal=journal, **QUICK)
    assert (report.planned, report.sent) == (55, 55)
    assert any("55" in w and "75" in w for w in report.warnings)
    add_up(report.to_dict())


async def test_named_failures_of_an_audience_become_rows(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = {"100003": 43101, "100006": 103010}
    box.settings.unnamed_failures = 1
    report = await promomsg.send(channel, MESSAGE, Everyone(confirm=True), journal=journal, **QUICK)
    assert (report.planned, report.sent, report.failed, report.unknown) == (300, 298, 2, 0)
    named = [(o.recipient.key, o.code) for o in report.outcomes() if o.recipient.key == "100003"]
    assert named == [("100003", "43101")]
    add_up(report.to_dict())


async def test_while_it_is_out_an_audience_is_planned_and_pending_as_counted(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = (0,)
    slow = {**QUICK, "poll": PollPolicy(first_after=0.01, every=0.02, give_up_after=0.05)}
    report = await promomsg.send(channel, MESSAGE, Retailers(["r1"]), journal=journal, **slow)
    assert (report.planned, report.pending, report.state) == (75, 75, "following")
    add_up(report.to_dict())


async def test_a_lost_answer_leaves_an_audience_unknown_as_counted(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="drop_after_delivering")])
    report = await promomsg.send(channel, MESSAGE, Retailers(["r1"]), journal=journal, **QUICK)
    assert (report.planned, report.unknown) == (75, 75)
    assert box.calls["sendmsg"] == 1
    add_up(report.to_dict())


async def test_a_refused_audience_has_failed_as_counted(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", errcode=47003)])
    report = await promomsg.send(channel, MESSAGE, Retailers(["r1"]), journal=journal, **QUICK)
    assert (report.planned, report.failed, report.by_code) == (75, 75, {"47003": 75})
    add_up(report.to_dict())


async def test_an_audience_with_nobody_in_it_is_refused(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    with pytest.raises(UsageError, match="nobody"):
        await promomsg.send(channel, MESSAGE, Roles([77]), **QUICK)
    assert box.calls["sendmsg"] == 0


@pytest.mark.parametrize("more", [{}, {"expand": True}], ids=str)
async def test_route_group_of_an_audience_under_fifty_is_refused(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, more: dict[str, Any]
) -> None:
    box.settings.promoters = 49
    everyone, options = Everyone(confirm=True), {"route": "group", **more, **QUICK}
    with pytest.raises(UsageError, match=r'route = "group".*50 or more.*route = "single"'):
        await promomsg.send(channel, MESSAGE, everyone, journal=journal, **options)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 0)
    assert not await has_campaign(journal)


@pytest.mark.parametrize(
    ("audience", "count"),
    [(Roles([1]), 100), (Everyone(confirm=True), 300)],
    ids=["roles", "everyone"],
)
async def test_route_single_sends_to_each_of_an_audience(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, audience: Any, count: int
) -> None:
    campaign = Campaign(channel, PERSONAL, audience, journal=journal, route="single", **QUICK)
    async with campaign as run:
        report = await run.wait()
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, count)
    assert (report.planned, report.sent) == (count, count)


@pytest.mark.parametrize("audience", [Roles([1, 1]), Retailers(["r1", "r1"])], ids=str)
async def test_a_name_that_is_there_twice_counts_its_people_once(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, audience: Any
) -> None:
    box.settings.promoters = [
        SandboxPromoter(id=str(n), openid=f"o{n}", role_id=1, retail_id="r1") for n in range(30)
    ]
    report = await promomsg.send(channel, MESSAGE, audience, journal=journal, **QUICK)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 30)
    assert (report.planned, report.sent, report.skipped) == (30, 30, 0)


@pytest.mark.parametrize("suppress", [["100003"], []], ids=str)
async def test_a_suppression_list_and_an_unexpanded_audience_do_not_go_together(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, suppress: list[str]
) -> None:
    options = {"journal": journal, "suppress": suppress, **QUICK}
    with pytest.raises(UsageError, match="suppression list: say expand=true"):
        await promomsg.send(channel, MESSAGE, Roles([1]), **options)
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (0, 0)
    report = await promomsg.send(channel, MESSAGE, Roles([1]), expand=True, **options)
    assert (report.planned, report.skipped) == (100, len(suppress))
    assert not box.ledger.delivered.keys() & set(suppress)


async def test_an_audience_that_cannot_be_counted_sends_nothing(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="getpromoter", errcode=48001)])
    with pytest.raises(ProviderError, match="48001"):
        await promomsg.send(channel, MESSAGE, Everyone(confirm=True), journal=journal, **QUICK)
    assert box.calls["sendmsg"] == 0
    assert not await has_campaign(journal)


async def test_the_plan_of_an_audience_names_it(box: Sandbox) -> None:
    async with wechat(box) as channel:
        campaign = Campaign(channel, MESSAGE, Roles([1]), **QUICK)
        plan = await campaign.plan()
        await campaign.discard()
    assert plan.audience is not None
    assert "roles" in plan.audience
    assert (plan.groups, plan.singles, plan.rows) == ((100,), 0, 100)
    assert len(plan.samples) == 1


async def test_max_recipients_holds_for_an_audience_too(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    with pytest.raises(UsageError, match="cap of 99"):
        await promomsg.send(channel, MESSAGE, Roles([1]), max_recipients=99, **QUICK)
    assert box.calls["sendmsg"] == 0


async def test_an_audience_campaign_is_resumed_without_its_recipients(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, Roles([1]), journal=journal, **QUICK) as run:
        box.settings.poll_steps = (10,)
        await run.submit()
    assert run.report.pending == 100
    box.settings.poll_steps = (100,)
    report = await run_to_end(Campaign.resume(journal, channel, recipients=Roles([1]), **QUICK))
    assert (report.sent, box.calls["sendmsg"]) == (100, 1)
