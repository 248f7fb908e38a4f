"""Where the campaign of a journal stands, and whether a process is sending it now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from promomsg.cli.exit_status import status_of
from promomsg.cli.journal_place import JournalPlace, to_open
from promomsg.cli.language.terminal_language import _
from promomsg.cli.output.plan_and_result import print_result
from promomsg.cli.output.printing import print_json
from promomsg.errors import UsageError

if TYPE_CHECKING:
    from promomsg.engine.report import Report

__all__ = ["being_sent_by", "print_report", "report_of", "require_everyone"]


def report_of(journal: JournalPlace) -> Report:
    """The report of a journal as it is now.

    Raises:
        JournalError: it cannot be read.
    """
    from promomsg.engine.opened_journal import open_journal

    with open_journal(to_open(journal)) as opened:
        return opened.report()


def print_report(report: Report, as_json: bool) -> int:
    """Prints where a campaign stands; returns its exit status."""
    document = report.to_dict()
    if as_json:
        print_json(document)
    else:
        print_result(document, report.host, channel=report.channel)
    return status_of(document)


def being_sent_by(journal: JournalPlace, state: str) -> str:
    """That others are sending it, and who: `another process is sending it (process 12, sending)`,
    `host:12 and host:13 are sending it (sending)`."""
    if not isinstance(journal, Path):
        senders = journal.journal().senders()
        if len(senders) > 1:
            return f"{_(' and ').join(senders)} are sending it ({_(state)})"
        return f"{senders[0] if senders else 'somebody'} is sending it ({_(state)})"
    from promomsg.journal.locate import journal_at

    return (
        f"another process is sending it ({', '.join([*journal_at(journal).senders(), _(state)])})"
    )


def require_everyone(
    journal: JournalPlace, report: Report, everyone: bool, *, planned_anew: bool = False
) -> None:
    """Checks that `--everyone` was given again for a journal that calls every promoter.

    Args:
        report: of the journal.
        everyone: whether it was given.
        planned_anew: whether also a call that was made already is going to be made again.

    Raises:
        UsageError: it was not.
    """
    if everyone:
        return
    from promomsg.engine.prepare.audience import calls_everyone

    if calls_everyone(report.groups, again=planned_anew):
        raise UsageError(f"{journal} reaches every promoter there is: add --everyone as well")
