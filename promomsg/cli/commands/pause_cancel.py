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
    from promomsg.cli.journal_state import report_of
    from promomsg.cli.output.printing import command_line, print_to_stderr
    from promomsg.housekeeping.pause_or_cancel import HeardBy, cancel_campaign, pause_campaign
    from promomsg.journal.locate import journal_at

    asks = pause_campaign if request == "pause" else cancel_campaign
    heard = await asks(journal_at(to_open(place)))
    report = report_of(place)
    resume = command_line("resume", *words_for(place))
    if heard is HeardBy.ENDED:
        print_to_stderr(f"{report.campaign} has ended already ({_(report.state)})")
    elif heard is HeardBy.SENDER:
        if request == "pause":
            asked = f"asked the sender of {report.campaign} to pause; go on with: {resume}"
        else:
            asked = f"asked the sender of {report.campaign} to cancel"
        print_to_stderr(asked)
    elif request == "pause":
        print_to_stderr(f"nobody is sending {report.campaign}; it is not sent until: {resume}")
    else:
        print_to_stderr(f"{report.campaign}: what was not sent is cancelled")
    return 0
