"""What is asked of a campaign from outside of its sender: to pause, to go on, to be cancelled."""

from __future__ import annotations

from enum import StrEnum

from anyio import to_thread

from promomsg.clock import SYSTEM_CLOCK, china_day
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import ENDED
from promomsg.errors import JournalError
from promomsg.journal.contract import Journal
from promomsg.journal.records import Control

__all__ = ["HeardBy", "cancel_campaign", "end_pause", "pause_campaign"]


class HeardBy(StrEnum):
    """Who has heard what was asked."""

    ENDED = "ended"
    """Nobody has to: the campaign had ended, and nothing was asked."""
    SENDER = "sender"
    """Somebody is sending it, and follows: calls in flight finish."""
    NOBODY = "nobody"
    """Nobody is sending it: a pause is kept for whoever does next, a cancellation is done."""


async def pause_campaign(journal: Journal) -> HeardBy:
    """Asks whoever sends a campaign to stop until somebody resumes it.

    Raises:
        JournalError: it cannot be read, or written into.
    """
    return await _ask(journal, Control.PAUSE)


async def end_pause(journal: Journal) -> HeardBy:
    """Asks a sender that is paused to go on, or the workers of a fleet.

    Raises:
        JournalError: as `pause_campaign`.
    """
    return await _ask(journal, Control.RUN)


async def cancel_campaign(journal: Journal) -> HeardBy:
    """Has those cancelled who were not sent to: by whoever is sending it; here, when nobody is.

    Raises:
        JournalError: as `pause_campaign`; or commits of it may be lost.
    """
    heard = await _ask(journal, Control.CANCEL)
    if heard is not HeardBy.NOBODY:
        return heard
    try:
        await _cancel_now(journal)
    except JournalError:
        # Somebody who began meanwhile has found the request in the journal.
        if not await to_thread.run_sync(journal.is_being_sent):
            raise
        return HeardBy.SENDER
    return heard


async def _ask(journal: Journal, control: Control) -> HeardBy:
    if await to_thread.run_sync(_has_ended, journal):
        return HeardBy.ENDED
    await journal.request(control)
    being_sent = await to_thread.run_sync(journal.is_being_sent)
    return HeardBy.SENDER if being_sent else HeardBy.NOBODY


def _has_ended(journal: Journal) -> bool:
    with open_journal(journal) as opened:
        return opened.report().state in ENDED


async def _cancel_now(journal: Journal) -> None:
    """Cancels the rows here, under the sender's lock, since no process is sending."""
    now = SYSTEM_CLOCK.time()
    handle = await journal.open(write=True)
    try:
        # What an earlier process left intended may have been delivered: unknown, not cancelled.
        await handle.recover(idempotent=False, at=now, day=china_day(now), recent=0)
        await handle.cancel_pending(now)
    finally:
        await handle.close()
