"""Several senders on one journal: one that stands still, one that stops all, and a journal that is
away for a while. (Each `Sender` stands for a process of its own.)"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import anyio
import pytest
from clocks import FakeClock
from journal_model import ModelHandle, ModelJournal
from journal_rows import record, row
from scripted_wechat import ScriptedWeChat

from promomsg import PollPolicy, WeChatMessage
from promomsg.engine.prepare.campaign_start import RunContext
from promomsg.engine.run import Run
from promomsg.engine.settings import Settings, settings_of
from promomsg.journal.records import Control, Lease, SendResult
from promomsg.journal.unreachable import JournalUnreachable, until_reached
from promomsg.model import Answer, Delivery, Verdict
from promomsg.states import GroupState
from promomsg.transport.last_check import LastCheck, asks_last_check

pytestmark = pytest.mark.asyncio

PERSONAL = WeChatMessage(1, {"title": "{name}"}, "pages/index/index")
PLAIN = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
LIFE = ModelHandle.lease_life


class ServerHandle(ModelHandle):
    """A journal on a server: while it is away, whatever it is asked for is repeated.

    Attributes:
        away: whether it cannot be reached.
        lost_answers: whether it does what it is asked for first, and only its answers are lost.
        tries: how often it was asked in vain.
        intents: how many singles were intended, by call.
    """

    clock: FakeClock
    away = False
    lost_answers = False
    tries = 0

    async def _reached(self, call: Callable[[], Any]) -> Any:
        async def one_try() -> Any:
            if self.away and not self.lost_answers:
                self.tries += 1
                raise JournalUnreachable("the connection is refused")
            answer = await call()
            if self.away:
                self.tries += 1
                raise JournalUnreachable("the connection was cut")
            return answer

        return await until_reached(one_try, life=self.lease_life, clock=self.clock)

    async def take(self, **words: Any) -> Lease | None:
        return await self._reached(lambda: ModelHandle.take(self, **words))

    async def renew(self, leases: Sequence[Lease]) -> frozenset[int]:
        return await self._reached(lambda: ModelHandle.renew(self, leases))

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        return await self._reached(lambda: ModelHandle.intend(self, lease, seqs, at, day))

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        return await self._reached(lambda: ModelHandle.settle(self, lease, results))

    async def control(self) -> Any:
        return await self._reached(lambda: ModelHandle.control(self))


class Sender:
    """One process: a run of its own, on the journal of all."""

    def __init__(
        self,
        journal: ModelJournal,
        clock: FakeClock,
        *,
        channel: ScriptedWeChat | None = None,
        journal_clock: FakeClock | None = None,
        **options: Any,
    ) -> None:
        self.channel = channel or ScriptedWeChat(clock)
        store = journal._store
        assert store is not None
        self.handle = ServerHandle(journal, store, journal_clock or clock, write=True)
        self.handle.clock = clock
        settings: Settings = settings_of({"concurrency": 4, **options})
        context = RunContext(
            handle=self.handle,
            channel=self.channel,
            compiled=self.channel.compile_snapshot(store.record.message),
            settings=settings,
            tokens=None,
            counts=store.counts(),
            groups=[],
            journal=journal,
            rows=journal.rows_later(),
        )
        self.run = Run(context, clock=clock, rng=Random(1))

    async def work(self) -> None:
        await self.run.drive()


async def planned(
    count: int, clock: FakeClock, *, group: bool = False, chunk_size: int = 100
) -> ModelJournal:
    """A campaign of so many whose plan is complete; nobody has sent yet."""
    journal = ModelJournal(clock)
    message = ScriptedWeChat(clock).compile(PLAIN if group else PERSONAL).snapshot()
    about = record(message=message, planned_at=clock.time(), account="wx0001")
    handle = await journal.create(about)
    await handle.add_rows(
        [row(n, id=str(n), word=None if group else f"n{n}") for n in range(count)]
    )
    if group:
        await handle.make_groups(None, [count])
    await handle.seal(about, chunk_size=chunk_size)
    await handle.close()
    return journal


def states(journal: ModelJournal) -> str:
    assert journal._store is not None
    return "".join(row.state.value[0] for row in journal._store.in_order())


class AtTheGate(ScriptedWeChat):
    """Stands still between the intents and the gate, from its first call on."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.waiting = 0
        self.go_on = anyio.Event()

    @asks_last_check
    async def deliver(
        self, compiled: Any, single_send: Any, last_check: LastCheck | None = None
    ) -> Answer:
        self.waiting += 1
        await self.go_on.wait()
        return await super().deliver(compiled, single_send, last_check)


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


async def test_all_leases_are_renewed_by_one_call_five_times_in_their_life(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, int]] = []

    async def renew(self: ModelHandle, leases: Sequence[Lease]) -> frozenset[int]:
        asked.append((clock.monotonic(), len(leases)))
        return await real_renew(self, leases)

    real_renew = ModelHandle.renew
    monkeypatch.setattr(ModelHandle, "renew", renew)
    journal = await planned(1_500, clock)
    sender = Sender(journal, clock, concurrency=400)
    hold = anyio.Event()
    sender.channel.before_single = hold.wait
    began = clock.monotonic()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sender.work)
        await clock.advance_until(lambda: len(sender.run._leases._held) >= 9, 0.001)
        await clock.advance(2 * LIFE)
        assert [at - began for at, _ in asked] == pytest.approx(
            [LIFE / 5 * n for n in range(1, 11)]
        )
        assert {count for _, count in asked} == {9}
        hold.set()
        await clock.advance_until(sender.run.ended.is_set, 0.01)
    assert set(states(journal)) == {"s"}


@pytest.mark.parametrize("lost_answers", [False, True])
async def test_a_journal_that_is_away_for_less_than_a_lease_costs_no_outcome(
    clock: FakeClock, lost_answers: bool
) -> None:
    journal = await planned(200, clock)
    sender = Sender(journal, clock)
    sender.channel.before_single = lambda: clock.sleep(1.0)
    handle = sender.handle
    handle.lost_answers = lost_answers
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sender.work)
        await clock.advance(5.5)
        before = len(sender.channel.single_times)
        handle.away = True
        await clock.advance(0.1 * LIFE)
        # Calls that were out are back, those intended before have gone, and nobody else has.
        assert before <= len(sender.channel.single_times) <= before + 8
        out = len(sender.channel.single_times)
        await clock.advance(0.5 * LIFE)
        assert len(sender.channel.single_times) == out
        assert handle.tries > 0
        handle.away = False
        await clock.advance_until(sender.run.ended.is_set, 0.5)
    assert sender.run.error is None
    assert set(states(journal)) == {"s"}
    assert len(sender.channel.single_times) == 200


async def test_a_journal_that_stays_away_for_longer_than_a_lease_ends_the_run(
    clock: FakeClock,
) -> None:
    journal = await planned(200, clock)
    sender = Sender(journal, clock)
    sender.channel.before_single = lambda: clock.sleep(1.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sender.work)
        await clock.advance(5.5)
        sender.handle.away = True
        await clock.advance(LIFE - 1.0)
        assert not sender.run.ended.is_set()
        await clock.advance(2.0)
    assert isinstance(sender.run.error, JournalUnreachable)
    other = Sender(journal, clock)
    await clock.advance(LIFE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.work)
        await clock.advance_until(other.run.ended.is_set, 0.5)
    called = len(sender.channel.single_times) + len(other.channel.single_times)
    unknown = states(journal).count("u")
    assert set(states(journal)) == {"s", "u"}
    assert unknown <= 8
    assert called <= 200


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
