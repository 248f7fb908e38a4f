"""Whatever a provider answers, and whatever the user asks for meanwhile: a campaign ends, nobody is
sent to twice, the sums are right, and nothing turns in circles while it waits.

No wire and no file: the clock moves when every task waits, so that a wake-up that is lost shows as
a campaign that is still there after hours, and a loop that waits for nothing as one that never lets
the clock move.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from clocks import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import ModelJournal
from scripted_wechat import WITHHELD, ScriptedWeChat, let_through

from promomsg import Campaign, Pace, PollPolicy, RetryPolicy, WeChatMessage
from promomsg.engine.sending.next_step import NextStep, Step
from promomsg.errors import NotSent
from promomsg.model import Answer, Audience, Promoters, SingleSend, Verdict
from promomsg.transport.last_check import LastCheck, asks_last_check

LONG = 40_000.0
"""Seconds after which nobody can still be waiting for something."""

LOST = Answer(Verdict.UNKNOWN, "NO_ANSWER", "lost", readable=False)
ANSWERS = {
    "sent": Answer(Verdict.SENT),
    "failed": Answer(Verdict.FAILED, "103010", "no"),
    "lost": LOST,
    "lost, delivered": LOST,
    "refused connection": Answer(Verdict.RETRY, "NOT_SENT", "refused", readable=False),
    "throttled": Answer(Verdict.THROTTLED, "45011", "slower"),
    "throttled for 2 s": Answer(Verdict.THROTTLED, "429", "slower", retry_after=2.0),
    "throttled for 0 s": Answer(Verdict.THROTTLED, "429", "slower", retry_after=0.0),
    "token": Answer(Verdict.RETRY, "40001", "token", token_failed=True),
    "halt": Answer(Verdict.HALT, "45009", "used up"),
    "bug": LOST,
}
KINDS = st.sampled_from([*ANSWERS, *(["sent", "lost", "refused connection"] * 4)])


class Phase(msgspec.Struct):
    """So many calls in a row that are answered alike, each after so long."""

    count: int
    kind: str
    seconds: float


def phases(most: int, longest: int) -> st.SearchStrategy[list[Phase]]:
    phase = st.builds(
        Phase, st.integers(1, longest), KINDS, st.sampled_from([0.0, 0.01, 0.7, 20.0])
    )
    return st.lists(phase, max_size=most)


class Provider(ScriptedWeChat):
    """Answers by phases, then with success, and knows who was called and who got it."""

    def __init__(
        self, clock: FakeClock, pace: Pace, singles: list[Phase], groups: list[Phase]
    ) -> None:
        super().__init__(clock, pace)
        self.singles = [phase for phase in singles for _ in range(phase.count)][::-1]
        self.groups_to_come = [phase for phase in groups for _ in range(phase.count)][::-1]
        self.probes: list[bool] = []
        self.final: set[str] = set()
        self.delivered: Counter[str] = Counter()
        self.calls = 0
        self.asked = 0

    async def prepare(self) -> None:
        self.asked += 1
        await super().prepare()

    async def probe(self, turn: int, msg_id: str | None) -> Answer:
        self.calls += 1
        await self.clock.sleep(0.01)
        return Answer(Verdict.SENT) if not self.probes or self.probes.pop() else LOST

    def _arrive(self, whom: Sequence[str], phase: Phase) -> None:
        for one in whom:
            assert self.idempotent or one not in self.final, f"{one} was called again"
            if phase.kind in ("sent", "failed", "lost", "lost, delivered", "bug"):
                self.final.add(one)
            if phase.kind in ("sent", "lost, delivered"):
                self.delivered[one] = 1 if self.idempotent else self.delivered[one] + 1

    @asks_last_check
    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        if not await let_through(last_check):
            return WITHHELD
        self.calls += 1
        phase = self.singles.pop() if self.singles else Phase(1, "sent", 0.01)
        assert single_send.id is not None
        self._arrive([single_send.id], phase)
        await self.clock.sleep(phase.seconds)
        if phase.kind == "bug":
            raise RuntimeError("a bug of the channel's")
        return ANSWERS[phase.kind]

    @asks_last_check
    async def deliver_group(
        self,
        compiled: Any,
        values: Sequence[str],
        audience: Audience,
        last_check: LastCheck | None = None,
    ) -> Answer:
        if not await let_through(last_check):
            return WITHHELD
        self.calls += 1
        phase = self.groups_to_come.pop() if self.groups_to_come else Phase(1, "sent", 0.01)
        assert isinstance(audience, Promoters)
        self._arrive(audience.ids, phase)
        await self.clock.sleep(phase.seconds)
        if phase.kind == "bug":
            raise RuntimeError("a bug of the channel's")
        if phase.kind != "sent":
            return ANSWERS[phase.kind]
        return await super().deliver_group(compiled, values, audience)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.005, 0.3, 1.0, 7.0]),
        st.sampled_from(["pause", "go", "pause", "go", "cancel", "leave"]),
    ),
    max_size=6,
)
PACES = st.sampled_from(
    [
        Pace(unlimited=True),
        Pace(singles_per_second=20, groups_per_minute=30),
        Pace(singles_per_day=30),
    ]
)


@settings(deadline=None, max_examples=60)
@given(
    people=st.integers(0, 150),
    groups=st.integers(0, 4),
    concurrency=st.integers(1, 20),
    groups_in_flight=st.integers(1, 6),
    pace=PACES,
    attempts=st.integers(1, 8),
    answers=phases(6, 40),
    group_answers=phases(3, 2),
    probes=st.lists(st.booleans(), max_size=30),
    unprepared=st.lists(st.sampled_from([None, 0.0, 3.0]), max_size=3),
    idempotent=st.booleans(),
    max_error_rate=st.sampled_from([None, None, 0.5]),
    actions=ACTIONS,
    seed=st.integers(0, 1000),
)
def test_every_campaign_ends_and_nobody_is_sent_to_twice(**given: Any) -> None:
    asyncio.run(_one(**given))


async def _one(
    *,
    people: int,
    groups: int,
    concurrency: int,
    groups_in_flight: int,
    pace: Pace,
    attempts: int,
    answers: list[Phase],
    group_answers: list[Phase],
    probes: list[bool],
    unprepared: list[float | None],
    idempotent: bool,
    max_error_rate: float | None,
    actions: list[tuple[float, str]],
    seed: int,
) -> None:
    clock = FakeClock(auto=True)
    channel = Provider(clock, pace, answers, group_answers)
    channel.probes = list(probes)
    channel.prepared.extend(NotSent("not now", retry_after=after) for after in unprepared)
    if idempotent:
        # As a wallet is: neither groups nor reads.
        channel.idempotent = True
        channel.groups = False
        channel.probes_by_reading = False
        groups = 0
    rows: list[dict[str, Any]] = [
        {"id": str(1_000_000 + n), "who": f"s{n}"} for n in range(people)
    ] + [{"id": str(2_000_000 + n), "who": f"g{n // 50}"} for n in range(50 * groups)]
    if not rows:
        return
    text = WeChatMessage(1, {"title": "今日 {who}"}, "pages/index/index")
    steps = 0
    chosen = NextStep.choose

    def choose(self: NextStep, *, calling: int) -> Step:
        nonlocal steps
        steps += 1
        return chosen(self, calling=calling)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NextStep, "choose", choose)
        async with Campaign(
            channel,
            text,
            rows,
            journal=ModelJournal(),
            clock=clock,
            rng=Random(seed),
            concurrency=concurrency,
            groups_in_flight=groups_in_flight,
            max_error_rate=max_error_rate,
            retry=RetryPolicy(attempts=attempts),
            poll=PollPolicy(first_after=1.0),
        ) as run:
            ends = asyncio.ensure_future(run.wait())
            late = asyncio.ensure_future(_after(clock, LONG))
            for seconds, action in actions:
                await clock.sleep(seconds)
                if action == "leave":
                    break
                {"pause": run.pause, "go": run.resume_sending, "cancel": run.cancel}[action]()
            else:
                run.resume_sending()
                await asyncio.wait({ends, late}, return_when="FIRST_COMPLETED", timeout=30)
                assert not late.done(), f"it waits for ever: {run.progress}"
                assert ends.done(), f"the clock stands still: {run.progress}"
            for task in (ends, late):
                task.cancel()
            await asyncio.gather(ends, late, return_exceptions=True)
        report = run.report
    counted = report.sent + report.failed + report.unknown + report.skipped + report.cancelled
    assert report.planned == len(rows) == counted + report.pending
    assert report.state != "done" or report.pending == 0, report
    assert max(channel.delivered.values(), default=0) <= 1
    assert (
        report.sent
        <= sum(channel.delivered.values())
        <= report.sent + report.unknown + (report.pending if idempotent or groups else 0)
    )
    waits = sum(seconds != 0.5 for seconds in clock.slept)
    events = channel.calls + channel.asked + waits + len(actions)
    assert steps <= 20 + 2 * events, "it turns in circles"


async def _after(clock: FakeClock, seconds: float) -> None:
    await clock.sleep(seconds)
