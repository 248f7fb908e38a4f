"""An outage while sends wait for their pace: the campaign stops fanning out at once, all the same."""

from __future__ import annotations

import pytest
from clocks import FakeClock
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, Pace, WeChatMessage
from promomsg.journal.memory import MemoryJournal
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
            channel, message, people, journal=MemoryJournal(), clock=clock, concurrency=16
        ) as run,
    ):
        report = await run.wait()
    assert (report.state, report.pending) == ("halted", 200)
    assert "8 probes in a row failed" in report.reason
    # Those that were out when the third failed, and eight probes with longer and longer pauses.
    assert len(channel.single_times) <= 16 + 8 + 3
    assert clock.monotonic() - begun > 20.0
