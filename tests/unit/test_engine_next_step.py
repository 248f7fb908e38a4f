"""What the dispatcher does next, case by case, in the order in which `NextStep.choose` has them."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from clocks import FakeClock

from promomsg import RetryPolicy
from promomsg.engine.sending.brakes.circuit_breaker import CircuitBreaker
from promomsg.engine.sending.held_leases import HeldLeases
from promomsg.engine.sending.leased_chunks import LeasedChunk, LeasedChunks
from promomsg.engine.sending.next_step import (
    AcquireProbe,
    AskJournal,
    AwaitResults,
    NextStep,
    Permits,
    RefusedMessages,
    Send,
    Wait,
)
from promomsg.engine.sending.retry_queue import RetryQueue
from promomsg.journal.records import Lease
from promomsg.model import Answer, SingleSend, Verdict

ATTEMPTS = 8


class Situation:
    """A dispatcher's chunks, retries, permits and circuit, with nothing behind them."""

    def __init__(self, *, out: int = 0, concurrency: int = 8) -> None:
        self.clock = FakeClock()
        handle = cast(Any, SimpleNamespace(record=SimpleNamespace(run_id="0" * 32)))
        channel = cast(Any, SimpleNamespace(idempotent=False))
        self.leases: list[Lease] = []
        self.numbers = 0

        async def take(**words: Any) -> Lease | None:
            return self.leases.pop(0) if self.leases else None

        handle.take = take
        handle.lease_life = 120.0
        leases = HeldLeases(handle, self.clock)
        self.chunks = LeasedChunks(
            handle, channel, leases, None, 16, lambda: self.permits.out, lambda: None
        )
        self.retries = RetryQueue(channel, self.chunks, self.clock, lambda: None)
        self.refused = RefusedMessages()
        self.permits = Permits(2 * concurrency)
        self.permits.free -= out
        self.breaker = CircuitBreaker(
            RetryPolicy(attempts=ATTEMPTS),
            self.clock,
            Random(1),
            concurrency=concurrency,
            reads=False,
            idempotent=False,
        )
        self.breaker.record_success()
        self.reachability = SimpleNamespace(breaker=self.breaker, groups_out=0, group_calls=0)
        self.probe = object()
        self.next_step = NextStep(
            self.chunks,
            self.retries,
            self.refused,
            self.permits,
            cast(Any, self.reachability),
            single_probe=self.probe,
            attempts=ATTEMPTS,
            quorum=concurrency // 2,
            batch=concurrency,
        )

    async def lease(self, *single_sends: SingleSend) -> LeasedChunk:
        self.leases.append(Lease(len(self.leases) + self.numbers, 1, single_sends=single_sends))
        self.numbers += 1
        await self.chunks.take()
        return list(self.chunks._held)[-1]

    async def ask_in_vain(self) -> None:
        await self.chunks.take()
        assert self.chunks.exhausted

    def retry(self, chunk: LeasedChunk, seq: int, pause: float, **changes: Any) -> SingleSend:
        single_send = SingleSend(seq, f"k{seq}", attempts=1, **changes)
        self.retries.add(chunk, single_send, pause)
        return single_send

    def open_circuit(self) -> None:
        for n in range(3):
            self.breaker.record_failure(f"call {n}")
        assert self.breaker.is_open

    def choose(self, calling: int = 0) -> Any:
        return self.next_step.choose(calling=calling)


def people(count: int, first: int = 1, **changes: Any) -> list[SingleSend]:
    return [SingleSend(n, f"k{n}", **changes) for n in range(first, first + count)]


def seqs(step: Any) -> list[int]:
    assert isinstance(step, Send)
    return [single_send.seq for single_send in step.single_sends]


pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("by", ["singles", "group"])
async def test_1_while_the_provider_seems_away_calls_on_their_way_are_waited_for(by: str) -> None:
    situation = Situation(out=by == "singles")
    situation.reachability.group_calls = int(by == "group")
    await situation.lease(*people(3))
    situation.open_circuit()
    assert situation.choose() == Wait()


async def test_2_then_somebody_who_could_be_tried_waits_for_the_turn() -> None:
    situation = Situation()
    await situation.lease(*people(3))
    situation.open_circuit()
    assert situation.choose() == AcquireProbe()
    situation.breaker.mark_probe("a group")
    assert situation.choose() == AcquireProbe()


async def test_3_the_turn_is_not_asked_for_before_somebody_could_use_it() -> None:
    situation = Situation()
    chunk = await situation.lease(*people(1))
    situation.chunks.fresh(1)
    situation.retry(chunk, 1, 5.0)
    situation.open_circuit()
    assert situation.choose() == Wait(5.0)
    await situation.clock.advance(5.0)
    assert situation.choose() == AcquireProbe()


async def test_4_nobody_goes_without_a_permit_or_for_too_few_of_them() -> None:
    situation = Situation(out=16)
    chunk = await situation.lease(*people(20))
    situation.retry(chunk, 99, 0.0)
    assert situation.choose(calling=8) == Wait()
    situation.permits.free = 3
    assert situation.choose(calling=8) == Wait()
    assert seqs(situation.choose(calling=0)) == [99]
    situation.permits.free = 4
    assert seqs(situation.choose(calling=8)) == [1, 2, 3, 4]


async def test_4_a_provider_that_was_away_gets_few_calls_at_first() -> None:
    situation = Situation()
    await situation.lease(*people(20))
    situation.open_circuit()
    situation.breaker.record_success()
    assert situation.breaker.limit == 2
    situation.reachability.groups_out = 1
    assert seqs(situation.choose()) == [1]
    situation.permits.free -= 1
    assert situation.choose(calling=1) == Wait()


async def test_5_whose_retry_is_due_goes_before_somebody_fresh_at_most_a_batch_of_one_chunk() -> (
    None
):
    situation = Situation()
    chunk = await situation.lease(*people(20))
    situation.retry(chunk, 99, 0.0)
    situation.retry(chunk, 98, 5.0)
    step = situation.choose()
    assert seqs(step) == [99]
    assert step.chunk is chunk
    assert seqs(situation.choose()) == list(range(1, 9))


async def test_5_whose_message_was_refused_does_not_go_and_the_next_one_does() -> None:
    situation = Situation()
    chunk = await situation.lease(*people(8, values=("bad",)), *people(2, 9, values=("good",)))
    situation.refused.add(("bad",), Answer(Verdict.REFUSED))
    assert seqs(situation.choose()) == [9, 10]
    assert chunk.open == 2


async def test_5_with_the_turn_one_who_is_in_doubt_already_goes_first() -> None:
    situation = Situation()
    chunk = await situation.lease(*people(2))
    situation.retry(chunk, 97, 0.0)
    situation.retry(chunk, 98, 5.0, maybe_sent=True)
    situation.open_circuit()
    situation.breaker.mark_probe(situation.probe)
    assert seqs(situation.choose()) == [98]
    assert [seqs(situation.choose()) for _ in range(3)] == [[1], [2], [97]]


async def test_6_with_nobody_at_hand_a_retry_a_result_or_a_chunk_is_waited_for() -> None:
    situation = Situation()
    chunk = await situation.lease(*people(1))
    situation.chunks.fresh(1)
    assert situation.choose() == Wait()
    situation.retry(chunk, 1, 5.0)
    assert situation.choose() == Wait(5.0)


async def test_7_the_journal_is_asked_when_no_chunk_is_held() -> None:
    situation = Situation(out=1)
    assert situation.choose() == AskJournal()
    chunk = await situation.lease(*people(1))
    situation.chunks.finish(chunk, 1)
    assert situation.choose() == AskJournal()


async def test_8_a_journal_that_had_nothing_is_asked_again_once_results_are_on_disk() -> None:
    situation = Situation(out=1)
    await situation.ask_in_vain()
    assert situation.choose() == AwaitResults()


async def test_9_and_for_the_last_time_when_all_of_them_are() -> None:
    situation = Situation()
    await situation.ask_in_vain()
    assert situation.choose() == AskJournal(last=True)
