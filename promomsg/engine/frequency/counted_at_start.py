"""A cap on messages per person, counted again when a campaign that waited for its start begins."""

from __future__ import annotations

from promomsg.clock import Clock
from promomsg.engine.frequency.counted_cap import count_again
from promomsg.engine.prepare.campaign_start import RunContext
from promomsg.engine.sending.run_control import RunControl

__all__ = ["may_begin"]


async def may_begin(context: RunContext, control: RunControl, clock: Clock) -> bool:
    """Whether a run is to send: a part may only poll. With a cap and a start it waits for that, and counts once
    more, so that what others have sent since the plan was made counts; False also when nothing is to be sent
    any more by then, or not in this part.

    Raises:
        JournalError: as `count_again`.
    """
    part, settings, handle = context.part, context.settings, context.handle
    if part is not None and not (part.singles or part.groups):
        return False
    schedule = None if settings.cap is None else settings.times.schedule()
    start = None if schedule is None else schedule.start_at
    if start is None or await handle.is_cap_counted(start):
        return True
    if not await control.until_sending():
        return False
    async with count_again(handle, settings, clock, after=start) as notice:
        if notice is not None:
            await handle.warn(notice)
    return True
