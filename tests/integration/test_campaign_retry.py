"""`retry`: sent again to exactly the set that was named, and to nobody who was reached."""

from __future__ import annotations

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, add_up, ids, run_to_end

import promomsg
from promomsg import Campaign, UsageError, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


async def mixed(channel: WeChatPromoter, box: Sandbox, journal: Journal) -> promomsg.Report:
    """30 singles: 3 refused, 4 unknown of whom 2 were delivered, 23 sent."""
    box.settings.refuse_single = dict.fromkeys(("500001", "500002", "500003"), 43101)
    box.faults = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[10, 11]),
            Fault(endpoint="singlesendmsg", kind="minus_one", calls=[20, 21]),
        ]
    )
    report = await promomsg.send(channel, MESSAGE, ids(30), journal=journal, concurrency=1, **QUICK)
    assert (report.sent, report.failed, report.unknown) == (23, 3, 4)
    box.faults = FaultPlan()
    box.settings.refuse_single = {}
    return report


async def test_retry_failed_sends_to_the_failed_alone(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await mixed(channel, box, journal)
    before = box.calls["singlesendmsg"]
    campaign = Campaign.retry(journal, channel, failed=True, **QUICK)
    plan = await campaign.plan()
    assert plan.singles == 3
    async with campaign as run:
        streamed = [o.recipient.key async for o in run]
    report = run.report
    assert sorted(streamed) == ["500001", "500002", "500003"]
    assert (report.planned, report.sent, report.failed, report.unknown) == (30, 26, 0, 4)
    assert box.calls["singlesendmsg"] == before + 3
    assert box.ledger.twice() == []
    assert {o.recipient.key: o.attempts for o in report.outcomes()}["500001"] >= 1
    add_up(report.to_dict())


async def test_retry_unknown_sends_to_the_unknown_alone(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    unknown = [o.recipient.key for o in (await mixed(channel, box, journal)).unknowns()]
    before = box.calls["singlesendmsg"]
    report = await run_to_end(Campaign.retry(journal, channel, unknown=True, **QUICK))
    assert (report.sent, report.failed, report.unknown) == (27, 3, 0)
    assert box.calls["singlesendmsg"] == before + 4
    assert set(box.ledger.twice()) < set(unknown)  # the user's word: two had got it


async def test_retry_both(box: Sandbox, channel: WeChatPromoter, journal: Journal) -> None:
    await mixed(channel, box, journal)
    report = await run_to_end(Campaign.retry(journal, channel, failed=True, unknown=True, **QUICK))
    assert (report.sent, report.state) == (30, "done")


async def test_a_retry_that_fails_again_says_so(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await mixed(channel, box, journal)
    box.settings.refuse_single = {"500001": 40003}
    report = await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
    assert [(o.recipient.key, o.code) for o in report.failures()] == [("500001", "40003")]
    add_up(report.to_dict())


async def test_a_retry_may_be_repeated_and_ends_in_nothing_to_do(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await mixed(channel, box, journal)
    for _ in range(2):
        report = await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
        assert (report.sent, report.state) == (26, "done")


async def test_fifty_failed_ones_go_as_a_group_again(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = dict.fromkeys(ids(55), 103010)
    report = await promomsg.send(channel, MESSAGE, ids(80), journal=journal, **QUICK)
    assert (report.sent, report.failed) == (25, 55)
    box.settings.refuse_group = {}
    report = await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
    assert (report.sent, box.calls["sendmsg"], box.calls["singlesendmsg"]) == (80, 2, 0)
    assert box.ledger.twice() == []
    assert len(report.groups) == 2


async def test_fewer_than_fifty_of_a_group_go_one_by_one(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = dict.fromkeys(ids(5), 103010)
    await promomsg.send(channel, MESSAGE, ids(80), journal=journal, **QUICK)
    report = await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
    assert (report.sent, box.calls["sendmsg"], box.calls["singlesendmsg"]) == (80, 1, 5)
    assert box.ledger.twice() == []
    add_up(report.to_dict())


async def test_unnamed_members_are_left_out_unless_they_are_meant(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = {"500001": 103010}
    box.settings.unnamed_failures = 1
    rows = [*ids(60), {"openid": "oLost"}]
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="minus_one")])
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    assert report.by_code == {"UNNAMED": 60, "-1": 1}
    box.faults = FaultPlan()
    report = await run_to_end(Campaign.retry(journal, channel, unknown=True, **QUICK))
    assert (report.sent, report.by_code) == (1, {"UNNAMED": 60})
    assert (box.calls["sendmsg"], box.calls["singlesendmsg"]) == (1, 2)
    box.settings.refuse_group = {}
    report = await run_to_end(
        Campaign.retry(journal, channel, unknown=True, include_unnamed=True, **QUICK)
    )
    assert (report.sent, report.unknown, box.calls["sendmsg"]) == (61, 0, 2)


async def test_a_lost_group_is_sent_again_only_by_the_users_word(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="status", calls=[1])])
    await promomsg.send(channel, MESSAGE, ids(60), journal=journal, **QUICK)
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).unknown == 60
    assert box.calls["sendmsg"] == 1
    assert (await run_to_end(Campaign.retry(journal, channel, unknown=True, **QUICK))).sent == 60
    assert box.ledger.twice() == []


async def test_a_personal_message_is_retried_with_each_ones_own_text(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_single = {"500001": 43101}
    rows = [{"id": i, "name": f"n{i}"} for i in ids(5)]
    await promomsg.send(channel, PERSONAL, rows, journal=journal, **QUICK)
    box.settings.refuse_single = {}
    await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
    assert "n500001" in box.ledger.messages["500001"]


async def test_rows_that_cannot_be_sent_are_not_sent_by_a_retry(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    rows = [{"id": "1"}, {"key": "nobody"}]
    report = await promomsg.send(channel, MESSAGE, rows, journal=journal, **QUICK)
    assert report.failed == 1
    report = await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
    assert (report.sent, report.pending, box.calls["singlesendmsg"]) == (1, 0, 1)
    assert report.by_code == {"NO_ADDRESS": 1}


async def test_retry_needs_the_set_to_be_named(channel: WeChatPromoter, journal: Journal) -> None:
    with pytest.raises(UsageError, match="failed=True"):
        Campaign.retry(journal, channel)
    with pytest.raises(UsageError, match="unknown=True"):
        Campaign.retry(journal, channel, failed=True, include_unnamed=True)


async def test_a_retry_leaves_out_who_is_suppressed_by_now(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    first = await mixed(channel, box, journal)
    doubted = next(iter(first.unknowns()))
    before = box.calls["singlesendmsg"]
    blocked = ["500001", doubted.recipient.key or ""]
    report = await run_to_end(
        Campaign.retry(journal, channel, failed=True, unknown=True, suppress=blocked, **QUICK)
    )
    assert box.calls["singlesendmsg"] == before + 5
    # Whoever may have been reached before stays unknown, and keeps the reason.
    assert (report.sent, report.failed, report.unknown, report.skipped) == (28, 0, 1, 1)
    [still] = report.unknowns()
    assert (still.recipient.key, still.code) == (doubted.recipient.key, doubted.code)
    add_up(report.to_dict())
