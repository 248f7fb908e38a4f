"""Channels of a user's own, whose calls do not ask the last check: nothing they do is sent twice."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from clocks import FakeClock
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, Pace, WeChatMessage
from promomsg.journal.locate import open_reader
from promomsg.journal.records import InDoubt
from promomsg.journal.sqlite.crash_safety.in_doubt import intended_in
from promomsg.journal.sqlite.readers.journal_reader import JournalReader
from promomsg.model import Answer, Audience, SingleSend
from promomsg.transport.last_check import LastCheck

pytestmark = pytest.mark.asyncio

MESSAGE = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")


class Logging(ScriptedWeChat):
    """Overrides both calls, and forgets to hand the last check on."""

    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        return await super().deliver(compiled, single_send)

    async def deliver_group(
        self,
        compiled: Any,
        values: Sequence[str],
        audience: Audience,
        last_check: LastCheck | None = None,
    ) -> Answer:
        return await super().deliver_group(compiled, values, audience)


def wrapped(clock: FakeClock, pace: Pace | None = None) -> ScriptedWeChat:
    """One whose calls a decorator replaces, which copies what it wraps and drops the last check."""

    def without_check(call: Callable[..., Awaitable[Answer]]) -> Any:
        @functools.wraps(call)
        async def wrapper(*args: Any) -> Answer:
            return await call(*args[:-1])

        return wrapper

    channel = ScriptedWeChat(clock, pace)
    for name in ("deliver", "deliver_group"):
        setattr(channel, name, without_check(getattr(channel, name)))
    return channel


def in_doubt(journal: Path) -> InDoubt:
    """Of whom a resume would not know whether they were called, were the sender killed now."""
    reader = open_reader(journal)
    assert isinstance(reader, JournalReader)
    with reader:
        return intended_in(reader).in_doubt


@pytest.mark.parametrize("make", [Logging, wrapped])
async def test_whoever_is_called_is_in_doubt_after_a_kill_from_the_first_call_on(
    make: Callable[[FakeClock], ScriptedWeChat], auto_clock: FakeClock, tmp_path: Path
) -> None:
    channel = make(auto_clock)
    journal = tmp_path / "a.db"
    seen: list[tuple[int, int]] = []

    async def before_single() -> None:
        await auto_clock.sleep(0.05)
        out = len(channel.single_times) - len(channel.reached)
        seen.append((out, in_doubt(journal).singles))

    channel.before_single = before_single
    people = [str(n) for n in range(1, 31)]
    options: dict[str, Any] = {"journal": journal, "concurrency": 4, "route": "single"}
    async with Campaign(channel, MESSAGE, people, clock=auto_clock, **options) as run:
        report = await run.wait()
    assert (report.sent, report.unknown) == (30, 0)
    assert len(seen) == 30
    assert all(doubt >= out >= 1 for out, doubt in seen)


@pytest.mark.parametrize("make", [Logging, wrapped])
async def test_the_members_of_a_group_that_is_called_are_in_doubt_after_a_kill(
    make: Callable[[FakeClock], ScriptedWeChat], auto_clock: FakeClock, tmp_path: Path
) -> None:
    channel = make(auto_clock)
    journal = tmp_path / "a.db"
    seen: list[InDoubt] = []

    async def before_group() -> None:
        seen.append(in_doubt(journal))

    channel.before_group = before_group
    people = [str(n) for n in range(1, 201)]
    options: dict[str, Any] = {"journal": journal, "max_group_size": 100}
    async with Campaign(channel, MESSAGE, people, clock=auto_clock, **options) as run:
        report = await run.wait()
    assert report.sent == 200
    assert seen == [InDoubt(singles=0, groups=1, members=100)] * 2


@pytest.mark.parametrize("make", [Logging, wrapped])
async def test_the_quota_holds(
    make: Callable[[FakeClock, Pace], ScriptedWeChat], auto_clock: FakeClock, tmp_path: Path
) -> None:
    channel = make(auto_clock, Pace(singles_per_second=10))
    people = [str(n) for n in range(1, 61)]
    options: dict[str, Any] = {"journal": tmp_path / "a.db", "concurrency": 30, "route": "single"}
    async with Campaign(channel, MESSAGE, people, clock=auto_clock, **options) as run:
        report = await run.wait()
    assert report.sent == 60
    times = channel.single_times
    windows = zip(times, times[10:], strict=False)
    assert all(later - earlier >= 1 for earlier, later in windows)
