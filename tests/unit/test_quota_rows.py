"""Senders on many machines share an account's quota through a database, whatever their clocks say."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import msgspec
import pytest
from clocks import FakeClock
from far_database import KEY, FarDatabase, OwnClock
from memory_quota import send, worst

from promomsg.errors import JournalError
from promomsg.transport.quota.quota_state import QuotaState
from promomsg.transport.quota.shared_limiter import SharedLimiter

pytestmark = pytest.mark.asyncio


def used(times: list[float], pace: float) -> float:
    """How much of the quota went, once all had begun and before the first ended."""
    first, last = min(times) + 2.0, max(times) - 2.0
    return sum(first <= at < last for at in times) / (pace * (last - first))


@pytest.mark.parametrize(("longest", "senders", "share"), [
    (0.002, 1, 0.95),
    (0.002, 4, 0.90),
    (0.02, 1, 0.95),
    (0.02, 4, 0.85),  # a round trip of 40 ms: as if in another country
])  # fmt: skip
async def test_machines_whose_clocks_differ_share_the_windows_and_use_them(
    auto_clock: FakeClock, longest: float, senders: int, share: float
) -> None:
    database, times = FarDatabase(auto_clock, longest=longest), list[float]()
    sending = [
        database.sender(50, clock=OwnClock(auto_clock, 1e5 * n, drift=(n - 1.5) * 2e-4))
        for n in range(senders)
    ]
    start = auto_clock.monotonic()
    await asyncio.gather(*(send(one, auto_clock, 1200 // senders, times) for one in sending))
    assert worst(times) <= 50
    assert used(times, 50) >= share
    assert database.changes <= 3.5 * senders * (auto_clock.monotonic() - start)


@pytest.mark.parametrize("seed", range(6))
async def test_calls_that_come_late_to_the_gate_are_over_by_the_servers_time(
    auto_clock: FakeClock, seed: int
) -> None:
    """Commits take as long as a bunch may be late, and answers of the database longer."""
    database, times = FarDatabase(auto_clock, longest=0.2, seed=seed), list[float]()
    sending = [database.sender(20) for _ in range(2)]
    await asyncio.gather(
        *(
            send(one, auto_clock, 100, times, commit=0.08 + 0.03 * n)
            for n, one in enumerate(sending)
        )
    )
    assert worst(times) <= 20


@pytest.mark.parametrize("seed", range(4))
async def test_none_goes_once_the_time_of_its_bunch_is_over(
    auto_clock: FakeClock, seed: int
) -> None:
    """By the server's clock, of which this process knows little: its answers take long."""
    database = FarDatabase(auto_clock, longest=0.3, seed=seed)
    sender, other = database.sender(4), database.sender(4)
    await other.open()
    await sender.open()
    assert await sender.reserve(4)
    state = msgspec.json.decode(database.rows[KEY], type=QuotaState)
    until = state.bunches[-1].until - database.ahead
    assert auto_clock.monotonic() < until
    await auto_clock.sleep(until + 0.001 - auto_clock.monotonic())
    assert not sender.try_gate()


async def test_who_begins_after_the_clock_was_set_back_waits_a_window_and_no_more(
    auto_clock: FakeClock,
) -> None:
    database, times = FarDatabase(auto_clock), list[float]()
    first = database.sender(20, day=30)
    await send(first, auto_clock, 20, times)
    await first.leave()
    database.ahead -= 3600.0
    start = auto_clock.monotonic()
    assert await send(database.sender(20, day=30), auto_clock, 20, times) == 10, "the day's rest"
    assert worst(times) <= 20
    assert times[20] - start < 2.0


@pytest.mark.parametrize("longest", [0.002, 0.05])
async def test_the_day_is_exact_over_machines(auto_clock: FakeClock, longest: float) -> None:
    database, times = FarDatabase(auto_clock, longest=longest), list[float]()
    sending = [database.sender(20, day=50) for _ in range(4)]
    sent = await asyncio.gather(*(send(one, auto_clock, 40, times) for one in sending))
    assert sum(sent) == 50


@pytest.mark.parametrize("what", ["restarted", "set forward", "set back"])
async def test_after_a_restart_or_a_clock_that_was_set_no_window_is_over(
    auto_clock: FakeClock, what: str
) -> None:
    database, times = FarDatabase(auto_clock), list[float]()
    sending = [database.sender(20) for _ in range(3)]
    tasks = [asyncio.create_task(send(one, auto_clock, 150, times)) for one in sending]
    await auto_clock.sleep(5.1)
    happened_at = auto_clock.monotonic()
    if what == "restarted":
        database.started = "1700001005.25"
    else:
        database.ahead += 3600.0 if what == "set forward" else -3600.0
    assert await asyncio.gather(*tasks) == [150] * 3
    assert worst(times) <= 20
    pauses = [after - before for before, after in pairwise(times)]
    assert 0.9 <= max(pauses) <= 3.0, "a window, after what was given out already"
    assert len([at for at in times if at > happened_at + 3.0]) > 200, "then it goes on at the pace"


async def test_while_the_database_is_away_what_was_given_goes_and_nothing_new(
    auto_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    database, times = FarDatabase(auto_clock), list[float]()
    sender = database.sender(20)
    sending = asyncio.create_task(send(sender, auto_clock, 200, times))
    await auto_clock.sleep(3.0)
    away_at, changes = auto_clock.monotonic(), database.changes
    with caplog.at_level(logging.WARNING):
        database.is_away = True
        await auto_clock.sleep(20.0)
    given = [at for at in times if at > away_at]
    assert 1 <= len(given) <= 25
    assert max(given) < away_at + 1.5
    assert database.changes <= changes + 1
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "nothing goes out until the quota of the account can be had"
    ], "said once"
    database.is_away = False
    await sending
    assert worst(times) <= 20
    assert min(at for at in times if at > away_at + 2.0) < away_at + 22.0
    assert sender.trouble == ""


async def test_an_answer_that_is_lost_costs_nobody_a_call_of_the_day(
    auto_clock: FakeClock,
) -> None:
    database, times = FarDatabase(auto_clock), list[float]()
    sending = [database.sender(20, day=60) for _ in range(2)]
    tasks = [asyncio.create_task(send(one, auto_clock, 60, times)) for one in sending]
    for _ in range(4):
        await auto_clock.sleep(0.4)
        database.loses_answers = not database.loses_answers
    assert sum(await asyncio.gather(*tasks)) == 60
    assert worst(times) <= 20


async def test_a_hold_reaches_every_machine_within_a_second(auto_clock: FakeClock) -> None:
    database, times = FarDatabase(auto_clock), list[float]()
    first, second = database.sender(50), database.sender(50)
    sending = asyncio.create_task(send(second, auto_clock, 150, times))
    await auto_clock.sleep(1.0)
    await first.reserve(5)
    throttled_at = auto_clock.monotonic()
    first.throttled(10.0)
    await sending
    assert [at for at in times if throttled_at + 1.0 < at < throttled_at + 10.0] == []
    after = [at for at in times if at >= throttled_at + 10.0]
    assert min(after) < throttled_at + 10.2, "nor is anybody held for longer"


async def test_a_sender_that_is_killed_costs_the_others_little(auto_clock: FakeClock) -> None:
    database, times = FarDatabase(auto_clock), list[float]()
    killed, other = database.sender(20), database.sender(20)
    gone = asyncio.create_task(send(killed, auto_clock, 1000, times))
    staying = asyncio.create_task(send(other, auto_clock, 300, times))
    await auto_clock.sleep(5.0)
    gone.cancel()
    killed_at = auto_clock.monotonic()
    await staying
    later = [at for at in times if killed_at + 2.0 <= at < killed_at + 8.0]
    assert len(later) >= 0.9 * 20 * 6.0 - 5
    assert worst(times) <= 20


@pytest.mark.parametrize("text", ["{", '{"bunches": 7}', "[]"])
async def test_a_row_that_nobody_understands_is_refused_in_one_line(
    auto_clock: FakeClock, text: str
) -> None:
    database = FarDatabase(auto_clock)
    database.rows[KEY] = text
    sender = database.sender(20)

    async def refused(call: SharedLimiter) -> str:
        with pytest.raises(JournalError) as raised:
            await call.reserve(5)
        return str(raised.value)

    with pytest.raises(JournalError):
        await sender.open()
    said = await refused(sender)
    assert "the quota of wx1 (singles) is not of this version of promomsg" in said
    assert "\n" not in said
    assert not await sender.gate()
    assert database.rows[KEY] == text
    del database.rows[KEY]
    assert await sender.reserve(5) == 5, "once it is mended it goes on"
