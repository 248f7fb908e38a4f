"""Several senders on one journal: one that stands still, one that died, and one that stops all. (Each
`Sender` stands for a process of its own.)"""

from __future__ import annotations

from collections import deque

import anyio
import pytest
from clocks import FakeClock
from many_senders import LIFE, AtTheGate, Sender, ServerHandle, planned, states
from scripted_wechat import ScriptedWeChat

from promomsg import PollPolicy
from promomsg.journal.records import Control
from promomsg.model import Answer, Delivery, Verdict
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio


async def test_two_senders_share_a_campaign_and_nobody_is_sent_to_twice(
    auto_clock: FakeClock,
) -> None:
    journal = await planned(400, auto_clock)
    senders = [Sender(journal, auto_clock) for _ in range(2)]
    for sender in senders:
        sender.channel.before_single = lambda: auto_clock.sleep(0.05)
    async with anyio.create_task_group() as tasks:
        for sender in senders:
            tasks.start_soon(sender.work)
    reached = [sender.channel.reached for sender in senders]
    assert all(reached)
    assert sorted(reached[0] + reached[1]) == sorted(str(n) for n in range(400))
    assert set(states(journal)) == {"s"}


async def test_a_sender_that_has_nothing_to_take_ends_when_the_campaign_does(
    clock: FakeClock,
) -> None:
    """The other has all there is, and is slow."""
    journal = await planned(8, clock)
    slow, idle = Sender(journal, clock), Sender(journal, clock)
    slow.channel.before_single = lambda: clock.sleep(3 * LIFE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.work)
        await clock.settle()
        tasks.start_soon(idle.work)
        await clock.advance(2 * LIFE)
        assert not idle.run.ended.is_set()
        await clock.advance_until(slow.run.ended.is_set, 0.5)
        await clock.advance(1.5)
        assert idle.run.ended.is_set()
    assert idle.channel.reached == []
    assert idle.run.report_now().sent == 8
    assert states(journal) == "s" * 8


async def test_a_sender_that_has_nothing_to_take_takes_over_from_one_that_died(
    clock: FakeClock,
) -> None:
    journal = await planned(12, clock)
    store = journal._store
    assert store is not None
    dead = ServerHandle(journal, store, clock, write=True)
    dead.clock = clock
    lease = await dead.take(groups=False, singles=True, idempotent=False)
    assert lease is not None
    assert await dead.intend(lease, [0, 1, 2], clock.time(), "2026-11-24")
    other = Sender(journal, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.work)
        await clock.advance(LIFE - 1)
        assert states(journal) == "iii" + "p" * 9
        await clock.advance_until(other.run.ended.is_set, 0.5)
    assert states(journal) == "uuu" + "s" * 9
    assert other.run.report_now().state == "done"


async def test_a_cancellation_reaches_a_sender_that_waits_for_others(clock: FakeClock) -> None:
    journal = await planned(8, clock)
    slow, idle = Sender(journal, clock), Sender(journal, clock)
    slow.channel.before_single = lambda: clock.sleep(5.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.work)
        await clock.settle()
        tasks.start_soon(idle.work)
        await clock.advance(1.0)
        await journal.request(Control.CANCEL)
        await clock.advance_until(idle.run.ended.is_set, 0.5)
        await clock.advance_until(slow.run.ended.is_set, 0.5)
    assert set(states(journal)) <= {"s", "c"}


async def test_a_process_that_stood_still_past_its_lease_calls_nobody_it_had_intended(
    clock: FakeClock,
) -> None:
    """It wakes with intents in hand, between the intent and the first byte. Another sender has
    taken the chunk over meanwhile."""
    journal = await planned(12, clock)
    still = FakeClock(start=clock.time())
    gate = AtTheGate(still)
    frozen = Sender(journal, still, channel=gate, journal_clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(frozen.work)
        await clock.settle()
        await clock.advance(LIFE + 1)
        other = Sender(journal, clock)
        tasks.start_soon(other.work)
        await clock.advance_until(other.run.ended.is_set, 0.1)
        taken_over = states(journal)
        still._now += LIFE + 1  # it wakes: the gate comes before any timer
        gate.go_on.set()
        await still.advance_until(frozen.run.ended.is_set, 0.1)
    # Seven were intended, four of them were at the gate, and none was called.
    assert gate.single_times == []
    assert sorted(other.channel.reached) == ["10", "11", "7", "8", "9"]
    assert taken_over == states(journal) == "uuuuuuusssss"


async def test_a_process_that_stood_still_for_less_than_anybody_noticed_goes_on(
    clock: FakeClock,
) -> None:
    journal = await planned(12, clock)
    still = FakeClock(start=clock.time())
    gate = AtTheGate(still)
    frozen = Sender(journal, still, channel=gate, journal_clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(frozen.work)
        await clock.settle()
        await clock.advance(LIFE + 1)
        still._now += LIFE + 1
        gate.go_on.set()
        await still.advance_until(frozen.run.ended.is_set, 0.1)
    assert sorted(gate.reached) == sorted(str(n) for n in range(12))
    assert states(journal) == "s" * 12


async def test_answers_that_come_after_the_chunk_was_taken_over_are_kept(clock: FakeClock) -> None:
    journal = await planned(12, clock)
    still = FakeClock(start=clock.time())
    slow = ScriptedWeChat(still)
    answered = anyio.Event()
    slow.before_single = answered.wait
    slow.single_answers.extend([Answer(Verdict.FAILED, "40003", "invalid openid")])
    frozen = Sender(journal, still, channel=slow, journal_clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(frozen.work)
        await clock.settle()
        await clock.advance(LIFE + 1)
        other = Sender(journal, clock)
        tasks.start_soon(other.work)
        await clock.advance_until(other.run.ended.is_set, 0.1)
        taken_over = states(journal)
        still._now += LIFE + 1
        answered.set()
        await still.advance_until(frozen.run.ended.is_set, 0.1)
    assert taken_over == "uuuuuuusssss"
    # Four calls were out: what they came to is kept. The three behind them were not called.
    assert len(slow.single_times) == 4
    assert sorted(states(journal)) == sorted("fsss" + "uuu" + "sssss")
    assert journal._store is not None
    assert journal._store.counts().by_code == {"40003": 1, "INTERRUPTED": 3}


async def test_one_senders_halt_stops_the_others_with_the_same_code(clock: FakeClock) -> None:
    journal = await planned(3_000, clock)
    senders = [Sender(journal, clock) for _ in range(2)]
    for sender in senders:
        sender.channel.before_single = lambda: clock.sleep(0.05)
    async with anyio.create_task_group() as tasks:
        for sender in senders:
            tasks.start_soon(sender.work)
        await clock.advance(2.0)
        senders[0].channel.single_answers.append(Answer(Verdict.HALT, "48001", "unauthorized"))
        await clock.advance_until(lambda: all(s.run.ended.is_set() for s in senders), 0.05)
    for sender in senders:
        halt = sender.run.control.halt
        assert halt is not None
        assert (halt.code, halt.detail) == ("48001", "unauthorized")
        assert sender.run.report_now().state == "halted"
    assert journal._store is not None
    assert journal._store.record.halted == "48001: unauthorized"
    assert set(states(journal)) == {"s", "p"}
    # And whoever begins now sends nothing, until it is resumed.
    third = Sender(journal, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(third.work)
        await clock.advance_until(third.run.ended.is_set, 0.05)
    assert len(third.channel.single_times) <= 8
    await third.handle.resume(clock.time())
    fourth = Sender(journal, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fourth.work)
        await clock.advance_until(fourth.run.ended.is_set, 0.5)
    assert set(states(journal)) == {"s"}


async def test_a_used_up_day_parks_every_sender_until_it_is_over_or_resumed(
    clock: FakeClock,
) -> None:
    journal = await planned(3_000, clock)
    senders = [Sender(journal, clock, on_daily_quota="wait") for _ in range(2)]
    for sender in senders:
        sender.channel.before_single = lambda: clock.sleep(0.05)
    async with anyio.create_task_group() as tasks:
        for sender in senders:
            tasks.start_soon(sender.work)
        await clock.advance(1.0)
        senders[0].channel.single_answers.append(Answer(Verdict.HALT, "45009", "used up"))
        await clock.advance(2.0)
        out = [len(sender.channel.single_times) for sender in senders]
        await clock.advance(60.0)
        assert [len(sender.channel.single_times) for sender in senders] == out
        parked_until = (await senders[0].handle.control()).parked_until
        assert parked_until is not None
        assert [sender.run.control.waits_until for sender in senders] == [parked_until] * 2
        await senders[1].handle.resume(clock.time())
        await clock.advance_until(lambda: all(s.run.ended.is_set() for s in senders), 0.5)
    assert set(states(journal)) == {"s"}


async def test_two_who_poll_one_group_end_it_once(clock: FakeClock) -> None:
    """The counts do not add up before the third poll at 100, whoever makes it."""
    poll = PollPolicy(first_after=20.0, every=30.0)
    journal = await planned(100, clock, group=True)
    assert journal._store is not None
    [group] = journal._store.groups
    first = Sender(journal, clock, poll=poll)
    short = Delivery("m1", percent=100, send_cnt=90, fail_cnt=0)
    looks = deque([Delivery("m1", percent=50, send_cnt=50, fail_cnt=0), short])
    first.channel.looks = {"m1": looks}
    second = Sender(journal, clock, poll=poll)
    second.channel.looks = {"m1": looks}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.work)
        await clock.advance_until(lambda: group.row.state is GroupState.ACCEPTED, 0.1)
        tasks.start_soon(second.work)
        ended = [first.run.ended, second.run.ended]
        await clock.advance_until(lambda: all(e.is_set() for e in ended), 1.0)
    assert group.row.state is GroupState.DONE
    # 50, then 100 twice, then the one that ends it: those that both made count once.
    assert (group.row.polls, group.row.polls_at_100) == (4, 2)
    assert len(journal._store.finals) == 100
    assert states(journal) == "u" * 100


async def test_a_group_that_is_accepted_after_it_was_taken_for_lost_is_said(
    clock: FakeClock,
) -> None:
    journal = await planned(100, clock, group=True)
    still = FakeClock(start=clock.time())
    slow = ScriptedWeChat(still)
    answered = anyio.Event()
    slow.before_group = answered.wait
    frozen = Sender(journal, still, channel=slow, journal_clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(frozen.work)
        await clock.settle()
        await clock.advance(LIFE + 1)
        other = Sender(journal, clock)
        tasks.start_soon(other.work)
        await clock.advance_until(other.run.ended.is_set, 0.1)
        still._now += LIFE + 1
        answered.set()
        await still.advance_until(frozen.run.ended.is_set, 0.1)
    assert (len(slow.group_times), other.channel.group_times) == (1, [])
    assert states(journal) == "u" * 100
    assert journal._store is not None
    assert journal._store.record.warnings == [
        "group 1 was taken for lost, and has been accepted after all as m1: "
        "`promomsg reconcile --adopt` follows it on"
    ]
