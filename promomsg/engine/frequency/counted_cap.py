"""When a cap on messages per person is counted: at planning, and again right before the plan is complete or
the campaign goes on (docs/design.md, "Messages per person").
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from promomsg.clock import Clock
from promomsg.crashpoints import reached
from promomsg.engine.frequency.frequency_cap import FrequencyCap
from promomsg.engine.settings import Settings
from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.frequency.cap_contract import MessageCap, OverCap
from promomsg.model import GROUP_THRESHOLD
from promomsg.plural import counted
from promomsg.shielded import run_shielded

__all__ = [
    "CAP_NEEDS_EXPAND",
    "CAP_NEEDS_PLACE",
    "count_again",
    "count_at_planning",
]


log = logging.getLogger("promomsg.engine")

CAP_NEEDS_EXPAND: Final = (
    "max_per_person: the members of an audience that is sent to as one group are not known, so nobody can be "
    "left out: say expand=true, or give a list of recipients"
)
CAP_NEEDS_PLACE: Final = (
    "max_per_person: messages are counted over the journals of a folder, or over a fleet's database, and this "
    "campaign's journal is in neither: give a path or fleet:NAME as journal="
)

_LOOK_EVERY: Final = 0.1
_LONGEST_WAIT: Final = 600.0
"""Seconds between tries, and in all, while another campaign counts: of three million messages it takes
about half a minute."""


async def count_at_planning(
    handle: Handle, settings: Settings, clock: Clock
) -> tuple[list[str], int]:
    """Skips who is over the cap by now; what the plan says of that, and how many they are. Nothing is done
    without a cap.

    Raises:
        UsageError, JournalError: as `CapCounter.skip_over_cap`.
    """
    cap = settings.cap
    if cap is None:
        return [], 0
    over = await _skip(handle, cap, clock)
    others = counted(over.campaigns, "other campaign")
    notices = [
        f"max_per_person {cap.text}: {counted(over.skipped, 'recipient')} left out, counted over {others} of this account "
        f"in {over.where}"
    ]
    return notices, over.skipped


@asynccontextmanager
async def count_again(
    handle: Handle,
    settings: Settings,
    clock: Clock,
    *,
    after: float | None = None,
    given_up: Callable[[], bool] = lambda: False,
) -> AsyncIterator[str | None]:
    """A block before whose end nobody else counts: in it the plan is made durable. Whoever is over the cap by
    now is skipped first; what there is to say of that, if anybody is. Nothing is done without a cap.

    Args:
        after: Unix seconds; nothing is done when it was counted at that moment or later.
        given_up: asked while others count: whether nobody waits for it any more; then nothing is done.

    Raises:
        UsageError: as `CapCounter.hold_cap`.
        JournalError: as `CapCounter.skip_over_cap`, or others have counted for ten minutes.
    """
    cap = settings.cap
    if cap is None:
        yield None
        return
    held = await _hold(handle, clock, given_up)
    try:
        if not held:
            yield None
            return
        if after is not None and await handle.is_cap_counted(after):
            yield None
            return
        over = await _skip(handle, cap, clock, after)
        reached("cap-counted")
        if over.skipped:
            text = (
                f"max_per_person {cap.text}: {counted(over.skipped, 'more recipient is', 'more recipients are')} left out than when the "
                "campaign was planned: they have had, or will have, other messages since"
            )
            log.warning("%s", text)
            yield text
        else:
            yield None
    finally:
        await run_shielded(handle.release_cap)


async def _hold(handle: Handle, clock: Clock, given_up: Callable[[], bool]) -> bool:
    began = clock.monotonic()
    while not await handle.hold_cap():
        if given_up():
            return False
        if clock.monotonic() - began > _LONGEST_WAIT:
            raise JournalError(
                "max_per_person: another campaign of this account has been counting for ten minutes; look "
                "whether its process stands still, then try again"
            )
        await clock.sleep(_LOOK_EVERY)
    return True


async def _skip(
    handle: Handle, cap: FrequencyCap, clock: Clock, after: float | None = None
) -> OverCap:
    # What senders on several machines wait for, they know by one clock, and this one may be another.
    now = clock.time() if after is None else max(clock.time(), after)
    limit = MessageCap(cap.most, now - cap.window, cap.text)
    return await handle.skip_over_cap(limit, smallest_group=GROUP_THRESHOLD, at=now)
