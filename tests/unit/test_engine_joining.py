"""What one process does of a campaign that others send too. (Each part stands for a process of its
own.)"""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio
import pytest
from clocks import FakeClock
from journal_model import ModelHandle, ModelJournal
from journal_rows import record, row
from scripted_wechat import ScriptedWeChat

from promomsg import JournalError, Pace, UsageError, WeChatMessage
from promomsg.engine.joining import Part, PartDone, do_part, pace_of
from promomsg.journal.records import Control
from promomsg.model import Answer, Code, Delivery, State, Verdict
from promomsg.transport.last_check import asks_last_check

pytestmark = pytest.mark.asyncio

PLAIN = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
SENDS = Part(singles=True, groups=True)
POLLS = Part(polls=True)
LIFE = ModelHandle.lease_life


class OfMany(ModelJournal):
    """A journal that any number of processes may have open to send."""

    async def open(self, **words: Any) -> ModelHandle:
        assert self._store is not None
        return ModelHandle(self, self._store, self._clock, write=True)


async def planned(
    count: int, clock: FakeClock, *, group: bool = False, chunk_size: int = 100, **settings: Any
) -> OfMany:
    """A campaign of so many whose plan is complete; nobody has sent yet."""
    journal = OfMany(clock)
    snapshot = ScriptedWeChat(clock).compile(PLAIN).snapshot()
    about = record(message=snapshot, planned_at=clock.time(), account="wx0001", settings=settings)
    handle = await journal.create(about)
    await handle.add_rows([row(n, id=str(n)) for n in range(count)])
    if group:
        await handle.make_groups(None, [count])
    await handle.seal(about, chunk_size=chunk_size)
    await handle.close()
    return journal


async def part(
    journal: OfMany,
    clock: FakeClock,
    what: Part = SENDS,
    *,
    channel: ScriptedWeChat | None = None,
    **words: Any,
) -> tuple[PartDone, list[str]]:
    """Does a part; what came of it, and whom it reached."""
    channel = channel or ScriptedWeChat(clock)
    done = await do_part(journal, channel, what, clock=clock, **words)
    return done, channel.reached


async def held_by_another(journal: OfMany, clock: FakeClock) -> Any:
    """What another machine has taken and works on."""
    other = await journal.open()
    return await other.take(groups=False, singles=True, idempotent=False)


async def asks(journal: OfMany, control: Control) -> None:
    handle = await journal.open()
    await handle.set_control(control)


async def test_parts_share_a_campaign_and_nobody_is_sent_to_twice(auto_clock: FakeClock) -> None:
    journal = await planned(400, auto_clock)
    found: list[tuple[PartDone, list[str]]] = []

    async def one() -> None:
        channel = ScriptedWeChat(auto_clock)
        channel.before_single = lambda: auto_clock.sleep(0.05)
        found.append(await part(journal, auto_clock, channel=channel, concurrency=4))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)
    reached = [people for _, people in found]
    assert all(reached)
    assert sorted(reached[0] + reached[1], key=int) == [str(n) for n in range(400)]
    assert [done.calls for done, _ in found] == [len(people) for people in reached]
    assert found[-1][0].state == "done"


async def test_what_others_hold_is_not_waited_for(auto_clock: FakeClock) -> None:
    """Another one sends it; when that ends is not this process's to find out."""
    journal = await planned(8, auto_clock)
    await held_by_another(journal, auto_clock)
    began = auto_clock.monotonic()
    done, reached = await part(journal, auto_clock)
    assert reached == []
    assert (done.state, done.work_left, done.calls) == ("sending", True, 0)
    assert auto_clock.monotonic() - began < 1


async def test_a_lease_of_another_goes_over_once_it_has_run_out(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await held_by_another(journal, auto_clock)
    await auto_clock.sleep(LIFE + 1)
    done, reached = await part(journal, auto_clock)
    assert (done.state, len(reached)) == ("done", 8)


@pytest.mark.parametrize("what", [SENDS, Part(singles=True), POLLS])
async def test_a_halted_campaign_is_left_alone(what: Part, auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await (await journal.open()).halt("48001", "no right to send")
    done, reached = await part(journal, auto_clock, what)
    assert reached == []
    assert (done.state, done.halted, done.work_left) == ("halted", "48001: no right to send", True)
    assert (await (await journal.open()).control()).halted is not None


async def test_a_paused_campaign_stays_paused(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await asks(journal, Control.PAUSE)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.work_left, reached) == ("paused", True, [])
    assert (await (await journal.open()).control()).requested is Control.PAUSE


async def test_a_campaign_that_waits_for_the_day_is_left_until_then(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    until = auto_clock.time() + 3600
    await (await journal.open()).park(until)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.parked_until, reached) == ("waiting", until, [])
    await auto_clock.sleep(3601)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.parked_until, len(reached)) == ("done", None, 8)


async def test_who_is_pending_is_cancelled_when_that_is_asked_for(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    await asks(journal, Control.CANCEL)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.work_left, reached) == ("cancelled", False, [])


async def test_a_pause_ends_a_part_and_calls_in_flight_finish(clock: FakeClock) -> None:
    journal = await planned(40, clock)
    channel = ScriptedWeChat(clock)
    channel.before_single = lambda: clock.sleep(2)
    found: list[PartDone] = []

    async def one() -> None:
        found.append((await part(journal, clock, channel=channel, concurrency=2))[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await clock.advance(1)
        await asks(journal, Control.PAUSE)
        await clock.advance_until(lambda: found, 0.5)
    assert found[0].state == "paused"
    assert 2 <= found[0].calls == len(channel.reached) < 40
    assert found[0].work_left


async def test_it_ends_when_its_time_is_over_and_others_can_take_what_is_left(
    auto_clock: FakeClock,
) -> None:
    journal = await planned(40, auto_clock)
    channel = ScriptedWeChat(auto_clock)
    channel.before_single = lambda: auto_clock.sleep(2)
    began = auto_clock.monotonic()
    what = Part(singles=True, seconds=7)
    done, reached = await part(journal, auto_clock, what, channel=channel, concurrency=2)
    assert 7 <= auto_clock.monotonic() - began <= 10  # who was intended is called
    assert 0 < done.calls == len(reached) < 40
    assert (done.state, done.work_left) == ("sending", True)
    lease = await held_by_another(journal, auto_clock)
    assert len(lease.single_sends) == 40 - len(reached)


async def test_it_ends_when_it_is_told_to(clock: FakeClock) -> None:
    journal = await planned(40, clock)
    channel = ScriptedWeChat(clock)
    channel.before_single = lambda: clock.sleep(2)
    stop = anyio.Event()
    found: list[PartDone] = []

    async def one() -> None:
        found.append((await part(journal, clock, channel=channel, concurrency=2, stop=stop))[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await clock.advance(1)
        stop.set()
        await clock.advance(2)
    assert (found[0].state, found[0].calls) == ("sending", len(channel.reached))
    assert len(channel.single_times) == len(channel.reached)


async def test_a_cancelled_part_lets_calls_in_flight_finish(clock: FakeClock) -> None:
    journal = await planned(40, clock)
    channel = ScriptedWeChat(clock)
    channel.before_single = lambda: clock.sleep(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: part(journal, clock, channel=channel, concurrency=2))
        await clock.advance(1)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await clock.advance(3)
    assert 0 < len(channel.single_times) == len(channel.reached) < 40
    counts = await (await journal.open()).counts()
    assert (counts.sent, counts.unknown) == (len(channel.reached), 0)
    assert await held_by_another(journal, clock) is not None


async def test_what_stops_one_stops_the_others(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    channel = ScriptedWeChat(auto_clock)
    channel.single_answers.append(Answer(Verdict.HALT, "48001", "no right to send"))
    done, _ = await part(journal, auto_clock, channel=channel, concurrency=1)
    assert (done.state, done.halted) == ("halted", "48001: no right to send")
    done, reached = await part(journal, auto_clock)
    assert (done.state, reached) == ("halted", [])


async def test_a_used_up_day_is_waited_out_by_nobody_and_known_to_all(
    auto_clock: FakeClock,
) -> None:
    journal = await planned(8, auto_clock, on_daily_quota="wait")
    channel = ScriptedWeChat(auto_clock)
    channel.single_answers.append(Answer(Verdict.HALT, "45009", "the day is used up"))
    began = auto_clock.monotonic()
    done, _ = await part(journal, auto_clock, channel=channel, concurrency=1)
    assert (done.state, done.halted) == ("waiting", None)
    assert done.parked_until is not None
    assert done.parked_until > auto_clock.time()
    assert auto_clock.monotonic() - began < 60
    done, reached = await part(journal, auto_clock)
    assert (done.state, reached) == ("waiting", [])


async def test_groups_are_sent_by_one_and_polled_by_another(auto_clock: FakeClock) -> None:
    journal = await planned(60, auto_clock, group=True)
    channel = ScriptedWeChat(auto_clock)
    done, _ = await part(journal, auto_clock, channel=channel)
    assert (done.state, done.calls, done.work_left) == ("following", 1, False)
    assert done.next_poll_at is not None
    wait = done.next_poll_at - auto_clock.time()
    assert wait > 0

    early, _ = await part(journal, auto_clock, POLLS, channel=channel)
    assert (early.state, early.next_poll_at) == ("following", done.next_poll_at)

    await auto_clock.sleep(wait)
    late, _ = await part(journal, auto_clock, POLLS, channel=channel)
    assert (late.state, late.next_poll_at, late.calls) == ("done", None, 0)


async def test_a_poll_that_does_not_end_a_group_says_when_the_next_one_is_due(
    auto_clock: FakeClock,
) -> None:
    journal = await planned(60, auto_clock, group=True)
    channel = ScriptedWeChat(auto_clock)
    half = Delivery("m1", percent=50, send_cnt=30, fail_cnt=0)
    channel.looks["m1"] = deque([half])
    done, _ = await part(journal, auto_clock, channel=channel)
    assert done.next_poll_at is not None
    await auto_clock.sleep(done.next_poll_at - auto_clock.time())
    began = auto_clock.monotonic()
    polled, _ = await part(journal, auto_clock, POLLS, channel=channel)
    assert polled.state == "following"
    assert polled.next_poll_at is not None
    assert polled.next_poll_at > done.next_poll_at
    assert auto_clock.monotonic() - began < 1


async def test_a_paused_campaign_is_polled_and_a_halted_one_is_not(auto_clock: FakeClock) -> None:
    for stopped in (False, True):
        journal = await planned(60, auto_clock, group=True)
        channel = ScriptedWeChat(auto_clock)
        await part(journal, auto_clock, channel=channel)
        await auto_clock.sleep(3600)
        if stopped:
            await (await journal.open()).halt("48001", "no right to send")
        else:
            await asks(journal, Control.PAUSE)
        done, _ = await part(journal, auto_clock, POLLS, channel=channel)
        assert done.state == ("halted" if stopped else "done")


async def test_polls_alone_send_nothing(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock)
    done, reached = await part(journal, auto_clock, POLLS)
    assert (done.state, done.work_left, reached) == ("sending", True, [])


async def test_groups_alone_are_sent_though_singles_are_left(auto_clock: FakeClock) -> None:
    """And an outage's probe need not wait for singles that this part does not send."""
    journal = await planned(60, auto_clock, group=True)
    channel = ScriptedWeChat(auto_clock)
    channel.group_answers.extend(Answer(Verdict.RETRY, Code.NOT_SENT) for _ in range(3))
    done, reached = await part(journal, auto_clock, Part(groups=True), channel=channel)
    assert (done.state, len(reached)) == ("following", 60)


async def test_concurrency_is_this_processs_own(auto_clock: FakeClock) -> None:
    journal = await planned(40, auto_clock, concurrency=20)
    channel = ScriptedWeChat(auto_clock)
    at_once = [0, 0]

    async def call() -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await auto_clock.sleep(1)
        at_once[0] -= 1

    channel.before_single = call
    await part(journal, auto_clock, channel=channel, concurrency=3)
    assert at_once == [0, 3]


async def test_another_account_sends_nothing_of_it(auto_clock: FakeClock) -> None:
    """Not even when nobody was sent to yet: that the account was wrong is a person's to say."""
    journal = await planned(8, auto_clock)
    store = journal._store
    assert store is not None
    store.record.account = "wx0002"
    with pytest.raises(JournalError, match="of the account wx0002"):
        await part(journal, auto_clock)


async def test_user_tokens_are_needed_where_recipients_have_them(
    auto_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedWeChat, "needs_tokens", True)
    journal = await planned(8, auto_clock)
    with pytest.raises(UsageError, match="user tokens are not kept in the journal"):
        await part(journal, auto_clock)


async def test_the_campaigns_pace_is_for_a_channel_that_has_none(auto_clock: FakeClock) -> None:
    kept = {"singles_per_second": 4.0, "groups_per_minute": 3.0}
    journal = await planned(8, auto_clock, pace=kept)
    store = journal._store
    assert store is not None
    assert pace_of(store.record) == Pace(singles_per_second=4.0, groups_per_minute=3.0)
    asked: list[bool] = []

    class Asked(ScriptedWeChat):
        async def advise(self) -> None:
            asked.append(True)

    channel = Asked(auto_clock, Pace())
    await part(journal, auto_clock, channel=channel)
    assert (channel.pacer.pace.singles_per_second, asked) == (4.0, [])

    own = Asked(auto_clock, Pace(singles_per_second=9.0))
    await part(await planned(8, auto_clock, pace=kept), auto_clock, channel=own)
    assert own.pacer.pace.singles_per_second == 9.0

    of_an_earlier_version = Asked(auto_clock, Pace())
    await part(await planned(8, auto_clock), auto_clock, channel=of_an_earlier_version)
    assert (of_an_earlier_version.pacer.pace.singles_per_second, asked) == (50.0, [True])


async def test_a_pace_that_nobody_wrote_is_refused(clock: FakeClock) -> None:
    with pytest.raises(JournalError, match="its pace cannot be read back"):
        pace_of(record(settings={"pace": {"singles_per_second": "quick"}}))
    with pytest.raises(JournalError, match="its pace cannot be read back"):
        pace_of(record(settings={"pace": {"singles_per_second": -1.0}}))


async def test_who_has_been_tried_is_brought_to_an_end_when_the_time_is_over(
    auto_clock: FakeClock,
) -> None:
    """Or somebody whose call fails each time would be tried by one part after another, for ever."""
    journal = await planned(40, auto_clock)
    channel = ScriptedWeChat(auto_clock)

    async def call() -> None:
        await auto_clock.sleep(1)
        # Every other one is told to come again; there is no outage in that.
        if len(channel.single_times) % 2:
            channel.single_answers.append(Answer(Verdict.RETRY, "-1", "the system is busy"))

    channel.before_single = call
    what = Part(singles=True, seconds=5)
    done, reached = await part(journal, auto_clock, what, channel=channel, concurrency=2)
    assert (done.state, done.work_left) == ("sending", True)
    assert 0 < len(reached) < 40
    assert journal._store is not None
    tried = [row for row in journal._store.in_order() if row.attempts]
    assert {row.state for row in tried} == {State.SENT}
    assert max(row.attempts for row in tried) > 1


async def test_one_whose_call_always_fails_halts_the_campaign_as_in_a_whole_run(
    auto_clock: FakeClock,
) -> None:
    journal = await planned(40, auto_clock, retry={"longest_pause": 30.0})
    channel = ScriptedWeChat(auto_clock)
    poor: list[str] = []

    async def call() -> None:
        await auto_clock.sleep(1)

    class OneIsBusy(ScriptedWeChat):
        async def deliver(self, compiled: Any, single_send: Any, last_check: Any = None) -> Answer:
            answer = await super().deliver(compiled, single_send, last_check)
            if single_send.id == "3" and answer.verdict is Verdict.SENT:
                self.reached.remove("3")
                poor.append("3")
                return Answer(Verdict.RETRY, "-1", "the system is busy")
            return answer

        deliver = asks_last_check(deliver)

    channel = OneIsBusy(auto_clock)
    channel.before_single = call
    for _ in range(3):
        what = Part(singles=True, seconds=10)
        done, _ = await part(journal, auto_clock, what, channel=channel, concurrency=2)
    assert done.halted is not None
    assert "8 attempts for one recipient" in done.halted
    assert len(poor) == 8


async def test_an_outage_is_ended_before_the_time_is_over(auto_clock: FakeClock) -> None:
    """It halts as in a whole run; each part by itself would look at it for ever."""
    journal = await planned(40, auto_clock)
    channel = ScriptedWeChat(auto_clock)
    gone = Answer(Verdict.RETRY, Code.NOT_SENT, "refused", readable=False)
    channel.single_answers.extend([gone] * 60)
    channel.probe_answers.extend([gone] * 60)
    what = Part(singles=True, seconds=10)
    done, reached = await part(journal, auto_clock, what, channel=channel, concurrency=2)
    assert (done.state, reached) == ("halted", [])
    assert done.halted is not None
    assert "cannot be reached" in done.halted


async def test_an_outage_that_is_over_ends_a_part_whose_time_is_over(auto_clock: FakeClock) -> None:
    journal = await planned(400, auto_clock, chunk_size=400)
    channel = ScriptedWeChat(auto_clock)
    channel.before_single = lambda: auto_clock.sleep(1)
    gone = Answer(Verdict.RETRY, Code.NOT_SENT, "refused", readable=False)
    channel.single_answers.extend([gone] * 4)
    channel.probe_answers.extend([gone] * 3)
    done, reached = await part(
        journal, auto_clock, Part(singles=True, seconds=2), channel=channel, concurrency=2
    )
    assert (done.state, done.work_left) == ("sending", True)
    assert 0 < len(reached) < 50


async def test_a_part_ends_when_there_is_enough(clock: FakeClock) -> None:
    """Nobody new is tried; who waits for the pace is not waited for."""
    journal = await planned(40, clock)
    channel = ScriptedWeChat(clock, Pace(singles_per_minute=4))
    enough: list[bool] = []
    found: list[PartDone] = []

    async def one() -> None:
        what = Part(singles=True, groups=True, seconds=1)
        done, _ = await part(journal, clock, what, channel=channel, enough=lambda: bool(enough))
        found.append(done)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await clock.advance(20)
        assert 0 < len(channel.reached) < 40
        enough.append(True)
        await clock.advance(1)
        assert found
    assert (found[0].state, found[0].calls) == ("sending", len(channel.reached))
    assert await held_by_another(journal, clock) is not None


async def test_a_group_that_was_not_called_yet_is_left_to_others(clock: FakeClock) -> None:
    journal = await planned(60, clock, group=True)
    channel = ScriptedWeChat(clock, Pace(groups_per_minute=1))
    assert await channel.pacer.groups.reserve(1)
    assert channel.pacer.groups.try_gate()
    enough: list[bool] = []
    found: list[PartDone] = []

    async def one() -> None:
        what = Part(singles=True, groups=True, seconds=1)
        done, _ = await part(journal, clock, what, channel=channel, enough=lambda: bool(enough))
        found.append(done)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await clock.advance(5)
        enough.append(True)
        await clock.advance(1)
        assert found
    assert (found[0].calls, found[0].work_left) == (0, True)
    assert await (await journal.open()).take(groups=True, singles=False, idempotent=False)


async def test_a_group_that_was_called_is_tried_again(auto_clock: FakeClock) -> None:
    journal = await planned(60, auto_clock, group=True)
    channel = ScriptedWeChat(auto_clock)
    busy = Answer(Verdict.RETRY, "-1", "the system is busy")
    channel.group_answers.extend([busy, busy])
    done, reached = await part(journal, auto_clock, Part(groups=True, seconds=0.1), channel=channel)
    assert (done.state, done.calls, len(reached)) == ("following", 3, 60)
