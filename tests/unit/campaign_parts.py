"""Campaigns of which several processes do parts; each part stands for a process of its own."""

from __future__ import annotations

from typing import Any

from clocks import FakeClock
from journal_model import ModelHandle, ModelJournal
from journal_rows import record, row
from scripted_wechat import ScriptedWeChat

from promomsg import WeChatMessage
from promomsg.engine.joining import Part, PartDone, do_part
from promomsg.journal.records import Control

__all__ = ["LIFE", "POLLS", "SENDS", "OfMany", "asks", "held_by_another", "part", "planned"]

PLAIN = WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
SENDS = Part(singles=True, groups=True)
POLLS = Part(polls=True)
LIFE = ModelHandle.lease_life


class OfMany(ModelJournal):
    """A journal that any number of processes may have open to send."""

    async def open(self, **words: Any) -> ModelHandle:
        assert self._store is not None
        return ModelHandle(self, self._store, self._clock, write=True)


async def planned(
    count: int, clock: FakeClock, *, group: bool = False, chunk_size: int = 100, **settings: Any
) -> OfMany:
    """A campaign of so many whose plan is complete; nobody has sent yet."""
    journal = OfMany(clock)
    snapshot = ScriptedWeChat(clock).compile(PLAIN).snapshot()
    about = record(message=snapshot, planned_at=clock.time(), account="wx0001", settings=settings)
    handle = await journal.create(about)
    await handle.add_rows([row(n, id=str(n)) for n in range(count)])
    if group:
        await handle.make_groups(None, [count])
    await handle.seal(about, chunk_size=chunk_size)
    await handle.close()
    return journal


async def part(
    journal: OfMany,
    clock: FakeClock,
    what: Part = SENDS,
    *,
    channel: ScriptedWeChat | None = None,
    **words: Any,
) -> tuple[PartDone, list[str]]:
    """Does a part; what came of it, and whom it reached."""
    channel = channel or ScriptedWeChat(clock)
    done = await do_part(journal, channel, what, clock=clock, **words)
    return done, channel.reached


async def held_by_another(journal: OfMany, clock: FakeClock) -> Any:
    """What another machine has taken and works on."""
    other = await journal.open()
    return await other.take(groups=False, singles=True, idempotent=False)


async def asks(journal: OfMany, control: Control) -> None:
    handle = await journal.open()
    await handle.set_control(control)
