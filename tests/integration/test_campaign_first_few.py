"""A campaign that is sent to a few first: how those come out decides about the others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from campaigning import MESSAGE, QUICK, group_ids, honest, ids, journal_at, run_to_end, wechat
from clocks import FakeClock
from fault_campaigns import client, message, wallet_users
from waiting import until

from promomsg import (
    Campaign,
    PollPolicy,
    Report,
    UsageError,
    WeChatMessage,
    WeChatPromoter,
    open_journal,
)
from promomsg.engine.joining import Part, do_part
from promomsg.engine.schedule.first_few import FirstDecision
from promomsg.engine.schedule.first_watch import FirstWatch
from promomsg.journal.contract import Journal
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

PEOPLE = ids(200)
NOW: dict[str, Any] = {**QUICK, "route": "single", "first": 20, "first_wait": 0}
SENDS = Part(singles=True, groups=True)


def report_of(journal: Journal) -> Report:
    with open_journal(journal) as opened:
        return opened.report()


def first_of(journal: Journal) -> set[str]:
    """Who is among the first few, by key."""
    return {outcome.recipient.key or "" for outcome in report_of(journal).outcomes() if outcome.at}


async def halted(box: Sandbox, channel: WeChatPromoter, journal: Journal, **more: Any) -> Report:
    """A campaign that halts on its first few: a third of them are refused."""
    box.settings.refuse_single = {who: 43101 for who in PEOPLE if int(who) % 3 == 0}
    report = await run_to_end(
        Campaign(channel, MESSAGE, PEOPLE, journal=journal, **{**NOW, **more})
    )
    assert report.state == "halted"
    return report


async def test_under_the_bound_the_others_follow_by_themselves(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    async with Campaign(channel, MESSAGE, PEOPLE, journal=journal, **NOW) as run:
        told = [event.data async for event in run.events(every=0.001) if event.kind == "first"]
        report = await run.wait()
    assert (report.state, report.sent) == ("done", 200)
    assert (told[0]["phase"], told[-1]["phase"]) == ("sending", "passed")
    assert {few["planned"] for few in told} == {20}, "nothing is told before they are looked at"
    honest(report, box)
    assert report.first is not None
    assert (report.first.phase, report.first.planned, report.first.sent) == ("passed", 20, 20)


async def test_over_the_bound_nobody_else_is_sent_to_until_a_person_says_so(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await halted(box, channel, journal)
    assert report.reason.startswith("FIRST_STOPPED: ")
    assert "of the first 20 were not sent" in report.reason
    assert "x 43101" in report.reason
    assert "--approve" in report.reason
    assert box.calls["singlesendmsg"] <= 20
    assert report.pending >= 180
    honest(report, box)
    assert report.first is not None
    assert report.first.phase == "stopped"

    again = await run_to_end(Campaign.resume(journal, channel, **QUICK))
    assert (again.state, again.reason) == ("halted", report.reason)
    assert box.calls["singlesendmsg"] <= 20

    last = await run_to_end(Campaign.resume(journal, channel, approve=True, **QUICK))
    assert last.state == "done"
    assert last.sent + last.failed == 200
    assert any("a person let" in warning for warning in last.warnings)
    honest(last, box)
    assert box.ledger.twice() == []


async def test_nobody_follows_by_a_word_of_which_nothing_is_kept(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever its process is killed."""
    await halted(box, channel, journal)

    async def killed(handle: SqliteHandle, now: object, *, instead_of: object) -> bool:
        assert any("a person let" in warning for warning in handle.record.warnings)
        raise OSError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteHandle, "set_first_few", killed)
        with pytest.raises(OSError, match="killed here"):
            await run_to_end(Campaign.resume(journal, channel, approve=True, **QUICK))
    last = await run_to_end(Campaign.resume(journal, channel, approve=True, **QUICK))
    assert sum("a person let" in warning for warning in last.warnings) == 1


async def test_those_who_failed_can_be_retried_and_then_the_others_follow(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await halted(box, channel, journal)
    box.settings.refuse_single = {}
    report = await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
    assert (report.state, report.sent) == ("done", 200)
    assert box.ledger.twice() == []
    assert not any("a person let" in warning for warning in report.warnings)


async def test_a_retry_that_fails_again_halts_again(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    first = await halted(box, channel, journal)
    report = await run_to_end(Campaign.retry(journal, channel, failed=True, **QUICK))
    assert report.state == "halted"
    assert report.reason.startswith("FIRST_STOPPED")
    assert first.pending >= report.pending >= 180
    assert box.ledger.twice() == []


async def test_a_person_can_be_asked_in_any_case(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    report = await run_to_end(
        Campaign(channel, MESSAGE, PEOPLE, journal=journal, first_ask=True, **NOW)
    )
    assert report.state == "halted"
    assert report.reason.startswith("FIRST_ASK: the first 20 are answered: 20 sent; ")
    assert (report.sent, report.pending) == (20, 180)
    last = await run_to_end(Campaign.resume(journal, channel, approve=True, **QUICK))
    assert (last.state, last.sent) == ("done", 200)


@pytest.mark.parametrize("killed", [False, True])
async def test_the_wait_begins_at_the_last_answer_and_a_restart_does_not_begin_it_anew(
    box: Sandbox, tmp_path: Any, killed: bool
) -> None:
    clock = FakeClock()
    journal = str(tmp_path / "campaign.db")
    async with wechat(box, clock=clock) as channel:
        options = {**NOW, "first_wait": "10m"}
        campaign = Campaign(channel, MESSAGE, PEOPLE, journal=journal, clock=clock, **options)
        run = await campaign.start()
        await clock.advance_until(lambda: run.progress.state == "waiting", 0.5)
        answered = clock.time()
        assert box.calls["singlesendmsg"] == 20
        first = run.progress.first
        assert first is not None
        assert (first.phase, first.sent) == ("waiting", 20)
        assert first.until is not None
        assert answered + 590 < first.until <= answered + 600
        if killed:
            await run.aclose()
            await clock.advance(300)
            run = await Campaign.resume(journal, channel, clock=clock, **QUICK).start()

        def nobody_yet() -> None:
            assert clock.time() >= answered + 590 or box.calls["singlesendmsg"] == 20

        await clock.advance_until(lambda: clock.time() > answered + 580, 20, each=nobody_yet)
        await clock.advance_until(lambda: box.calls["singlesendmsg"] > 20, 0.5, each=nobody_yet)
        assert clock.time() <= answered + 620
        await clock.advance_until(lambda: not run.progress.pending, 1)
        assert (await run.wait()).sent == 200
        await run.aclose()


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_clock_that_is_set_in_the_wait_keeps_nobody_longer(
    box: Sandbox, journal: Journal, hours: int
) -> None:
    clock = FakeClock()
    async with wechat(box, clock=clock) as channel:
        options = {**NOW, "first_wait": "1m"}
        async with Campaign(
            channel, MESSAGE, PEOPLE, journal=journal, clock=clock, **options
        ) as run:
            await clock.advance_until(lambda: run.progress.state == "waiting", 0.5)
            await clock.advance(20)
            clock.jump(hours * 3600)
            set_at = clock.monotonic()
            await clock.advance_until(lambda: run.progress["first"]["phase"] == "passed", 1)
            assert clock.monotonic() <= set_at + 90
            await clock.advance_until(lambda: not run.progress.pending, 1)
            report = await run.wait()
    assert report.sent == 200


async def test_the_first_few_may_be_a_group_and_are_answered_when_it_is_complete(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = [10, 50, 100]
    options = {**NOW, "route": "group", "first": 60}
    report = await run_to_end(Campaign(channel, MESSAGE, PEOPLE, journal=journal, **options))
    assert (report.state, report.sent) == ("done", 200)
    assert [len(members) for members in group_ids(box)] == [60, 140]
    kinds = [request.endpoint for request in box.calls.requests]
    second = len(kinds) - kinds[::-1].index("sendmsg") - 1
    assert kinds[:second].count("getmsg") >= 3


async def test_a_group_whose_members_fail_stops_the_others(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.group_fail_fraction = 0.5
    options = {**NOW, "route": "group", "first": 60}
    report = await run_to_end(Campaign(channel, MESSAGE, PEOPLE, journal=journal, **options))
    assert report.reason.startswith("FIRST_STOPPED")
    assert report.pending == 140
    assert box.calls["sendmsg"] == 1


async def test_first_few_whose_group_is_given_up_keep_nobody_waiting_for_ever(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.settings.poll_steps = [50]
    poll = PollPolicy(first_after=0.01, every=0.02, give_up_after=0.1)
    options = {**NOW, "route": "group", "first": 60, "poll": poll}
    report = await run_to_end(Campaign(channel, MESSAGE, PEOPLE, journal=journal, **options))
    assert (report.state, report.pending) == ("stopped", 200)
    box.settings.poll_steps = [100]
    report = await run_to_end(Campaign.resume(journal, channel, **QUICK))
    assert (report.state, report.sent) == ("done", 200)
    assert box.ledger.twice() == []


async def test_a_list_splits_alike_whatever_its_order_and_whoever_comes_after(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Any
) -> None:
    found = []
    lists = (PEOPLE, PEOPLE[::-1], [*PEOPLE, *ids(100, 700_001)])
    for number, people in enumerate(lists):
        journal = str(tmp_path / f"{number}.db")
        options = {**NOW, "first": "10%", "first_ask": True}
        await run_to_end(Campaign(channel, MESSAGE, people, journal=journal, **options))
        found.append(first_of(journal))  # type: ignore[arg-type]
    assert found[0] == found[1]
    assert found[0] <= found[2]


async def test_a_wallets_first_few_stop_the_others_too_and_its_list_is_given_with_the_word(
    box: Sandbox, tmp_path: Any
) -> None:
    box.faults = FaultPlan(
        [Fault(endpoint="alipay.send", kind="result", result="USER_NOT_EXIST", every=2)]
    )
    path, people = tmp_path / "wallet.db", wallet_users(40)
    options = {**QUICK, "first": 10, "first_wait": 0}
    async with client(box, "alipay") as wallet:
        text = message("alipay")
        report = await run_to_end(Campaign(wallet, text, people, journal=path, **options))
        assert report.reason.startswith("FIRST_STOPPED")
        assert report.pending >= 30
        box.faults = FaultPlan([])
        other = [*people[1:], {**people[0], "key": "another"}]
        with pytest.raises(UsageError, match="the recipients are not the list"):
            await run_to_end(Campaign.resume(path, wallet, approve=True, recipients=other))
        last = await run_to_end(
            Campaign.resume(path, wallet, approve=True, recipients=people, **QUICK)
        )
    assert last.state == "done"
    assert last.sent + last.failed == 40
    assert box.ledger.twice() == []


async def test_what_is_given_with_a_word_for_the_others_is_what_was_planned(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await halted(box, channel, journal)
    other = WeChatMessage(1, {"title": "another"}, "pages/index/index")

    async def refused(says: str, **given: Any) -> None:
        with pytest.raises(UsageError, match=says):
            await run_to_end(Campaign.resume(journal, channel, approve=True, **QUICK, **given))

    await refused("the message is not the one", message=other)
    await refused("the recipients are not the list", recipients=[*PEOPLE, "900001"])
    await refused("route was 'single' and is None now", route=None)
    await refused("first_wait is decided when a campaign is planned", first_wait="1s")
    assert report_of(journal).state == "halted"
    assert box.calls["singlesendmsg"] <= 20
    last = await run_to_end(
        Campaign.resume(
            journal,
            channel,
            approve=True,
            message=MESSAGE,
            recipients=PEOPLE,
            route="single",
            **QUICK,
        )
    )
    assert last.state == "done"


async def test_there_is_nothing_to_approve_in_a_campaign_without_first_few(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    campaign = Campaign(channel, MESSAGE, ids(3), journal=journal, **QUICK)
    await campaign.hand_over()
    with pytest.raises(UsageError, match="planned without first"):
        await Campaign.resume(journal, channel, approve=True, **QUICK).plan()


async def test_two_parts_at_once_come_to_one_decision(
    box: Sandbox, channel: WeChatPromoter, postgres: str
) -> None:
    journal = journal_at("postgres", None, postgres)  # type: ignore[arg-type]
    await Campaign(channel, MESSAGE, PEOPLE, journal=journal, **NOW).hand_over()
    async with wechat(box) as other:
        while report_of(journal).pending:
            await asyncio.gather(do_part(journal, channel, SENDS), do_part(journal, other, SENDS))
    report = report_of(journal)
    assert (report.state, report.sent) == ("done", 200)
    assert box.ledger.twice() == []


async def test_a_part_stops_the_others_for_all_and_a_word_opens_them_for_all(
    box: Sandbox, channel: WeChatPromoter, postgres: str
) -> None:
    journal = journal_at("postgres", None, postgres)  # type: ignore[arg-type]
    box.settings.refuse_single = {who: 43101 for who in PEOPLE if int(who) % 3 == 0}
    await Campaign(channel, MESSAGE, PEOPLE, journal=journal, **NOW).hand_over()
    async with wechat(box) as other:
        while (done := await do_part(journal, other, SENDS)).halted is None:
            assert done.state in ("sending", "waiting")
        assert done.halted.startswith("FIRST_STOPPED")
        assert box.calls["singlesendmsg"] <= 20
        assert (await do_part(journal, channel, SENDS)).calls == 0
        await Campaign.resume(journal, channel, approve=True, **QUICK).hand_over()
        while report_of(journal).pending:
            await do_part(journal, other, SENDS)
    report = report_of(journal)
    assert (report.state, report.sent + report.failed) == ("done", 200)
    assert sum("a person let" in warning for warning in report.warnings) == 1


async def test_a_word_that_comes_while_another_sender_looks_is_not_undone_by_what_that_one_saw(
    box: Sandbox, channel: WeChatPromoter, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_at("postgres", None, postgres)  # type: ignore[arg-type]
    box.settings.refuse_single = {who: 43101 for who in PEOPLE if int(who) % 3 == 0}
    await Campaign(channel, MESSAGE, PEOPLE, journal=journal, **NOW).hand_over()
    look, words = FirstWatch.look, []

    async def meanwhile(watch: FirstWatch, *args: Any) -> FirstDecision:
        decision = await look(watch, *args)
        if decision.code and not words:
            words.append(decision.code)
            await Campaign.resume(journal, channel, approve=True, **QUICK).hand_over()
        return decision

    monkeypatch.setattr(FirstWatch, "look", meanwhile)
    async with wechat(box) as other:
        while (done := await do_part(journal, other, SENDS)).state == "sending":
            assert done.halted is None
    assert words == ["FIRST_STOPPED"]
    report = report_of(journal)
    assert (report.state, report.sent + report.failed) == ("done", 200)


async def test_among_parts_the_wait_is_one_moment_that_stands_in_the_journal(
    box: Sandbox, channel: WeChatPromoter, postgres: str
) -> None:
    journal = journal_at("postgres", None, postgres)  # type: ignore[arg-type]
    options = {**NOW, "first_wait": "1h"}
    await Campaign(channel, MESSAGE, PEOPLE, journal=journal, **options).hand_over()
    while (done := await do_part(journal, channel, SENDS)).state != "waiting":
        assert done.state == "sending"
    first = report_of(journal).first
    assert first is not None
    assert (first.phase, first.sent, first.until) == ("waiting", 20, done.parked_until)
    async with wechat(box) as other:
        again = await do_part(journal, other, SENDS)
    assert (again.state, again.calls, again.parked_until) == ("waiting", 0, done.parked_until)
    report = report_of(journal)
    assert report.first is not None
    assert report.first.until == first.until
    assert box.calls["singlesendmsg"] == 20
    # A word ends the wait for all.
    await Campaign.resume(journal, channel, approve=True, **QUICK).hand_over()
    while report_of(journal).pending:
        await do_part(journal, channel, SENDS)
    assert box.ledger.twice() == []


async def test_parts_leave_a_campaign_alone_while_the_group_of_its_first_few_is_out(
    box: Sandbox, channel: WeChatPromoter, postgres: str
) -> None:
    box.settings.poll_steps = [50]
    journal = journal_at("postgres", None, postgres)  # type: ignore[arg-type]
    options = {**NOW, "route": "group", "first": 60}
    await Campaign(channel, MESSAGE, PEOPLE, journal=journal, **options).hand_over()
    done = await do_part(journal, channel, SENDS)
    assert (done.calls, done.state) == (1, "sending")
    assert done.parked_until is not None
    assert time.time() < done.parked_until <= time.time() + 5
    box.settings.poll_steps = [100]
    while (await do_part(journal, channel, Part(polls=True))).next_poll_at is not None:
        pass
    assert (await do_part(journal, channel, SENDS)).calls == 0
    later = await do_part(journal, channel, SENDS, now=lambda: time.time() + 6)
    assert (later.calls, len(group_ids(box))) == (1, 2)


async def test_a_cancel_in_the_wait_ends_it(box: Sandbox, journal: Journal) -> None:
    clock = FakeClock()
    async with wechat(box, clock=clock) as channel:
        options = {**NOW, "first_wait": "10m"}
        async with Campaign(
            channel, MESSAGE, PEOPLE, journal=journal, clock=clock, **options
        ) as run:
            await clock.advance_until(lambda: run.progress.state == "waiting", 0.5)
            await run.cancel()
            await until(lambda: not run.progress.pending)
            report = await run.wait()
    assert (report.sent, report.cancelled) == (20, 180)
    honest(report, box)
