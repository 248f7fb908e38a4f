"""The last check of a campaign's send, right before its first byte leaves.

It is asked with the connection in hand (`transport.last_check`): whether the campaign may still
send, whether it is within the hours of its recipients, whether its lease is surely ours, whether the
provider is known to be out of reach, and whether the sliding window has room. The order of a send is permit, pace, connection, intent, this check, wire slot, first byte
(docs/design.md, "The order of a send").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from promomsg.clock import Clock
from promomsg.engine.sending.brakes.circuit_breaker import CircuitBreaker
from promomsg.engine.sending.held_leases import HeldLease
from promomsg.engine.sending.run_control import RunControl
from promomsg.journal.contract import Handle
from promomsg.model import Answer, Code, Verdict
from promomsg.transport.last_check import does_ask
from promomsg.transport.quota.limiter import RateLimiter

__all__ = ["FirstByteCheck", "behind_last_check"]

_WITHHELD: Final = Answer(Verdict.RETRY, Code.NOT_SENT, "it was held back: nothing was sent")


class FirstByteCheck:
    """Whether the first byte of one call may leave. One object serves one call after the other.

    Attributes:
        number: the call's, by `CircuitBreaker.begun`.
        withheld: the call was not made; whoever was intended goes back to pending, uncalled.
    """

    __slots__ = (
        "_breaker",
        "_call",
        "_control",
        "_handle",
        "_held",
        "_limiter",
        "_now",
        "_seq",
        "number",
        "withheld",
    )

    def __init__(
        self,
        handle: Handle,
        control: RunControl,
        breaker: CircuitBreaker,
        limiter: RateLimiter,
        clock: Clock,
    ) -> None:
        self._handle = handle
        self._control = control
        self._breaker = breaker
        self._limiter = limiter
        self._call: object = None
        self._held: HeldLease | None = None
        self._now = clock.monotonic
        self._seq: int | None = None
        self.number = 0
        self.withheld = False

    def start(self, call: object, held: HeldLease, seq: int | None = None) -> None:
        """The next call: a single send, or a group's lease (`seq` None)."""
        self._call, self._held, self._seq = call, held, seq
        self.number = 0
        self.withheld = False

    def _may_go(self) -> bool:
        breaker, held = self._breaker, self._held
        if held is None or self._now() >= held.deadline:
            return False  # somebody else may have it by now, and call the same people
        if not self._control.may_send(held.lease.cohort):
            return False
        return not breaker.is_open or breaker.is_probe(self._call)

    def passes(self) -> bool:
        """Whether it may leave at this very moment; then it does."""
        # `_may_go` and `_leave` in one piece: every message asks.
        breaker, held = self._breaker, self._held
        if held is None or self._now() >= held.deadline:
            return False
        if not self._control.may_send(held.lease.cohort):
            return False
        if breaker.is_open and not breaker.is_probe(self._call):
            return False
        if not self._limiter.try_gate():
            return False
        self._handle.mark_leaving(held.lease, self._seq)
        breaker.begun += 1
        self.number = breaker.begun
        return True

    async def wait(self) -> bool:
        """Waits for the gate, for a second at the most; False: it is withheld."""
        # Asked again behind the wait: an outage may have begun, or somebody have paused it.
        if not (self._may_go() and await self._limiter.gate() and self._may_go()):
            self.withheld = True
            return False
        self._leave()
        return True

    def _leave(self) -> None:
        assert self._held is not None
        self._handle.mark_leaving(self._held.lease, self._seq)
        self._breaker.begun += 1
        self.number = self._breaker.begun


class _Passed:
    """A last check that was asked before."""

    def passes(self) -> bool:
        return True

    async def wait(self) -> bool:
        return True


_PASSED: Final = _Passed()


def behind_last_check(
    deliver: Callable[..., Awaitable[Answer]],
) -> Callable[..., Awaitable[Answer]]:
    """A channel's `deliver` or `deliver_group`, to be called with a `FirstByteCheck` as its last argument.

    One that is not known to ask it (`asks_last_check`) is called once it has said yes: a call that
    nobody was asked about would have no wire slot, and be made again after a kill.
    """
    if does_ask(deliver):
        return deliver

    async def ask_and_deliver(*args: Any) -> Answer:
        *call, check = args
        if not (check.passes() or await check.wait()):
            return _WITHHELD
        return await deliver(*call, _PASSED)

    return ask_and_deliver
