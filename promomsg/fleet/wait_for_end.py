"""Waiting for a campaign that others send."""

from __future__ import annotations

from typing import Final

from anyio import to_thread

from promomsg.clock import SYSTEM_CLOCK
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import ENDED, Report
from promomsg.journal.contract import Journal
from promomsg.journal.unreachable import JournalUnreachable

__all__ = ["wait_for_end"]

_EVERY: Final = 1.0
"""Seconds between looks."""
_STANDS: Final = ENDED | {"halted", "paused"}
"""States that nobody changes but a person."""


async def wait_for_end(journal: Journal) -> Report:
    """The report of a campaign once it has ended, or stands still until a person goes on with it.

    Raises:
        JournalError: it is not there. A database that is away is waited for.
    """

    def look() -> Report:
        with open_journal(journal) as opened:
            return opened.report()

    while True:
        try:
            report = await to_thread.run_sync(look)
        except JournalUnreachable:
            report = None
        if report is not None and report.state in _STANDS:
            return report
        await SYSTEM_CLOCK.sleep(_EVERY)
