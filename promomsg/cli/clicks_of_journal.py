"""The clicks of one campaign: asked for where they are due, kept in its journal, and shown."""

from __future__ import annotations

from typing import Any

from promomsg.cli.campaign.campaign_of_journal import Overrides, campaign_of
from promomsg.cli.campaign.to_engine import open_wechat
from promomsg.cli.interrupts import Interrupts
from promomsg.cli.journal_place import JournalPlace, to_open
from promomsg.cli.output.click_lines import click_document, print_click_table, print_clicks
from promomsg.cli.output.printing import finish_output, print_json, print_line, print_to_stderr
from promomsg.engine.following.later_answers import LookDone, keep_due_clicks
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import Report
from promomsg.journal.locate import existing_journal

__all__ = ["show_clicks"]


async def show_clicks(
    journal: JournalPlace, overrides: Overrides, as_json: bool, interrupts: Interrupts
) -> int:
    """Asks for what is due, and shows what is kept. Returns the exit status."""
    with open_journal(to_open(journal)) as opened:
        file = campaign_of(journal, opened.record, overrides)
    async with open_wechat(file, "clicks") as channel:
        done = await interrupts.unless(
            keep_due_clicks(existing_journal(to_open(journal)), channel, at_once=True)
        )
    with open_journal(to_open(journal)) as opened:
        report = opened.report()
    if as_json:
        print_json(_document(journal, report, done))
        return finish_output()
    clicks = report.click_summary()
    print_click_table(clicks)
    print_clicks(clicks)
    if not any(day.counts for day in report.clicks):
        print_line(
            "no clicks yet: they can be had from the day after the send, for 90 days, and a message that "
            "nobody clicked may not be listed"
        )
    if done.trouble:
        print_to_stderr(f"warning: {done.trouble}")
    return finish_output()


def _document(journal: JournalPlace, report: Report, done: LookDone) -> dict[str, Any]:
    return {
        "journal": str(journal),
        **click_document(report.click_summary()),
        "next_at": done.next_at,
        "trouble": done.trouble,
    }
