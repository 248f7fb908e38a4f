"""A suppression list held against a list of recipients, for `doctor`: nothing is planned or kept."""

from __future__ import annotations

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.clock import Clock
from promomsg.engine.prepare.planner import READ_SIZE, Planner
from promomsg.engine.prepare.suppression_list import Suppress, Suppression
from promomsg.engine.settings import Settings
from promomsg.intake import Source
from promomsg.journal.records import CampaignRecord
from promomsg.journal.sqlite.journal import SqliteJournal

__all__ = ["check_suppression"]


async def check_suppression(
    suppress: Suppress,
    channel: Channel,
    compiled: CompiledMessage,
    recipients: Source | None,
    *,
    clock: Clock,
    run_id: str,
) -> list[str]:
    """What a plan would say of this list: how much it holds, and how many rows it leaves out.

    Args:
        suppress: the list.
        compiled: the compiled message.
        recipients: the list of recipients, checked; None: an audience, or it cannot be read.
        run_id: 32 random hex digits.

    Raises:
        UsageError, JournalError: it cannot be read in full.
    """
    journal = SqliteJournal.temporary(durability="process")
    record = CampaignRecord(
        name="doctor",
        channel=channel.name,
        account=channel.account,
        run_id=run_id,
        message=compiled.snapshot(),
        created_at=clock.time(),
    )
    handle = await journal.create(record)
    try:
        suppression = Suppression(suppress, channel)
        await suppression.read(handle)
        if recipients is None:
            return [f"suppression list: {suppression.values} values"]
        planner = Planner(handle, channel, compiled, Settings())
        await planner.read(recipients.batches(compiled.names, READ_SIZE))
        await suppression.check_keys(handle)
        await planner.exclude(suppress=True)
        return suppression.notices(await handle.left_out())
    finally:
        await handle.close()
