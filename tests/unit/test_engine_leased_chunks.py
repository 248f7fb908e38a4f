"""What a campaign does when a lease moves on to another machine, or nearly does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from clocks import FakeClock
from journal_model import ModelHandle
from scripted_wechat import ScriptedWeChat, SharedJournal

from promomsg import Campaign, Pace, WeChatMessage
from promomsg.journal.records import Lease, Reason
from promomsg.model import Answer, Verdict

pytestmark = pytest.mark.asyncio

LEASE_LIFE = ModelHandle.lease_life

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")


def ids(count: int) -> list[str]:
    return [str(500_001 + n) for n in range(count)]


async def test_a_chunk_given_back_while_the_next_is_looked_for_is_sent_all_the_same(
    auto_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is slow to say that it has nothing more; before it does, another machine took
    the only chunk over and gave it back. What it said is out of date when it arrives."""
    journal = SharedJournal(auto_clock)
    channel = ScriptedWeChat(auto_clock)
    asked, abandoned = asyncio.Event(), asyncio.Event()
    takes = 0

    async def take(self: ModelHandle, **words: Any) -> Lease | None:
        nonlocal takes
        lease = await real_take(self, **words)
        if words["singles"]:
            takes += 1
            if takes == 2:
                assert lease is None
                asked.set()
                await abandoned.wait()
        return lease

    async def intend(self: ModelHandle, lease: Lease, seqs: Sequence[int], *rest: Any) -> bool:
        if not abandoned.is_set():
            await asked.wait()
            auto_clock._now += 2 * LEASE_LIFE  # no sleeper wakes before the whole of it has passed
            other = await real_take(self, groups=False, singles=True, idempotent=False)
            assert other is not None
            await self.release(other)
            asyncio.get_running_loop().call_soon(_later, 20, abandoned)
        return await real_intend(self, lease, seqs, *rest)

    real_take, real_intend = ModelHandle.take, ModelHandle.intend
    monkeypatch.setattr(ModelHandle, "take", take)
    monkeypatch.setattr(ModelHandle, "intend", intend)
    async with Campaign(
        channel, MESSAGE, ids(10), journal=journal, clock=auto_clock, route="single"
    ) as run:
        report = await run.wait()
    assert (report.state, report.sent, report.pending) == ("done", 10, 0)
    assert sorted(channel.reached) == ids(10)


def _later(turns: int, event: asyncio.Event) -> None:
    """Sets an event after so many turns of the loop."""
    if turns:
        asyncio.get_running_loop().call_soon(_later, turns - 1, event)
    else:
        event.set()


async def test_a_group_that_waits_for_its_pace_stays_ours(auto_clock: FakeClock) -> None:
    """The second group waits for longer than a lease lives, then is throttled: another machine
    that asks for work in the pause gets nothing, since its sender is alive."""
    journal = SharedJournal(auto_clock)
    channel = ScriptedWeChat(auto_clock, Pace(groups_per_minute=0.3))
    channel.group_answers.extend(
        [
            Answer(Verdict.ACCEPTED, msg_id="m1"),
            Answer(Verdict.THROTTLED, "45011", "slow down", retry_after=40.0),
        ]
    )
    found: list[Lease | None] = []

    async def ask() -> None:
        if len(channel.group_times) == 2:
            asking.append(asyncio.ensure_future(steal()))

    async def steal() -> None:
        await auto_clock.sleep(20.0)
        found.append(await journal.take(groups=True))

    asking: list[asyncio.Future[None]] = []
    channel.before_group = ask
    async with Campaign(
        channel, MESSAGE, ids(200), journal=journal, clock=auto_clock, max_group_size=100
    ) as run:
        report = await run.wait()
    await asyncio.gather(*asking)
    assert channel.group_times[1] - channel.group_times[0] > LEASE_LIFE
    assert found == [None]
    assert (report.state, report.sent) == ("done", 200)
    assert sorted(channel.reached) == ids(200)


async def test_a_group_that_another_machine_took_over_is_left_to_it(auto_clock: FakeClock) -> None:
    """It is not sent here as well, and the campaign ends when that one has."""
    journal = SharedJournal(auto_clock)
    channel = ScriptedWeChat(auto_clock, Pace(groups_per_minute=0.3))
    taken: list[Lease | None] = []

    async def steal() -> None:
        await auto_clock.sleep(LEASE_LIFE + 5.0)
        journal.forget_leases()
        lease = await journal.take(groups=True)
        taken.append(lease)
        assert lease is not None
        assert await journal.handle.intend_group(lease, auto_clock.time())
        await auto_clock.sleep(LEASE_LIFE / 2)
        reason = Reason("45028", "no quota")
        await journal.handle.refuse_group(lease, reason, auto_clock.time(), everybody=False)
        await journal.handle.release(lease)

    async with Campaign(
        channel, MESSAGE, ids(200), journal=journal, clock=auto_clock, max_group_size=100
    ) as run:
        other = asyncio.ensure_future(steal())
        report = await run.wait()
        await other
    [lease] = taken
    assert lease is not None
    assert len(channel.group_times) == 1
    assert len(channel.reached) == 100
    assert (report.state, report.sent, report.by_code) == ("done", 100, {"45028": 100})


async def test_one_slow_answer_in_a_hundred_does_not_hold_up_the_others(
    auto_clock: FakeClock,
) -> None:
    """30 ms, and 30 s for one in a hundred: each chunk has some of these. As many calls as the
    campaign may have are out all the time until the list ends."""
    count, concurrency = 6_000, 64
    channel = ScriptedWeChat(auto_clock)
    made = out = 0
    busy: list[int] = []

    async def answer() -> None:
        nonlocal made, out
        made += 1
        slow = made % 100 == 0
        out += 1
        if concurrency * 2 < made < count - concurrency * 2:
            busy.append(out)
        await auto_clock.sleep(30.0 if slow else 0.03)
        out -= 1

    channel.before_single = answer
    journal = SharedJournal(auto_clock)
    began = auto_clock.monotonic()
    async with Campaign(
        channel,
        MESSAGE,
        ids(count),
        journal=journal,
        clock=auto_clock,
        concurrency=concurrency,
        route="single",
    ) as run:
        report = await run.wait()
    assert (report.state, report.sent) == ("done", count)
    assert sum(busy) / len(busy) >= 0.9 * concurrency
    mean = 0.99 * 0.03 + 0.01 * 30
    assert auto_clock.monotonic() - began <= count * mean / concurrency / 0.9 + 30.0
