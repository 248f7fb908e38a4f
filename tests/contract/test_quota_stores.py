"""What every store of an account's quota promises: a file of one machine, and a database of many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from promomsg.journal.postgres.account_quota.quota_rows import QuotaRows
from promomsg.transport.quota.quota_file import QuotaFile, quota_file_name
from promomsg.transport.quota.quota_state import QuotaState
from promomsg.transport.quota.store import QuotaStore

pytestmark = pytest.mark.asyncio

Make = Callable[[str], QuotaStore]
ORIGIN = "https://api.weixin.qq.com"


@pytest.fixture(params=["file", "database"])
def make(request: pytest.FixtureRequest) -> Make:
    """A store of an account, as another sender would make it too."""
    if request.param == "file":
        return lambda account: QuotaFile(quota_file_name("wechat", ORIGIN, account))
    url: str = request.getfixturevalue("postgres")
    test = uuid4().hex
    return lambda account: QuotaRows(url, "wechat", f"{ORIGIN}/{test}", account)


def one_more(state: QuotaState, now: float) -> int:
    """A change that can be seen: one more on a day."""
    state.days["d"] = state.days.get("d", 0) + 1
    return state.days["d"]


def so_far(state: QuotaState, now: float) -> int:
    """How many there are; nothing is changed."""
    return state.days.get("d", 0)


async def test_whoever_comes_next_finds_what_was_changed(make: Make) -> None:
    assert await make("wx1").submit("singles", one_more) == 1
    assert await make("wx1").submit("singles", one_more) == 2


async def test_each_account_and_each_kind_of_call_is_for_itself(make: Make) -> None:
    stores = [make(account) for account in ("wx1", "wx2", "a/b", "今日 'x'")]
    assert len({store.key for store in stores}) == 4
    assert make("wx1").key == stores[0].key
    found = [
        await store.submit(kind, one_more) for store in stores for kind in ("singles", "groups")
    ]
    assert found == [1] * 8


async def test_no_change_is_lost_when_several_make_them_at_once(make: Make) -> None:
    async def sender() -> list[int]:
        store = make("wx1")
        store.keep_open()
        try:
            return [await store.submit("singles", one_more) for _ in range(25)]
        finally:
            await store.close()

    await make("wx1").submit("singles", one_more)
    with ThreadPoolExecutor(4) as threads:
        # Each in an event loop of its own, as a process has.
        running = [threads.submit(asyncio.run, sender()) for _ in range(4)]
        found = await asyncio.gather(*map(asyncio.wrap_future, running))
    assert sorted(number for numbers in found for number in numbers) == list(range(2, 102))


async def test_changes_that_are_asked_for_together_are_all_made(make: Make) -> None:
    stores = [make(f"wx{n % 3}") for n in range(9)]
    found = await asyncio.gather(*(store.submit("singles", one_more) for store in stores))
    assert sorted(found) == [1, 1, 1, 2, 2, 2, 3, 3, 3]


async def test_whoever_is_cancelled_has_changed_it_all_the_same(make: Make) -> None:
    store = make("wx1")
    waiting = asyncio.ensure_future(asyncio.shield(store.submit("singles", one_more)))
    await asyncio.sleep(0)
    waiting.cancel()
    async with asyncio.timeout(10):
        while not await make("wx1").submit("singles", so_far):
            pass
    assert await make("wx1").submit("singles", one_more) == 2


async def test_its_time_goes_on_and_is_between_the_two_that_it_is_taken_for(make: Make) -> None:
    store, last = make("wx1"), 0.0
    for _ in range(5):
        before = time.monotonic()
        now = await store.submit("singles", lambda state, now: now)
        after = time.monotonic()
        assert now > last
        assert store.to_local(now) >= before
        assert store.to_local_by(now) <= after
        assert store.to_stored(after) >= now
        assert 0.0 <= store.to_local(now) - store.to_local_by(now) <= store.spread
        last = now
