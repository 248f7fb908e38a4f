"""When a process ends its part of a campaign, and what it leaves to others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from campaign_parts import LIFE, asks, held_by_another, part, planned
from clocks import FakeClock
from scripted_wechat import ScriptedWeChat

from promomsg import Pace
from promomsg.engine.joining import Part, PartDone
from promomsg.journal.records import Control
from promomsg.model import Answer, Code, State, Verdict
from promomsg.transport.last_check import asks_last_check

pytestmark = pytest.mark.asyncio


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
    assert (done.state, done.work_left, done.ran_out_of_time) == ("sending", True, True)
    lease = await held_by_another(journal, auto_clock)
    assert len(lease.single_sends) == 40 - len(reached)
    done, _ = await part(journal, auto_clock, what)  # it has nothing to take
    assert (done.state, done.work_left, done.ran_out_of_time) == ("sending", True, False)


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


def in_a_minute(clock: FakeClock) -> str:
    """That moment as a campaign's settings have it."""
    return datetime.fromtimestamp(clock.time() + 60, UTC).isoformat()


@pytest.mark.parametrize("stands", ["sending", "paused", "waiting"])
async def test_who_is_left_at_its_finish_by_is_cancelled_whatever_it_stands_at(
    stands: str, auto_clock: FakeClock
) -> None:
    now = auto_clock.time()
    journal = await planned(8, auto_clock, finish_by=in_a_minute(auto_clock))
    handle = await journal.open()
    if stands == "paused":
        await handle.set_control(Control.PAUSE)
    elif stands == "waiting":
        await handle.park(now + 3600)
    else:
        await held_by_another(journal, auto_clock)
    early, reached = await part(journal, auto_clock)
    assert (early.state, reached) == (stands, [])
    await auto_clock.sleep(LIFE + 61)
    done, reached = await part(journal, auto_clock)
    assert (done.state, done.work_left, reached) == ("cancelled", False, [])
    assert (await handle.counts()).by_code == {Code.FINISH_BY: 8}


async def test_one_that_is_halted_is_a_persons_to_go_on_with(auto_clock: FakeClock) -> None:
    journal = await planned(8, auto_clock, finish_by=in_a_minute(auto_clock))
    await (await journal.open()).halt("48001", "no right to send")
    await auto_clock.sleep(61)
    done, _ = await part(journal, auto_clock)
    assert (done.state, done.work_left) == ("halted", True)
