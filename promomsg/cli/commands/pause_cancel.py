"""`pause` and `cancel`: requests written into the journal, which the sending process follows."""

from __future__ import annotations

import click

from promomsg.cli.interrupts import run_async
from promomsg.cli.journal_place import JournalPlace, to_open, words_for
from promomsg.cli.language.terminal_language import _
from promomsg.cli.shared_options import journal_argument

__all__ = ["cancel", "pause"]


@click.command(short_help="Pause sending until resume; calls in flight finish.")
@journal_argument
def pause(journal: JournalPlace) -> int:
    """Ask whoever is sending JOURNAL to stop; `promomsg resume JOURNAL` goes on."""
    return run_async(lambda interrupts: _ask(journal, "pause"))


@click.command(short_help="Cancel what has not been sent yet.")
@journal_argument
def cancel(journal: JournalPlace) -> int:
    """Cancel the recipients of JOURNAL that were not sent to; calls in flight finish."""
    return run_async(lambda interrupts: _ask(journal, "cancel"))


async def _ask(place: JournalPlace, request: str) -> int:
    from promomsg.cli.output.printing import command_line, print_to_stderr
    from promomsg.engine.opened_journal import open_journal
    from promomsg.engine.report import ENDED
    from promomsg.journal.locate import journal_at
    from promomsg.journal.records import Control

    with open_journal(to_open(place)) as opened:
        report = opened.report()
    if report.state in ENDED:
        print_to_stderr(f"{report.campaign} has ended already ({_(report.state)})")
        return 0
    journal = journal_at(to_open(place))
    await journal.request(Control(request))
    resume = command_line("resume", *words_for(place))
    if journal.is_being_sent():
        if request == "pause":
            asked = f"asked the sender of {report.campaign} to pause; go on with: {resume}"
        else:
            asked = f"asked the sender of {report.campaign} to cancel"
        print_to_stderr(asked)
    elif request == "pause":
        print_to_stderr(f"nobody is sending {report.campaign}; it is not sent until: {resume}")
    else:
        await _cancel_now(place)
        print_to_stderr(f"{report.campaign}: what was not sent is cancelled")
    return 0


async def _cancel_now(place: JournalPlace) -> None:
    """Cancels the rows here, under the sender's lock, since no process is sending."""
    from promomsg.clock import SYSTEM_CLOCK, china_day
    from promomsg.journal.locate import journal_at

    now = SYSTEM_CLOCK.time()
    handle = await journal_at(to_open(place)).open(write=True)
    try:
        # What an earlier process left intended may have been delivered: unknown, not cancelled.
        await handle.recover(idempotent=False, at=now, day=china_day(now), recent=0)
        await handle.cancel_pending(now)
    finally:
        await handle.close()
