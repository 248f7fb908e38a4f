"""Permits shared by many: who is served, in which order, and that none is ever lost."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from promomsg.transport.fair_limit import FairLimit, Share

pytestmark = pytest.mark.asyncio


async def settle() -> None:
    """Lets everybody who was served go on."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_alone_everything_is_free_at_once() -> None:
    limit = FairLimit(10)
    share = limit.share()
    assert share.take_now(64) == 10
    assert share.take_now() == 0
    share.give_back(4)
    assert await share.take(3) == 3
    assert (limit.out, limit.contended) == (9, False)
    share.close()
    assert limit.out == 0


async def test_those_who_hold_the_fewest_come_first_and_then_in_turn() -> None:
    limit = FairLimit(6)
    first = limit.share()
    assert first.take_now(6) == 6
    order: list[str] = []

    async def wait(name: str, share: Share) -> None:
        await share.take()
        order.append(name)

    other, third = limit.share(), limit.share()
    names = [("a", first), ("b", other), ("c", third), ("a", first), ("b", other), ("c", third)]
    tasks = [asyncio.create_task(wait(name, share)) for name, share in names]
    await settle()
    assert limit.contended
    assert limit.share().take_now() == 0, "nobody passes those who wait"
    for _ in range(4):
        first.give_back()
        await settle()
    assert order == ["b", "c", "b", "c"], "it holds two by now, as the others do"
    for share in (other, third):
        share.give_back()
        await settle()
    assert order[4:] == ["a", "a"]
    await asyncio.gather(*tasks)
    assert (limit.out, limit.contended) == (6, False)


@pytest.mark.parametrize(("shares", "limit_of"), [(3, 30), (24, 200), (100, 200)])
async def test_equal_takers_of_batches_progress_together(shares: int, limit_of: int) -> None:
    """However much each of them would like, and whenever it comes."""
    limit = FairLimit(limit_of)
    served = [0] * shares
    spread: list[int] = []
    rng = Random(shares)

    async def work(number: int) -> None:
        share = limit.share()
        while min(served) < 40:
            count = share.take_now(64) or await share.take(64)
            for _ in range(2):
                await asyncio.sleep(0)
            served[number] += count
            if all(served):
                spread.append(max(served) - min(served))
            share.give_back(count)

    order = list(range(shares))
    rng.shuffle(order)
    await asyncio.gather(*(work(number) for number in order))
    # What the first ones took before anybody else was there, and a batch more.
    assert max(spread) <= 64 + 2 * max(1, limit_of // shares) + 2
    assert limit.out == 0


async def test_small_calls_get_every_second_permit() -> None:
    limit = FairLimit(2)
    campaign, polls = limit.share(), limit.share(prompt=True)
    assert campaign.take_now(2) == 2
    order: list[str] = []

    async def wait(name: str, share: Share) -> None:
        await share.take(8)
        order.append(name)

    tasks = [asyncio.create_task(wait("send", campaign)) for _ in range(4)]
    await settle()
    tasks += [asyncio.create_task(wait("poll", polls)) for _ in range(3)]
    await settle()
    for _ in range(7):
        campaign.give_back()
        await settle()
    assert order == ["poll", "send", "poll", "send", "poll", "send", "send"]
    await asyncio.gather(*tasks)


async def test_a_higher_limit_serves_those_who_wait() -> None:
    limit = FairLimit(1)
    share = limit.share()
    assert share.take_now()
    waiting = [asyncio.create_task(share.take()) for _ in range(3)]
    await settle()
    limit.raise_to(3)
    await settle()
    assert [task.done() for task in waiting] == [True, True, False]
    limit.raise_to(2)
    assert limit.limit == 3
    share.give_back()
    await asyncio.gather(*waiting)


async def test_a_lent_permit_is_another_ones_meanwhile() -> None:
    limit = FairLimit(1)
    send, token = limit.share(), limit.share(prompt=True)
    assert send.take_now()
    asking = asyncio.create_task(token.take())
    await settle()
    assert not asking.done()
    limit.lend()
    assert await asking == 1
    token.give_back()
    limit.lend(-1)
    assert send.take_now() == 0
    send.give_back()
    assert limit.out == 0


@pytest.mark.parametrize("seed", range(20))
async def test_no_permit_is_lost_whoever_is_cancelled_and_when(seed: int) -> None:
    rng = Random(seed)
    limit = FairLimit(rng.randint(1, 5))
    shares = [limit.share(prompt=n == 0) for n in range(4)]
    most_out = 0

    async def work(share: Share) -> None:
        nonlocal most_out
        count = await share.take(rng.randint(1, 3))
        try:
            most_out = max(most_out, limit.out)
            for _ in range(rng.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            share.give_back(count)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(300):
        tasks.append(asyncio.create_task(work(rng.choice(shares))))
        if rng.random() < 0.4:
            rng.choice(tasks).cancel()
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        if rng.random() < 0.02:
            limit.raise_to(limit.limit + 1)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most_out <= limit.limit
    assert (limit.out, limit.contended) == (0, False)
    assert [share.held for share in shares] == [0, 0, 0, 0]
    assert limit.share().take_now(99) == limit.limit, "and nobody is in the way"
