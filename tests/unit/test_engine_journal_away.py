"""Leases are kept alive while a journal can be reached, and one that is away for a while costs no outcome."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from clocks import FakeClock
from journal_model import ModelHandle
from many_senders import LIFE, Sender, planned, states

from promomsg.journal.records import Lease
from promomsg.journal.unreachable import JournalUnreachable

pytestmark = pytest.mark.asyncio


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
