"""The clicks of one campaign: asked for where they are due, kept in its journal, and shown."""

from __future__ import annotations

from typing import Any

from promomsg.cli.campaign.campaign_of_journal import Overrides, campaign_of
from promomsg.cli.campaign.to_engine import open_wechat
from promomsg.cli.interrupts import Interrupts
from promomsg.cli.journal_place import JournalPlace, to_open
from promomsg.cli.language.terminal_language import _
from promomsg.cli.output.printing import (
    finish_output,
    print_json,
    print_line,
    print_table,
    print_to_stderr,
)
from promomsg.engine.following.later_answers import LookDone, keep_due_clicks
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import Report
from promomsg.journal.locate import existing_journal
from promomsg.journal.records import ClickDay
from promomsg.report_formats.contents import clicked_people

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
    rows = [(day, count) for day in report.clicks for count in day.counts]
    if rows:
        print_table(
            ("day", "of", "people", "clicks"),
            (
                (day.day, _of(day, count.msg_id), _text(count.people), _text(count.clicks))
                for day, count in rows
            ),
        )
    _say_what_they_are(report, done)
    return finish_output()


def _of(day: ClickDay, msg_id: str | None) -> str:
    return msg_id or (_("group sends") if day.by_message else _("the message type"))


def _text(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _say_what_they_are(report: Report, done: LookDone) -> None:
    people = clicked_people(report.clicks)
    in_groups = sum(group.planned for group in report.groups)
    if people is not None and in_groups:
        print_line(f"{people:,} of {in_groups:,} in group sends clicked ({people / in_groups:.1%})")
    if any(not day.by_message for day in report.clicks):
        print_line(
            "single sends: WeChat counts them by message type and day, those of other campaigns too"
        )
    if not any(day.counts for day in report.clicks):
        print_line(
            "no clicks yet: they can be had from the day after the send, for 90 days, and a message that "
            "nobody clicked may not be listed"
        )
    if done.trouble:
        print_to_stderr(f"warning: {done.trouble}")


def _document(journal: JournalPlace, report: Report, done: LookDone) -> dict[str, Any]:
    import msgspec

    return {
        "journal": str(journal),
        "clicked": clicked_people(report.clicks),
        "days": msgspec.to_builtins(report.clicks),
        "next_at": done.next_at,
        "trouble": done.trouble,
    }
