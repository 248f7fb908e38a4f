"""A journal on a server that cannot be reached for a while.

Where it is repeated: in the handle, for every method and for `lease_life` seconds at the most. Calls in
flight go on meanwhile, and their results wait; nobody new is intended, since the intent waits too; the
gate lets nobody pass whose lease has ended. Up to there an outage costs time and no outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from promomsg.clock import Clock
from promomsg.errors import JournalError

__all__ = ["JournalUnreachable", "until_reached"]

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
"""Seconds between two tries: twice as many after each, up to this."""


class JournalUnreachable(JournalError):
    """The journal cannot be reached now: nobody knows whether it has done what it was asked for."""


async def until_reached(call: Callable[[], Awaitable[T]], *, life: float, clock: Clock) -> T:
    """What `call` returns, once the journal can be reached.

    Args:
        call: one try, which does nothing twice when it is repeated.
        life: seconds after which nobody repeats it any more: those of a lease, which has ended by then.

    Raises:
        JournalUnreachable: it could not be reached in all that time.
    """
    end = clock.monotonic() + life
    pause = _FIRST_PAUSE
    while True:
        try:
            return await call()
        except JournalUnreachable:
            left = end - clock.monotonic()
            if left <= 0:
                raise
            await clock.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
