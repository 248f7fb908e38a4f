"""Permits shared by many: who is served, in which order, and that none is ever lost."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from promomsg.transport.fair_semaphore import FairSemaphore, SemaphoreShare

pytestmark = pytest.mark.asyncio


async def settle() -> None:
    """Lets everybody who was served go on."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_alone_everything_is_free_at_once() -> None:
    semaphore = FairSemaphore(10)
    share = semaphore.share()
    assert share.try_acquire(64) == 10
    assert share.try_acquire() == 0
    share.release(4)
    assert await share.acquire(3) == 3
    assert (semaphore.in_use, semaphore.has_waiters) == (9, False)
    share.close()
    assert semaphore.in_use == 0


async def test_those_who_hold_the_fewest_come_first_and_then_in_turn() -> None:
    semaphore = FairSemaphore(6)
    first = semaphore.share()
    assert first.try_acquire(6) == 6
    order: list[str] = []

    async def wait(name: str, share: SemaphoreShare) -> None:
        await share.acquire()
        order.append(name)

    other, third = semaphore.share(), semaphore.share()
    names = [("a", first), ("b", other), ("c", third), ("a", first), ("b", other), ("c", third)]
    tasks = [asyncio.create_task(wait(name, share)) for name, share in names]
    await settle()
    assert semaphore.has_waiters
    assert semaphore.share().try_acquire() == 0, "nobody passes those who wait"
    for _ in range(4):
        first.release()
        await settle()
    assert order == ["b", "c", "b", "c"], "it holds two by now, as the others do"
    for share in (other, third):
        share.release()
        await settle()
    assert order[4:] == ["a", "a"]
    await asyncio.gather(*tasks)
    assert (semaphore.in_use, semaphore.has_waiters) == (6, False)


@pytest.mark.parametrize(("shares", "limit_of"), [(3, 30), (24, 200), (100, 200)])
async def test_equal_takers_of_batches_progress_together(shares: int, limit_of: int) -> None:
    """However much each of them would like, and whenever it comes."""
    semaphore = FairSemaphore(limit_of)
    served = [0] * shares
    spread: list[int] = []
    rng = Random(shares)

    async def work(number: int) -> None:
        share = semaphore.share()
        while min(served) < 40:
            count = share.try_acquire(64) or await share.acquire(64)
            for _ in range(2):
                await asyncio.sleep(0)
            served[number] += count
            if all(served):
                spread.append(max(served) - min(served))
            share.release(count)

    order = list(range(shares))
    rng.shuffle(order)
    await asyncio.gather(*(work(number) for number in order))
    # What the first ones took before anybody else was there, and a batch more.
    assert max(spread) <= 64 + 2 * max(1, limit_of // shares) + 2
    assert semaphore.in_use == 0


@pytest.mark.parametrize("shares", [3, 9, 24, 100])
async def test_a_few_at_once_have_batches_and_all_progress_together(shares: int) -> None:
    semaphore = FairSemaphore(200, at_once=8)
    served = [0] * shares
    batches: list[int] = []
    spread: list[int] = []
    rng = Random(shares)

    async def work(number: int) -> None:
        share = semaphore.share()
        while min(served) < 200:
            count = share.try_acquire(64) or await share.acquire(64)
            assert semaphore.in_use <= 200
            for _ in range(rng.randint(1, 5)):
                await asyncio.sleep(0)
            served[number] += count
            if all(served):
                batches.append(count)
                spread.append(max(served) - min(served))
            share.release(count)

    await asyncio.gather(*(work(number) for number in range(shares)))
    assert min(batches) >= 25
    # What the first ones took before anybody else was there, and a batch more.
    assert max(spread) <= 64 + 2 * max(25, 200 // shares) + 2
    assert semaphore.in_use == 0


async def test_one_that_waits_for_a_slow_answer_has_its_turn_all_the_same() -> None:
    """Else a campaign stood still for as long as one of its calls is out, and others had none."""
    semaphore = FairSemaphore(16, at_once=2)
    slow = semaphore.share()
    assert slow.try_acquire(1) == 1  # until the end
    served = dict.fromkeys("abcs", 0)

    async def work(name: str, share: SemaphoreShare) -> None:
        while sum(served.values()) < 1_000:
            count = await share.acquire(8)
            await asyncio.sleep(0)
            served[name] += count
            share.release(count)

    others = [work(name, semaphore.share()) for name in "abc"]
    await asyncio.gather(*others, work("s", slow))
    assert min(served.values()) >= 200
    slow.release()
    assert semaphore.in_use == 0


async def test_small_calls_get_every_second_permit() -> None:
    semaphore = FairSemaphore(2)
    campaign, polls = semaphore.share(), semaphore.share(priority=True)
    assert campaign.try_acquire(2) == 2
    order: list[str] = []

    async def wait(name: str, share: SemaphoreShare) -> None:
        await share.acquire(8)
        order.append(name)

    tasks = [asyncio.create_task(wait("send", campaign)) for _ in range(4)]
    await settle()
    tasks += [asyncio.create_task(wait("poll", polls)) for _ in range(3)]
    await settle()
    for _ in range(7):
        campaign.release()
        await settle()
    assert order == ["poll", "send", "poll", "send", "poll", "send", "send"]
    await asyncio.gather(*tasks)


async def test_a_higher_limit_serves_those_who_wait() -> None:
    semaphore = FairSemaphore(1)
    share = semaphore.share()
    assert share.try_acquire()
    waiting = [asyncio.create_task(share.acquire()) for _ in range(3)]
    await settle()
    semaphore.raise_to(3)
    await settle()
    assert [task.done() for task in waiting] == [True, True, False]
    semaphore.raise_to(2)
    assert semaphore.limit == 3
    share.release()
    await asyncio.gather(*waiting)


async def test_a_yielded_permit_is_another_ones_meanwhile() -> None:
    semaphore = FairSemaphore(1)
    send, token = semaphore.share(), semaphore.share(priority=True)
    assert send.try_acquire()
    asking = asyncio.create_task(token.acquire())
    await settle()
    assert not asking.done()
    semaphore.yield_permit()
    assert await asking == 1
    token.release()
    semaphore.reclaim_permit()
    assert send.try_acquire() == 0
    send.release()
    assert semaphore.in_use == 0


@pytest.mark.parametrize("seed", range(20))
async def test_no_permit_is_lost_whoever_is_cancelled_and_when(seed: int) -> None:
    rng = Random(seed)
    semaphore = FairSemaphore(rng.randint(1, 5))
    shares = [semaphore.share(priority=n == 0) for n in range(4)]
    most_out = 0

    async def work(share: SemaphoreShare) -> None:
        nonlocal most_out
        count = await share.acquire(rng.randint(1, 3))
        try:
            most_out = max(most_out, semaphore.in_use)
            for _ in range(rng.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            share.release(count)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(300):
        tasks.append(asyncio.create_task(work(rng.choice(shares))))
        if rng.random() < 0.4:
            rng.choice(tasks).cancel()
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        if rng.random() < 0.02:
            semaphore.raise_to(semaphore.limit + 1)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most_out <= semaphore.limit
    assert (semaphore.in_use, semaphore.has_waiters) == (0, False)
    assert [share.held for share in shares] == [0, 0, 0, 0]
    assert semaphore.share().try_acquire(99) == semaphore.limit, "and nobody is in the way"


async def test_whoever_was_slow_to_ask_makes_up_for_it() -> None:
    """One of four takes far longer over each batch for a while, as behind a slow disk."""
    semaphore = FairSemaphore(8)
    served = [0] * 4
    stop = False

    async def work(number: int) -> None:
        share = semaphore.share()
        while not stop:
            count = share.try_acquire(8) or await share.acquire(8)
            turns = 60 if number == 0 and max(served) < 100 else 4
            for _ in range(turns):
                await asyncio.sleep(0)
            served[number] += count
            share.release(count)

    tasks = [asyncio.create_task(work(number)) for number in range(4)]
    while max(served) < 100:
        await asyncio.sleep(0)
    behind = max(served) - served[0]
    while served[0] < 400:
        await asyncio.sleep(0)
    assert behind > 8, "else nothing was to be made up for"
    assert max(served) - served[0] <= 16
    stop = True
    await asyncio.gather(*tasks)
    assert semaphore.in_use == 0


async def test_one_that_begins_later_is_owed_nothing_for_the_time_before() -> None:
    semaphore = FairSemaphore(4)
    early = semaphore.share()
    for _ in range(1000):
        assert early.try_acquire(4) == 4
        early.release(4)
    late = semaphore.share()
    served = {early: 0, late: 0}

    async def work(share: SemaphoreShare) -> None:
        while sum(served.values()) < 400:
            count = await share.acquire(4)
            await asyncio.sleep(0)
            served[share] += count
            share.release(count)

    await asyncio.gather(work(early), work(late))
    assert abs(served[early] - served[late]) <= 8
