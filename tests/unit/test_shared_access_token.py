"""An access token that several processes share: one of them fetches it, and none waits for the dead."""

from __future__ import annotations

import asyncio

import pytest
from clocks import FakeClock

from promomsg.errors import Halted, JournalError, NotSent
from promomsg.model import Secret
from promomsg.transport.access_token import AccessTokenCache, FetchedToken
from promomsg.transport.token_store import SharedToken

pytestmark = pytest.mark.asyncio

LEASE = 15.0


class Row:
    """The row of the account, and the leases of it."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.generation = 0
        self.token: Secret | None = None
        self.until: float | None = None
        self.holder: object = None
        self.lease_until = 0.0
        self.away = False


class Store:
    """One process's way to it."""

    pause = 0.25

    def __init__(self, row: Row) -> None:
        self.row = row

    def _look(self) -> None:
        if self.row.away:
            raise JournalError("the database is away")

    async def read(self) -> SharedToken:
        self._look()
        row = self.row
        if row.until is None:
            return SharedToken(row.generation, row.token)
        left = row.until - row.clock.monotonic()
        return SharedToken(row.generation, row.token if left > 0 else None, left)

    async def lease(self, generation: int) -> bool:
        self._look()
        row, now = self.row, self.row.clock.monotonic()
        if generation != row.generation or (row.holder is not None and now < row.lease_until):
            return False
        row.holder, row.lease_until = self, now + LEASE
        return True

    async def put(self, generation: int, token: Secret, good_for: float | None) -> None:
        self._look()
        row = self.row
        if generation == row.generation:
            row.generation, row.token, row.holder = generation + 1, token, None
            row.until = None if good_for is None else row.clock.monotonic() + good_for

    async def give_back(self) -> None:
        self._look()
        if self.row.holder is self:
            self.row.holder = None


class Provider:
    """Gives the tokens in order, the last one again and again; an exception is raised."""

    def __init__(self, *answers: object, life: float | None = 7200.0) -> None:
        self.answers = list(answers)
        self.life = life
        self.calls = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, stale: str | None) -> FetchedToken:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await self.open.wait()
        if isinstance(answer, BaseException):
            raise answer
        return FetchedToken(answer, self.life)  # type: ignore[arg-type]


def processes(count: int, row: Row, provider: Provider) -> list[AccessTokenCache]:
    found = []
    for _ in range(count):
        cache = AccessTokenCache(provider, row.clock)
        cache.share(Store(row))
        found.append(cache)
    return found


@pytest.fixture
def row(auto_clock: FakeClock) -> Row:
    return Row(auto_clock)


async def test_one_process_fetches_for_all(row: Row) -> None:
    provider = Provider("T1", "T2")
    caches = processes(4, row, provider)
    assert set(await asyncio.gather(*(one.get() for one in caches))) == {"T1"}
    assert (provider.calls, row.generation) == (1, 1)
    (late,) = processes(1, row, provider)
    assert await late.get() == "T1"
    assert "T1" in late.known_tokens()  # texts of the provider are masked there too
    assert provider.calls == 1


async def test_a_refused_token_is_fetched_anew_once_for_all(row: Row) -> None:
    provider = Provider("T1", "T2")
    caches = processes(4, row, provider)
    await asyncio.gather(*(one.get() for one in caches))
    for one in caches:
        one.mark_failed("T1")
    assert set(await asyncio.gather(*(one.get() for one in caches))) == {"T2"}
    assert (provider.calls, row.generation) == (2, 2)


async def test_a_token_that_is_over_is_fetched_anew_once_for_all(row: Row) -> None:
    provider = Provider("T1", "T2")
    caches = processes(3, row, provider)
    await asyncio.gather(*(one.get() for one in caches))
    await row.clock.advance(6899)
    assert all(one.current() == "T1" for one in caches)  # until 300 s before its end
    await row.clock.advance(2)
    assert set(await asyncio.gather(*(one.get() for one in caches))) == {"T2"}
    assert provider.calls == 2


async def test_a_read_that_was_refused_may_get_the_same_token_again(row: Row) -> None:
    provider = Provider("T1")
    one, other = processes(2, row, provider)
    await one.get()
    await other.get()
    one.mark_stale("T1")
    assert await one.get() == "T1"
    other.mark_stale("T1")
    assert await other.get() == "T1"  # fetched since: not asked for once more
    assert (provider.calls, row.generation) == (2, 2)


async def test_a_refused_send_that_gets_the_same_token_halts_every_process(row: Row) -> None:
    provider = Provider("T1")
    caches = processes(2, row, provider)
    for one in caches:
        await one.get()
    for one in caches:
        one.mark_failed("T1")
        with pytest.raises(Halted):
            await one.get()
    assert row.generation == 1


async def test_the_lease_of_a_process_that_died_runs_out(row: Row) -> None:
    provider = Provider("T1")
    assert await Store(row).lease(0)  # and nothing comes of it
    (one,) = processes(1, row, provider)
    began = row.clock.monotonic()
    assert await one.get() == "T1"
    assert LEASE <= row.clock.monotonic() - began <= LEASE + 1
    assert (provider.calls, row.generation) == (1, 1)


async def test_a_fetch_that_fails_leaves_the_lease_to_the_next(row: Row) -> None:
    provider = Provider(NotSent("no connection"), "T1")
    one, other = processes(2, row, provider)
    with pytest.raises(NotSent):
        await one.get()
    began = row.clock.monotonic()
    assert await other.get() == "T1"
    assert row.clock.monotonic() == began


async def test_a_fetch_that_is_cancelled_leaves_the_lease_to_the_next(row: Row) -> None:
    provider = Provider("T1", "T2")
    provider.open.clear()
    one, other = processes(2, row, provider)
    waiting = asyncio.create_task(one.get())
    while not provider.calls:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    provider.open.set()
    while row.holder is not None:
        await asyncio.sleep(0)
    assert await other.get() == "T2"


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_without_the_store_a_process_fetches_a_token_of_its_own(
    row: Row, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Provider("T1", "T2")
    (one,) = processes(1, row, provider)
    if when == "before":
        row.away = True
        assert await one.get() == "T1"
    else:
        provider.open.clear()
        waiting = asyncio.create_task(one.get())
        while not provider.calls:
            await asyncio.sleep(0)
        row.away = True
        provider.open.set()
        assert await waiting == "T1"
    assert provider.calls == 1
    [record] = caplog.records
    assert record.getMessage() == (
        "the access token is not shared with other processes: the database is away"
    )
    # Once it is back the token is shared again.
    row.away, row.holder = False, None
    one.mark_failed("T1")
    assert await one.get() == "T2"
    assert row.token == Secret("T2")


async def test_a_token_without_an_end_is_used_until_it_is_refused(row: Row) -> None:
    provider = Provider("T1", "T2", life=None)
    one, other = processes(2, row, provider)
    assert await one.get() == "T1"
    await row.clock.advance(1e6)
    assert await other.get() == "T1"
    assert provider.calls == 1
