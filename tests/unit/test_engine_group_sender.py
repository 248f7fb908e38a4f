"""Group sends when something comes between: a throttle, a pause, a bug, a client that is closed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from clocks import FakeClock
from journal_model import ModelHandle
from scripted_wechat import ScriptedWeChat, SharedJournal

from promomsg import Campaign, Halted, JournalError, NotSent, Pace, UsageError, WeChatMessage
from promomsg.journal.records import Lease
from promomsg.model import Answer, Verdict
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")


def ids(count: int) -> list[str]:
    return [str(500_001 + n) for n in range(count)]


def campaign(channel: ScriptedWeChat, people: int = 200, **options: Any) -> Campaign:
    """Groups of 100."""
    given = {"journal": SharedJournal(), "max_group_size": 100, **options}
    return Campaign(channel, MESSAGE, ids(people), clock=channel.clock, **given)


async def test_a_hold_that_comes_while_a_group_is_written_down_sends_it_later(
    auto_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes back to planned, as a call that was never made."""
    channel = ScriptedWeChat(auto_clock)
    channel.group_answers.append(Answer(Verdict.THROTTLED, "45011", "slow", retry_after=30.0))
    written = asyncio.Event()
    intents = 0

    async def intend_group(self: ModelHandle, lease: Lease, at: float) -> bool:
        nonlocal intents
        intents += 1
        ok = await real(self, lease, at)
        if intents == 2:
            written.set()
            for _ in range(1_000):
                if channel.pacer.groups.held_until is not None:
                    break
                await asyncio.sleep(0)
        return ok

    real = ModelHandle.intend_group
    monkeypatch.setattr(ModelHandle, "intend_group", intend_group)
    channel.before_group = written.wait
    async with campaign(channel, groups_in_flight=2) as run:
        report = await run.wait()
    first, *later = channel.group_times
    assert len(later) == 2
    assert min(later) >= first + 30.0
    assert (report.state, report.sent) == ("done", 200)
    assert sorted(channel.reached) == ids(200)
    assert sorted({o.attempts for o in report.outcomes()}) == [1, 2]


async def test_a_pause_while_a_group_waits_for_its_pace_holds_it(auto_clock: FakeClock) -> None:
    channel = ScriptedWeChat(auto_clock, Pace(groups_per_minute=1))
    async with campaign(channel) as run:
        await auto_clock.sleep(20.0)
        run.pause()
        await auto_clock.sleep(300.0)
        paused_calls, state = len(channel.group_times), run.progress["state"]
        run.resume_sending()
        report = await run.wait()
    assert (paused_calls, state) == (1, "paused")
    assert (report.state, report.sent, len(channel.group_times)) == ("done", 200, 2)


async def test_a_bug_costs_one_group_and_not_the_campaign(
    auto_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    channel = ScriptedWeChat(auto_clock)
    channel.group_answers.append(ZeroDivisionError("token=t"))
    with caplog.at_level(logging.ERROR):
        async with campaign(channel) as run:
            report = await run.wait()
            in_flight = run.in_flight
    assert (report.state, report.sent, report.unknown) == ("done", 100, 100)
    assert in_flight == 0
    assert [g.state for g in report.groups] == [GroupState.UNKNOWN, GroupState.DONE]
    assert all("ZeroDivisionError" in o.detail for o in report.unknowns())
    assert "token=t" not in caplog.text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UsageError("https://api: this client was closed; make a new one"), "CLIENT"),
        (Halted("40125", "the appsecret is wrong"), "40125"),
    ],
)
async def test_an_account_that_cannot_send_halts_before_a_group_is_intended(
    auto_clock: FakeClock, error: Exception, reason: str
) -> None:
    channel = ScriptedWeChat(auto_clock)
    channel.prepared.extend([error] * 4)
    async with campaign(channel) as run:
        report = await run.wait()
    assert (report.state, report.pending, report.unknown) == ("halted", 200, 0)
    assert report.reason.startswith(reason)
    assert channel.group_times == []
    assert {g.state for g in report.groups} == {GroupState.PLANNED}


async def test_no_token_for_a_while_is_waited_out_and_for_long_it_halts(
    auto_clock: FakeClock,
) -> None:
    channel = ScriptedWeChat(auto_clock)
    channel.prepared.extend([NotSent("no access token: connection refused")] * 3)
    async with campaign(channel) as run:
        report = await run.wait()
    assert (report.state, report.sent) == ("done", 200)

    channel = ScriptedWeChat(auto_clock)
    channel.prepared.extend([NotSent("no access token: connection refused")] * 100)
    async with campaign(channel) as run:
        report = await run.wait()
    assert (report.state, report.pending) == ("halted", 200)
    assert "connection refused" in report.reason
    assert "Fix this, then resume" in report.reason
    assert channel.group_times == []
    assert len(channel.prepared) == 92


async def test_a_group_without_members_is_never_sent(
    auto_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged journal ends the campaign: an empty list must never become a call."""

    async def nobody(self: ModelHandle, group_no: int) -> list[str]:
        return []

    monkeypatch.setattr(ModelHandle, "group_members", nobody)
    channel = ScriptedWeChat(auto_clock)
    with pytest.raises(JournalError, match="has no members left"):
        async with campaign(channel) as run:
            await run.wait()
    assert channel.group_times == []
