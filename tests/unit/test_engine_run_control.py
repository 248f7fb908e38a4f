"""A run's control: what stops, what goes on, and what wakes whoever waits."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest
from clocks import FakeClock
from run_controls import run_control

from promomsg.clock import next_china_midnight
from promomsg.engine.sending.decision import Halt
from promomsg.journal.records import Control, ControlRow


@pytest.mark.asyncio
async def test_stop_is_for_sending_and_following_cancel_for_sending_alone(clock: FakeClock) -> None:
    control = run_control(clock)
    with anyio.CancelScope() as sending, anyio.CancelScope() as following:
        assert control.attach_sending(sending)
        assert control.attach_following(following)
        control.apply(Control.CANCEL)
        assert sending.cancel_called
        assert not following.cancel_called
        assert control.cancelled
        assert not control.may_send()
        control.stop(Halt("X", "why"))
        assert following.cancel_called
    assert control.halt == Halt("X", "why")
    control.stop(Halt("Y", "later"))
    assert control.halt.code == "X"
    with anyio.CancelScope() as late:
        assert not control.attach_sending(late)
        assert not control.attach_following(late)


@pytest.mark.asyncio
async def test_a_pause_is_waited_out(clock: FakeClock) -> None:
    control = run_control(clock)
    await control.until_sending()
    control.apply(Control.PAUSE)
    assert not control.may_send()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(control.until_sending)
        await anyio.sleep(0)
        control.apply(Control.RUN)
    assert control.may_send()
    control.apply(Control.PAUSE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(control.until_sending)
        await anyio.sleep(0)
        control.stop()


def test_a_used_up_day_halts_or_is_waited_out_as_the_user_says(clock: FakeClock) -> None:
    stopping = run_control(clock)
    stopping.halt_or_wait(Halt("45009", "used up"))
    assert stopping.stopping
    assert not stopping.waits_for_day
    waiting = run_control(clock, wait=True)
    waiting.halt_or_wait(Halt("45009", "used up"))
    assert waiting.waits_for_day
    assert not waiting.stopping
    midnight = next_china_midnight(clock.time())
    assert waiting.waits_until is not None
    assert midnight + 5 <= waiting.waits_until <= midnight + 30
    assert not waiting.may_send()
    until = waiting.waits_until
    waiting.halt_or_wait(Halt("45009", "used up"))  # another worker, a moment later
    assert waiting.waits_until == until
    waiting.halt_or_wait(Halt("48001", "no"))
    assert waiting.stopping


@pytest.mark.asyncio
async def test_the_control_row_is_looked_at_again_and_again(clock: FakeClock) -> None:
    control = run_control(clock)
    row = cast(Any, control)._handle
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(control.watch)
        await clock.settle()
        row.requested = Control.PAUSE
        await clock.advance(0.5)
        assert control.paused
        row.requested = Control.RUN
        await clock.advance(0.5)
        assert not control.paused
        row.requested = Control.CANCEL
        await clock.advance(0.5)
        assert control.cancelled
        tasks.cancel_scope.cancel()


@pytest.mark.asyncio
async def test_the_users_word_is_not_undone_by_an_older_row(clock: FakeClock) -> None:
    control = run_control(clock)
    row = cast(Any, control)._handle
    gate = anyio.Event()
    slow = False

    async def read_row() -> ControlRow:
        requested: Control = row.requested
        if slow:
            await gate.wait()
        return ControlRow(requested)

    row.control = read_row
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(control.watch)
        await clock.settle()
        control.request(Control.PAUSE)
        await clock.advance(0.5)
        assert control.paused  # the row still says go on
        slow = True
        await clock.advance(0.5)  # it is read now, before the word is written
        row.requested = Control.PAUSE
        control.written()
        gate.set()
        await clock.settle()
        assert control.paused
        row.requested = Control.RUN
        await clock.advance(0.5)
        assert not control.paused
        tasks.cancel_scope.cancel()


@pytest.mark.asyncio
async def test_a_halt_of_another_sender_that_a_person_has_ended_is_not_written_again(
    clock: FakeClock,
) -> None:
    control = run_control(clock)
    row = cast(Any, control)._handle
    control.heed(ControlRow(Control.RUN, halted="45009: used up"))
    assert control.halt == Halt("45009", "used up")
    await control.write_halt()
    assert row.halted is None  # the person has resumed it since the row was read
    assert control.stopping
