"""A cap on messages per person, counted again when a campaign begins that waited for its start or its hours."""

from __future__ import annotations

from promomsg.clock import Clock
from promomsg.engine.frequency.counted_cap import count_again
from promomsg.engine.prepare.campaign_start import RunContext
from promomsg.engine.schedule.waiting import schedule_of
from promomsg.engine.sending.run_control import RunControl
from promomsg.journal.records import CampaignRecord

__all__ = ["may_begin"]


async def may_begin(context: RunContext, control: RunControl, clock: Clock) -> bool:
    """Whether a run is to send: a part may only poll. With a cap it waits for its start, and for the first of
    its hours, and counts once more, so that what others have sent since the plan was made counts
    (docs/design.md, "Messages per person"). False also when nothing is to be sent any more by then, or not
    in this part.

    Raises:
        JournalError: as `count_again`.
    """
    part, settings, handle = context.part, context.settings, context.handle
    if part is not None and not (part.singles or part.groups):
        return False
    begins = None if settings.cap is None else _begins_at(handle.record)
    if begins is None or await handle.is_cap_counted(begins):
        return True
    if not await control.until_sending():
        return False
    counted = count_again(handle, settings, clock, after=begins, given_up=lambda: control.stopping)
    async with counted as notice:
        if notice is not None:
            await handle.warn(notice)
    return not control.stopping


def _begins_at(record: CampaignRecord) -> float | None:
    """When a campaign begins that waits for its start or its hours once its plan is made, Unix seconds: the
    same for each of its senders. None: it begins at once, or never."""
    schedule, planned_at = schedule_of(record), record.planned_at
    if schedule is None or planned_at is None:
        return None
    begins = schedule.first_opening(max(planned_at, schedule.start_at or planned_at))
    return None if begins is None or begins <= planned_at else begins
