"""The last word on a send: asked with the connection in hand, right before the first byte leaves.

Whatever a send has to wait for (a permit, its pace, a handshake) is over by then, so that what is
counted at this moment is what the server sees, and what is written down at it (that bytes left for
this recipient) is true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

from promomsg.errors import NotSent
from promomsg.transport.quota.limiter import RateLimiter

__all__ = ["GateCheck", "LastCheck", "Withheld", "asks_last_check", "does_ask"]

_Call = TypeVar("_Call", bound=Callable[..., Any])
_asking: Final[WeakSet[Callable[..., Any]]] = WeakSet()


class Withheld(NotSent):
    """The last check said no: nothing was sent, for a reason of ours and not of the connection's."""


class LastCheck(Protocol):
    """Whether the first byte of one call may leave. Once it said yes, the byte leaves."""

    def passes(self) -> bool:
        """Whether it may leave at this very moment. False: ask `wait`."""
        ...

    async def wait(self) -> bool:
        """Waits for a moment at which it may; False: it is not to be sent now."""
        ...


class GateCheck:
    """The gate of a rate limiter as the last check.

    Attributes:
        withheld: the call was not made, since the gate stays shut for longer than a second.
        passed: it was let through.
    """

    __slots__ = ("_limiter", "passed", "withheld")

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self.withheld = self.passed = False

    def passes(self) -> bool:
        self.passed = self._limiter.try_gate()
        return self.passed

    async def wait(self) -> bool:
        self.passed = await self._limiter.gate()
        self.withheld = not self.passed
        return self.passed


def asks_last_check(call: _Call) -> _Call:
    """Marks a channel's `deliver` or `deliver_group`: it asks the last check right before the first
    byte of each call. One that overrides or wraps it is not marked by that."""
    _asking.add(call)
    return call


def does_ask(call: Callable[..., Any]) -> bool:
    """Whether it is marked so."""
    return getattr(call, "__func__", call) in _asking
