"""`status`: where a campaign stands, while it is being sent or long after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click

from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, in_database, to_open, words_for
from promomsg.cli.output.plan_and_result import print_result
from promomsg.cli.output.printing import finish_output, print_json
from promomsg.cli.shared_options import journal_argument, json_option
from promomsg.engine.opened_journal import open_journal

if TYPE_CHECKING:
    from promomsg.engine.report import Report

__all__ = ["status"]

_EVERY: Final = 1.0
"""Seconds between looks of `--watch`."""


@click.command(short_help="Show where a campaign stands.")
@journal_argument
@click.option("--watch", is_flag=True, help="Keep looking until nobody sends it.")
@json_option
def status(journal: JournalPlace, watch: bool, as_json: bool) -> int:
    """Show the counts, groups and warnings of the campaign in JOURNAL."""
    if watch:
        code = run_async(lambda interrupts: _watch(journal, interrupts))
        if code:
            return code
    found = _report(journal)
    document = found.to_dict()
    if as_json:
        print_json(document)
    else:
        print_result(document, found.host, channel=found.channel, words=words_for(journal))
    return finish_output()


def _report(journal: JournalPlace) -> Report:
    place = in_database(journal)
    if place is not None:
        from promomsg.cli.watch_workers import report_among_workers

        among_workers = asyncio.run(report_among_workers(place))
        if among_workers is not None:
            return among_workers
    with open_journal(to_open(journal)) as opened:
        return opened.report()


async def _watch(journal: JournalPlace, interrupts: Interrupts) -> int:
    """Shows progress on stderr until nobody sends, or Ctrl-C."""
    import anyio

    from promomsg.cli.exit_status import INTERRUPTED
    from promomsg.cli.output.live_view import make_view
    from promomsg.journal.locate import journal_at

    place = in_database(journal)
    if place is not None:
        from promomsg.cli.watch_workers import look_on, workers_of

        if await workers_of(place):
            await look_on(place, interrupts)
            return INTERRUPTED if interrupts.asked else 0
    view = make_view()
    try:
        with open_journal(to_open(journal)) as opened:
            while journal_at(to_open(journal)).is_being_sent() and not interrupts.asked:
                view.show(opened.report().to_dict(), 0)
                with anyio.move_on_after(_EVERY):
                    await interrupts.wait()
    finally:
        view.close()
    return INTERRUPTED if interrupts.asked else 0
