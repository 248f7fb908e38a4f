"""An outage while sends wait for their pace: the campaign stops fanning out at once, all the same."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from clocks import FakeClock
from journal_model import ModelJournal
from run_controls import run_control
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, Pace, WeChatMessage
from promomsg.engine.sending.brakes.reachability import Reachability
from promomsg.engine.settings import Settings
from promomsg.model import Answer, Verdict

pytestmark = pytest.mark.asyncio

DOWN = Answer(Verdict.RETRY, "NOT_SENT", "cannot connect")


async def test_sends_that_wait_for_the_pace_wait_for_the_end_of_an_outage() -> None:
    clock = FakeClock(auto=True)
    channel = ScriptedWeChat(clock, Pace(singles_per_second=100))
    channel.single_answers.extend([DOWN] * 1_000)
    channel.probe_answers.extend([DOWN] * 1_000)
    message = WeChatMessage(1, {"title": "t"}, "pages/index/index")
    people = [{"openid": f"o{n}"} for n in range(200)]
    begun = clock.monotonic()
    async with (
        channel,
        Campaign(
            channel, message, people, journal=ModelJournal(), clock=clock, concurrency=16
        ) as run,
    ):
        report = await run.wait()
    assert (report.state, report.pending) == ("halted", 200)
    assert "8 probes in a row failed" in report.reason
    # Those that were out when the third failed, and eight probes with longer and longer pauses.
    assert len(channel.single_times) <= 16 + 8 + 3
    assert clock.monotonic() - begun > 20.0


@pytest.mark.parametrize("seed", range(6))
async def test_while_nobodys_retry_is_due_an_outage_costs_no_processor_time(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between probes may end before the first retry is due: the probe is left until then."""
    asked = 0

    async def acquire_probe(self: Reachability, call: object, *, group: bool = False) -> bool:
        nonlocal asked
        asked += 1
        assert asked < 100, "the probe is acquired and dropped again and again"
        return await real_acquire_probe(self, call, group=group)

    real_acquire_probe = Reachability.acquire_probe
    monkeypatch.setattr(Reachability, "acquire_probe", acquire_probe)
    clock = FakeClock(auto=True)
    channel = ScriptedWeChat(clock)
    channel.single_answers.extend([DOWN] * 3)
    message = WeChatMessage(1, {"title": "t"}, "pages/index/index")
    people = [{"openid": f"o{n}"} for n in range(3)]
    async with (
        channel,
        Campaign(
            channel, message, people, journal=ModelJournal(), clock=clock, rng=Random(seed)
        ) as run,
    ):
        report = await run.wait()
    assert (report.state, report.sent) == ("done", 3)


async def test_whoever_waits_for_anothers_probe_costs_no_processor_time() -> None:
    """The pause before the probe is over: the others wait until something is heard of it."""

    async def nothing(*_: Any) -> list[Any]:
        return []

    async def probe(turn: int, msg_id: str | None) -> Answer:
        await answered.wait()
        return Answer(Verdict.SENT)

    clock, answered = FakeClock(), asyncio.Event()
    channel = ScriptedWeChat(clock)
    channel.probe = probe  # type: ignore[method-assign]
    record = SimpleNamespace(name="autumn", outage=None)
    handle = SimpleNamespace(record=record, keep_outage=nothing, warn=nothing, groups=nothing)
    reachability = Reachability(
        cast(Any, handle), channel, Settings(), run_control(clock), clock=clock, rng=Random(1)
    )
    reachability.finish_singles()
    for n in range(3):
        reachability.watch(f"call {n}", DOWN, in_doubt=False, number=n)
    first = asyncio.ensure_future(reachability.acquire_probe("a group"))
    await clock.advance(1.0)
    assert not await first  # the pause is over
    first = asyncio.ensure_future(reachability.acquire_probe("a group"))
    await clock.settle()
    assert reachability.breaker.probing
    other = asyncio.ensure_future(reachability.admit_group("another group"))
    await clock.advance(5.0)
    assert not other.done()
    answered.set()
    assert not await first
    assert not await asyncio.wait_for(other, 5)
    assert await reachability.admit_group("another group")
