"""Senders of one campaign that stand for a process each, and a journal on a server that can be away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import anyio
from clocks import FakeClock
from journal_model import ModelHandle, ModelJournal
from journal_rows import record, row
from scripted_wechat import ScriptedWeChat

from promomsg import WeChatMessage
from promomsg.engine.prepare.campaign_start import RunContext
from promomsg.engine.run import Run
from promomsg.engine.settings import Settings, settings_of
from promomsg.journal.records import Lease, SendResult
from promomsg.journal.unreachable import JournalUnreachable, until_reached
from promomsg.model import Answer
from promomsg.transport.last_check import LastCheck, asks_last_check

__all__ = ["LIFE", "PERSONAL", "PLAIN", "AtTheGate", "Sender", "ServerHandle", "planned", "states"]

PERSONAL = WeChatMessage(1, {"title": "{name}"}, "pages/index/index")
PLAIN = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
LIFE = ModelHandle.lease_life


class ServerHandle(ModelHandle):
    """A journal on a server: while it is away, whatever it is asked for is repeated.

    Attributes:
        away: whether it cannot be reached.
        lost_answers: whether it does what it is asked for first, and only its answers are lost.
        tries: how often it was asked in vain.
        intents: how many singles were intended, by call.
    """

    clock: FakeClock
    away = False
    lost_answers = False
    tries = 0

    async def _reached(self, call: Callable[[], Any]) -> Any:
        async def one_try() -> Any:
            if self.away and not self.lost_answers:
                self.tries += 1
                raise JournalUnreachable("the connection is refused")
            answer = await call()
            if self.away:
                self.tries += 1
                raise JournalUnreachable("the connection was cut")
            return answer

        return await until_reached(one_try, life=self.lease_life, clock=self.clock)

    async def take(self, **words: Any) -> Lease | None:
        return await self._reached(lambda: ModelHandle.take(self, **words))

    async def renew(self, leases: Sequence[Lease]) -> frozenset[int]:
        return await self._reached(lambda: ModelHandle.renew(self, leases))

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        return await self._reached(lambda: ModelHandle.intend(self, lease, seqs, at, day))

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        return await self._reached(lambda: ModelHandle.settle(self, lease, results))

    async def control(self) -> Any:
        return await self._reached(lambda: ModelHandle.control(self))


class Sender:
    """One process: a run of its own, on the journal of all."""

    def __init__(
        self,
        journal: ModelJournal,
        clock: FakeClock,
        *,
        channel: ScriptedWeChat | None = None,
        journal_clock: FakeClock | None = None,
        **options: Any,
    ) -> None:
        self.channel = channel or ScriptedWeChat(clock)
        store = journal._store
        assert store is not None
        self.handle = ServerHandle(journal, store, journal_clock or clock, write=True)
        self.handle.clock = clock
        settings: Settings = settings_of({"concurrency": 4, **options})
        context = RunContext(
            handle=self.handle,
            channel=self.channel,
            compiled=self.channel.compile_snapshot(store.record.message),
            settings=settings,
            tokens=None,
            counts=store.counts(),
            groups=[],
            journal=journal,
            rows=journal.rows_later(),
        )
        self.run = Run(context, clock=clock, rng=Random(1))

    async def work(self) -> None:
        await self.run.drive()


async def planned(
    count: int, clock: FakeClock, *, group: bool = False, chunk_size: int = 100
) -> ModelJournal:
    """A campaign of so many whose plan is complete; nobody has sent yet."""
    journal = ModelJournal(clock)
    message = ScriptedWeChat(clock).compile(PLAIN if group else PERSONAL).snapshot()
    about = record(message=message, planned_at=clock.time(), account="wx0001")
    handle = await journal.create(about)
    await handle.add_rows(
        [row(n, id=str(n), word=None if group else f"n{n}") for n in range(count)]
    )
    if group:
        await handle.make_groups(None, [count])
    await handle.seal(about, chunk_size=chunk_size)
    await handle.close()
    return journal


def states(journal: ModelJournal) -> str:
    assert journal._store is not None
    return "".join(row.state.value[0] for row in journal._store.in_order())


class AtTheGate(ScriptedWeChat):
    """Stands still between the intents and the gate, from its first call on."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.waiting = 0
        self.go_on = anyio.Event()

    @asks_last_check
    async def deliver(
        self, compiled: Any, single_send: Any, last_check: LastCheck | None = None
    ) -> Answer:
        self.waiting += 1
        await self.go_on.wait()
        return await super().deliver(compiled, single_send, last_check)
