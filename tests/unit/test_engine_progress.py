"""What `progress` and the report say while a campaign runs, and when its journal fails."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest
from clocks import FakeClock
from journal_model import ModelHandle
from scripted_wechat import ScriptedWeChat, SharedJournal
from waiting import until

from promomsg import Campaign, JournalError, Report, WeChatMessage
from promomsg.engine.run import Run

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")


class Turns:
    """Lets calls through one at a time."""

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Event] = deque()

    async def wait(self) -> None:
        turn = asyncio.Event()
        self.waiting.append(turn)
        await turn.wait()

    async def come(self) -> None:
        """Returns when a call waits: the one before it is settled then, and no time has passed."""
        await until(lambda: self.waiting)  # results wait a moment for company, on the real clock

    async def let_one(self) -> None:
        """Ends the call that waits."""
        self.waiting.popleft().set()
        await self.come()


async def test_progress_has_what_was_settled_while_it_was_being_counted(clock: FakeClock) -> None:
    """An outcome that comes between two counts, and is followed by none, shows all the same."""
    turns = Turns()
    channel = ScriptedWeChat(clock)
    channel.before_single = turns.wait
    people = [str(n) for n in range(1, 5)]
    async with Campaign(
        channel,
        MESSAGE,
        people,
        journal=SharedJournal(),
        clock=clock,
        route="single",
        concurrency=1,
    ) as run:
        await turns.come()
        await turns.let_one()
        await turns.let_one()
        await clock.advance(0.2)
        after_two = run.progress
        await turns.let_one()
        await clock.advance(0.2)
        after_three = run.progress
        turns.waiting.popleft().set()
        report = await run.wait()
    assert (after_two["sent"], after_two["pending"]) == (2, 2)
    assert (after_three["sent"], after_three["pending"]) == (3, 1)
    assert report.sent == 4


async def failing(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *broken: str
) -> tuple[Campaign, Report]:
    """Five singles one after another, whose journal fails at the third result; and from then on
    in everything that is named."""
    journal = SharedJournal()
    channel = ScriptedWeChat(clock)
    settled = 0

    async def settle(self: ModelHandle, *args: Any) -> bool:
        nonlocal settled
        settled += 1
        if settled < 3:
            return await real_settle(self, *args)
        for name in broken:
            monkeypatch.setattr(ModelHandle, name, fail)
        raise JournalError("campaign.db: disk is full; free some space, then resume")

    async def fail(self: ModelHandle, *args: Any) -> Any:
        raise JournalError("campaign.db: nothing can be read")

    async def drive(self: Run) -> None:
        try:
            await real_drive(self)
        finally:
            self.ended.set()  # a crash would leave the block waiting for it for ever

    real_drive = Run.drive
    monkeypatch.setattr(Run, "drive", drive)
    real_settle = ModelHandle.settle
    monkeypatch.setattr(ModelHandle, "settle", settle)
    people = [str(n) for n in range(1, 6)]
    campaign = Campaign(
        channel, MESSAGE, people, journal=journal, clock=clock, route="single", concurrency=1
    )
    with pytest.raises(JournalError, match="disk is full"):
        async with campaign as run:
            await run.wait()
    return campaign, campaign.report


async def test_a_journal_that_fails_leaves_counts_as_it_has_them(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as they were counted last: two are sent, and the time stood still since the beginning."""
    campaign, report = await failing(clock, monkeypatch)
    assert (report.planned, report.sent, report.pending) == (5, 2, 3)
    assert "disk is full" in report.reason
    assert campaign.progress["sent"] == 2


@pytest.mark.parametrize("broken", ["counts", "groups"])
async def test_a_journal_that_cannot_be_counted_either_ends_with_its_first_error(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    campaign, report = await failing(clock, monkeypatch, broken)
    assert report.planned == 5
    assert "disk is full" in report.reason
    with pytest.raises(JournalError, match="disk is full"):
        await campaign.wait()
