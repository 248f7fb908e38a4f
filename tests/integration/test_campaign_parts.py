"""Campaigns that are handed over, and sent by parts, on every kind of journal."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from campaigning import MESSAGE, PERSONAL, QUICK, honest, ids, wechat
from fault_campaigns import client, message, wallet_users
from waiting import real_time

from promomsg import Campaign, Pace, Report, UsageError, WeChatPromoter, open_journal
from promomsg.engine.joining import Part, do_part, pace_of
from promomsg.engine.recipient_tokens import EncryptedTokens
from promomsg.journal.contract import Journal
from promomsg.journal.records import CampaignRecord, Control
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

SENDS = Part(singles=True, groups=True)
POLLS = Part(polls=True)


def handed(journal: Journal, channel: WeChatPromoter, count: int = 40, **words: Any) -> Campaign:
    """A campaign of so many: single sends below 50, one group from there on."""
    text = PERSONAL if count < 50 else MESSAGE
    return Campaign(channel, text, ids(count), journal=journal, **QUICK, **words)


def report_of(journal: Journal) -> Report:
    with open_journal(journal) as opened:
        return opened.report()


def record_of(journal: Journal) -> CampaignRecord:
    with open_journal(journal) as opened:
        return opened.record


async def followed(journal: Journal, channel: WeChatPromoter) -> str:
    """Polls when a poll is due, as long as there is one to come; the state after that."""
    while True:
        done = await do_part(journal, channel, POLLS)
        if done.next_poll_at is None:
            return done.state
        await real_time(max(done.next_poll_at - time.time(), 0.0))  # the sandbox's are 20 ms


@pytest_asyncio.fixture
async def other(box: Sandbox) -> AsyncIterator[WeChatPromoter]:
    """Another process's client of the account."""
    async with wechat(box) as found:
        yield found


async def test_a_campaign_that_is_handed_over_is_sent_by_a_part(
    box: Sandbox, channel: WeChatPromoter, other: WeChatPromoter, journal: Journal
) -> None:
    await handed(journal, channel).hand_over()
    assert box.ledger.total == 0
    assert report_of(journal).pending == 40
    done = await do_part(journal, other, SENDS)
    assert (done.state, done.calls, done.work_left) == ("done", 40, False)
    honest(report_of(journal), box)


async def test_one_that_was_planned_before_is_handed_over_as_it_was_planned(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    campaign = handed(journal, channel)
    assert (await campaign.plan()).to_send == 40
    await campaign.hand_over()
    with pytest.raises(UsageError, match="was handed over"):
        async with campaign:
            pass
    with pytest.raises(UsageError, match="was handed over"):
        await campaign.hand_over()
    await campaign.discard()  # it is the others' by now
    assert (await do_part(journal, channel, SENDS)).state == "done"


async def test_one_that_runs_is_not_handed_over(channel: WeChatPromoter, journal: Journal) -> None:
    async with handed(journal, channel) as run:
        with pytest.raises(UsageError, match="has run already"):
            await run.hand_over()
        await run.wait()


async def test_a_journal_that_nobody_else_finds_is_not_handed_over(
    box: Sandbox, channel: WeChatPromoter
) -> None:
    campaign = Campaign(channel, MESSAGE, ids(3), **QUICK)
    with pytest.raises(UsageError, match="give a path or fleet:NAME"):
        await campaign.hand_over()
    async with campaign as run:  # nothing has changed by that
        assert (await run.wait()).sent == 3


async def test_a_group_is_sent_by_one_part_and_polled_by_the_next(
    box: Sandbox, channel: WeChatPromoter, other: WeChatPromoter, journal: Journal
) -> None:
    box.settings.refuse_group = {"500003": 103010}
    await handed(journal, channel, 60).hand_over()
    done = await do_part(journal, other, SENDS)
    assert (done.state, done.calls, done.work_left) == ("following", 1, False)
    assert await followed(journal, channel) == "done"
    report = report_of(journal)
    assert (report.sent, report.failed) == (59, 1)
    honest(report, box)


async def test_a_resumed_campaign_is_handed_over(
    box: Sandbox, channel: WeChatPromoter, other: WeChatPromoter, journal: Journal
) -> None:
    """What stopped it is taken back by the resume, and not by a part."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001, calls=[5])])
    async with handed(journal, channel, concurrency=1) as run:
        assert (await run.wait()).state == "halted"
    assert (await do_part(journal, other, SENDS)).state == "halted"
    await Campaign.resume(journal, channel).hand_over()
    assert report_of(journal).state == "stopped"
    assert (await do_part(journal, other, SENDS)).state == "done"
    report = report_of(journal)
    assert report.sent == 40
    honest(report, box)


async def test_a_retry_is_handed_over(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=40003, calls=[2, 4])])
    async with handed(journal, channel, concurrency=1) as run:
        assert (await run.wait()).failed == 2
    await Campaign.retry(journal, channel, failed=True).hand_over()
    done = await do_part(journal, channel, SENDS)
    assert (done.state, done.calls) == ("done", 2)
    assert report_of(journal).sent == 40


async def test_the_pace_in_force_is_in_the_journal(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    planned = Pace(singles_per_minute=6_000, singles_per_day=90_000, shared_quota=False)
    async with wechat(box, pace=planned) as slow:
        await handed(journal, slow).hand_over()
    assert pace_of(record_of(journal)) == planned
    # Whoever resumes it says the pace anew.
    await Campaign.resume(journal, channel).hand_over()
    assert pace_of(record_of(journal)) == Pace(unlimited=True)


async def test_the_default_pace_is_in_the_journal(box: Sandbox, journal: Journal) -> None:
    async with wechat(box, pace=Pace(shared_quota=False)) as plain:
        await handed(journal, plain).hand_over()
    assert pace_of(record_of(journal)) == Pace(singles_per_second=50, shared_quota=False)


async def test_failure_files_are_kept_beside_a_file(
    box: Sandbox, channel: WeChatPromoter, path: Path
) -> None:
    box.settings.failure_threshold = 1
    box.settings.refuse_group = dict.fromkeys(ids(3), 103010)
    campaign = Campaign(channel, MESSAGE, ids(60), journal=path, **QUICK)
    await campaign.hand_over()
    journal = open_journal(path).to_go_on()
    await do_part(journal, channel, SENDS)
    assert await followed(journal, channel) == "done"
    assert Path(f"{path}.group-1.failures").read_bytes()


async def test_user_tokens_that_are_here_only_are_not_handed_over(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    async with Sandbox() as box, client(box, "alipay") as channel:
        people = wallet_users(3)
        campaign = Campaign(channel, message("alipay"), people, journal=path, **QUICK)
        with pytest.raises(UsageError, match="user tokens of these recipients are in this process"):
            await campaign.hand_over()
        assert not path.exists()
        async with campaign as run:  # the plan is still there
            assert (await run.wait()).sent == 3


async def test_a_part_sends_with_the_user_tokens_that_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    async with Sandbox() as box, client(box, "alipay") as channel:
        people = wallet_users(3)
        async with Campaign(channel, message("alipay"), people, journal=path, **QUICK) as run:
            run.pause()
        journal = open_journal(path).journal
        await journal.request(Control.RUN)
        with EncryptedTokens() as tokens:
            await tokens.put((n, one["access_token"]) for n, one in enumerate(people))
            done = await do_part(journal, channel, SENDS, tokens=tokens)
            assert (done.state, done.calls) == ("done", 3)
            assert await tokens.get_many([0]) != [None]  # they are the caller's
        assert box.ledger.total == 3
