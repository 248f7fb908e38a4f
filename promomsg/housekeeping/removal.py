"""Removing a journal whose campaign is over: never one that somebody could still go on with."""

from __future__ import annotations

from anyio import to_thread

from promomsg.engine.opened_journal import OpenedJournal
from promomsg.engine.report import ENDED
from promomsg.errors import JournalError, UsageError
from promomsg.journal.contract import Journal
from promomsg.journal.locate import is_in_fleet, remove_from_fleet

__all__ = ["remove_if_over"]


async def remove_if_over(journal: Journal, *, last_before: float | None = None) -> None:
    """Removes a journal and every file beside it, or a campaign of a fleet with all its rows: nobody goes on
    with the campaign while it is looked at for the last time.

    Args:
        last_before: only when the last thing happened before this Unix time.

    Raises:
        UsageError: the campaign is not over, or something happened in it since. Nothing was removed.
        JournalError: somebody sends it, it cannot be read, or a file of it cannot be removed.
    """
    if journal.address is not None and is_in_fleet(journal.address):
        refusal = await to_thread.run_sync(_refusal, journal, last_before)
        if not refusal and await remove_from_fleet(journal, last_before):
            return
        raise UsageError(refusal or f"{journal.address}: somebody went on with it; it was kept")
    # As the only sender of it.
    handle = await journal.open(write=True)
    try:
        refusal = await to_thread.run_sync(_refusal, journal, last_before)
    finally:
        await handle.close()
    if refusal:
        raise UsageError(refusal)
    try:
        await to_thread.run_sync(journal.discard)
    except OSError as error:
        raise JournalError(
            f"{journal.address}: not all of it could be removed: {error.strerror}"
        ) from None


def _refusal(journal: Journal, last_before: float | None) -> str:
    with OpenedJournal(journal) as opened:
        report, begun = opened.report(), opened.record.planned_at
    # This very process may have it open for sending, so who is pending is what counts.
    if report.pending or (report.state not in ENDED and report.planned):
        return f"{opened.address}: its campaign is not over ({report.state}); it was kept"
    if last_before is not None and (begun or last_before) + report.elapsed_s >= last_before:
        return f"{opened.address}: something happened in it since; it was kept"
    return ""
