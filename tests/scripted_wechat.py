"""A WeChat account without a wire, and another machine: engine tests that need no socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from clocks import FakeClock
from journal_model import ModelHandle, ModelJournal

from promomsg import Pace, WeChatPromoter
from promomsg.channels.base import Advice
from promomsg.journal.records import Lease
from promomsg.model import Answer, Audience, Code, Delivery, Promoters, SingleSend, Verdict
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.wechat.message import CompiledWeChatMessage

__all__ = ["WITHHELD", "ScriptedWeChat", "SharedJournal", "let_through"]

WITHHELD = Answer(Verdict.RETRY, Code.NOT_SENT, "it was held back")
"""What a call comes to whose last check said no; the engine does not look at it."""


async def let_through(last_check: LastCheck | None) -> bool:
    """Asks the last check, as every road to the wire does right before the first byte."""
    return last_check is None or last_check.passes() or await last_check.wait()


class ScriptedWeChat(WeChatPromoter):
    """Answers from lists, then with success; remembers when (`clock.monotonic()`) it was called.

    Args:
        clock: the campaign's.
        pace: of the account; default: none.

    Attributes:
        single_answers, group_answers: answers, or exceptions to raise, in order.
        prepared: what the next calls of `prepare` raise.
        before_single, before_group: awaited within each call.
        probe_answers: what the reads that look for the provider come to, in order; then success.
        probe_times: when each of them began.
        looks: what `getmsg` says, `msg_id` to the deliveries to come; the last one stands.
        single_times, group_times: when each call began.
        reached: the addresses of every call that was answered with success, in order.
    """

    def __init__(self, clock: FakeClock, pace: Pace | None = None) -> None:
        super().__init__("wx0001", token=_token, pace=pace or Pace(unlimited=True), clock=clock)
        self.clock = clock
        self.single_answers: deque[Answer | Exception] = deque()
        self.group_answers: deque[Answer | Exception] = deque()
        self.probe_answers: deque[Answer] = deque()
        self.probe_times: list[float] = []
        self.prepared: deque[Exception] = deque()
        self.before_single: Callable[[], Any] | None = None
        self.before_group: Callable[[], Any] | None = None
        self.looks: dict[str, deque[Delivery]] = {}
        self.single_times: list[float] = []
        self.group_times: list[float] = []
        self.reached: list[str] = []

    async def prepare(self) -> None:
        if self.prepared:
            raise self.prepared.popleft()

    async def connect_ahead(self, calls: int) -> int:
        return calls

    async def probe(self, turn: int, msg_id: str | None) -> Answer:
        self.probe_times.append(self.clock.monotonic())
        return self.probe_answers.popleft() if self.probe_answers else Answer(Verdict.SENT)

    async def advise(self) -> Advice | None:
        return None

    @asks_last_check
    async def deliver(
        self,
        compiled: CompiledWeChatMessage,
        single_send: SingleSend,
        last_check: LastCheck | None = None,
    ) -> Answer:
        if not await let_through(last_check):
            return WITHHELD
        self.single_times.append(self.clock.monotonic())
        if self.before_single is not None:
            await self.before_single()
        answer = self.single_answers.popleft() if self.single_answers else Answer(Verdict.SENT)
        if isinstance(answer, Exception):
            raise answer
        if answer.verdict is Verdict.SENT:
            self.reached.append(single_send.id or "")
        return answer

    @asks_last_check
    async def deliver_group(
        self,
        compiled: CompiledWeChatMessage,
        values: Sequence[str],
        audience: Audience,
        last_check: LastCheck | None = None,
    ) -> Answer:
        if not await let_through(last_check):
            return WITHHELD
        self.group_times.append(self.clock.monotonic())
        if self.before_group is not None:
            await self.before_group()
        number = len(self.group_times)
        answer = (
            self.group_answers.popleft()
            if self.group_answers
            else Answer(Verdict.ACCEPTED, msg_id=f"m{number}")
        )
        if isinstance(answer, Exception):
            raise answer
        if answer.verdict is Verdict.ACCEPTED and answer.msg_id is not None:
            assert isinstance(audience, Promoters)
            self.reached += audience.ids
            size = len(audience.ids)
            done = Delivery(answer.msg_id, percent=100, send_cnt=size, fail_cnt=0)
            self.looks.setdefault(answer.msg_id, deque([done]))
        return answer

    async def get_delivery(self, msg_id: str) -> Delivery:
        left = self.looks[msg_id]
        return left.popleft() if len(left) > 1 else left[0]


async def _token(stale: str | None) -> str:
    return "t"


class SharedJournal(ModelJournal):
    """A journal that another machine works on too.

    Attributes:
        handle: the sender's, once there is one.
    """

    handle: ModelHandle

    async def create(self, record: Any) -> ModelHandle:
        self.handle = await super().create(record)
        return self.handle

    async def take(self, *, groups: bool = False) -> Lease | None:
        """What another machine gets when it asks for work now."""
        return await self.handle.take(groups=groups, singles=not groups, idempotent=False)

    def forget_leases(self) -> None:
        """As if every lease had run out: its holder was away for longer than it lives."""
        for chunk in self.handle._store.chunks.values():
            if chunk.deadline is not None:
                chunk.deadline = 0.0
