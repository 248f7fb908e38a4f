"""However a campaign is cut into parts, and whatever the user asks for meanwhile: parts end by
themselves, nobody is sent to twice, and together they end the campaign."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from random import Random
from typing import Any

import anyio
import msgspec
from clocks import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import ModelHandle, ModelJournal
from scripted_wechat import ScriptedWeChat

from promomsg import Campaign, PollPolicy, RetryPolicy, WeChatMessage
from promomsg.engine.joining import Part, PartDone, do_part
from promomsg.journal.records import Control
from promomsg.model import Answer, Delivery, Verdict

LIFE = ModelHandle.lease_life
EVERYTHING = (Part(singles=True, groups=True), Part(polls=True))
ANSWERS = (
    Answer(Verdict.SENT),
    Answer(Verdict.SENT),
    Answer(Verdict.FAILED, "103010", "no"),
    Answer(Verdict.RETRY, "NOT_SENT", "refused", readable=False),
    Answer(Verdict.THROTTLED, "45011", "slower"),
    Answer(Verdict.UNKNOWN, "NO_ANSWER", "lost", readable=False),
    Answer(Verdict.HALT, "48001", "no right"),
)


class OfMany(ModelJournal):
    """A journal that any number of processes may have open to send."""

    async def open(self, **words: Any) -> ModelHandle:
        assert self._store is not None
        return ModelHandle(self, self._store, self._clock, write=True)


class Step(msgspec.Struct, frozen=True):
    """One process does a part; it begins so many seconds after the one before, and is told to end after so many."""

    what: Part
    begins: float
    told: float | None
    concurrency: int


PARTS = st.builds(
    Part,
    singles=st.booleans(),
    groups=st.booleans(),
    polls=st.booleans(),
    seconds=st.sampled_from([None, 0.0, 0.5, 5.0]),
)
STEPS = st.lists(
    st.builds(
        Step,
        PARTS,
        st.sampled_from([0.0, 0.2, 3.0, 200.0]),
        st.sampled_from([None, 0.0, 0.3, 4.0]),
        st.integers(1, 5),
    ),
    max_size=6,
)
REQUESTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.3, 2.0, 9.0]), st.sampled_from(list(Control))), max_size=3
)


class Trial:
    """A campaign whose parts several processes do."""

    def __init__(self, people: int, answers: list[Answer], seconds: float) -> None:
        self.clock = FakeClock(auto=True)
        self.journal = OfMany(self.clock)
        self.people = people
        self.answers = answers[::-1]
        self.seconds = seconds
        self.channels: list[ScriptedWeChat] = []
        self.looks: dict[str, deque[Delivery]] = {}

    def channel(self) -> ScriptedWeChat:
        """That of one more process; all of them draw their answers from one list."""
        found = ScriptedWeChat(self.clock)
        found.looks = self.looks

        async def call() -> None:
            await self.clock.sleep(self.seconds)
            if self.answers:
                found.single_answers.append(self.answers.pop())

        found.before_single = call
        self.channels.append(found)
        return found

    async def plan(self) -> None:
        # Texts of their own make single sends of some of them, and one text a group of the others.
        message = WeChatMessage(1, {"title": "{name}"}, "pages/index/index")
        people = [
            {"id": str(1000 + n), "name": "all" if n < 60 else f"n{n}"} for n in range(self.people)
        ]
        await Campaign(
            self.channel(),
            message,
            people,
            journal=self.journal,
            clock=self.clock,
            poll=PollPolicy(first_after=1.0, every=5.0),
            retry=RetryPolicy(first_pause=0.1, longest_pause=1.0),
        ).hand_over()

    async def part(self, what: Part, told: float | None = None, concurrency: int = 4) -> PartDone:
        stop = anyio.Event()

        async def tell() -> None:
            if told is not None:
                await self.clock.sleep(told)
                stop.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell)
            done = await do_part(
                self.journal,
                self.channel(),
                what,
                concurrency=concurrency,
                stop=stop,
                clock=self.clock,
                rng=Random(1),
            )
            tasks.cancel_scope.cancel()
        return done

    async def meddle(self, steps: list[Step], requests: list[tuple[float, Control]]) -> None:
        """Parts begin and end, and the user asks for this and that."""

        async def ask() -> None:
            handle = await self.journal.open()
            for seconds, control in requests:
                await self.clock.sleep(seconds)
                await handle.set_control(control)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            for step in steps:
                await self.clock.sleep(step.begins)
                tasks.start_soon(self.part, step.what, step.told, step.concurrency)

    async def end(self) -> PartDone:
        """A worker does what is left, and a person takes back what stands in its way."""
        while True:
            handle = await self.journal.open()
            row = await handle.control()
            if row.requested is Control.PAUSE:
                await handle.set_control(Control.RUN)
            if row.halted is not None:
                self.answers.clear()
                await handle.resume(self.clock.time())
            for what in EVERYTHING:
                done = await self.part(what)
            if done.state in ("done", "cancelled"):
                return done
            await self.clock.sleep(5.0)


@settings(max_examples=120, deadline=None)
@given(
    people=st.sampled_from([1, 7, 60, 85]),
    answers=st.lists(st.sampled_from(ANSWERS), max_size=30),
    seconds=st.sampled_from([0.0, 0.05, 1.0]),
    steps=STEPS,
    requests=REQUESTS,
)
def test_parts_end_a_campaign_and_nobody_is_sent_to_twice(
    people: int,
    answers: list[Answer],
    seconds: float,
    steps: list[Step],
    requests: list[tuple[float, Control]],
) -> None:
    trial = Trial(people, answers, seconds)

    async def run() -> PartDone:
        await trial.plan()
        await trial.meddle(steps, requests)
        return await trial.end()

    done = asyncio.run(asyncio.wait_for(run(), 60))
    store = trial.journal._store
    assert store is not None
    counts = store.counts()
    reached = Counter(one for channel in trial.channels for one in channel.reached)
    assert (done.work_left, counts.pending, counts.planned) == (False, 0, people)
    assert set(reached.values()) <= {1}
    assert counts.sent == len(reached)
    assert counts.cancelled == 0 or any(control is Control.CANCEL for _, control in requests)
    # The unknown are those whose answer was lost: no part that ends leaves anybody in doubt.
    lost = sum(answer.verdict is Verdict.UNKNOWN for answer in answers)
    assert counts.unknown <= lost
    assert not any(chunk.is_held(trial.clock.monotonic()) for chunk in store.chunks.values())
