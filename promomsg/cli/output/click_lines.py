"""The clicks on a campaign's messages as text."""

from __future__ import annotations

from typing import IO, Any

import msgspec

from promomsg.cli.language.terminal_language import _, translated
from promomsg.cli.output.printing import print_table
from promomsg.cli.output.terminal_page import Page
from promomsg.control_characters import escaped
from promomsg.journal.records import ClickDay
from promomsg.report_formats.contents import ClickSummary, share_text

__all__ = ["click_document", "print_click_table", "print_clicks"]


def print_clicks(clicks: ClickSummary, file: IO[str] | None = None, *, label: str = "") -> None:
    """Who clicked of those that the group sends reached, and what to know of that.

    Args:
        label: what stands before the first line, as before the counts of a result.
    """
    lines = [translated(note) for note in clicks.notes]
    if clicks.rate is not None:
        text = _("{0:,} of {1:,} in group sends clicked ({2})")
        lines.insert(0, text.format(clicks.people, clicks.reached, share_text(clicks.rate)))
    page = Page(file)
    for number, line in enumerate(lines):
        if label:
            page.field("" if number else label, escaped(line), at=12)
        else:
            page.put(escaped(line), hang=2)


def print_click_table(clicks: ClickSummary) -> None:
    """What was counted for each day, on stdout."""
    if not clicks.counts:
        return
    print_table(
        ("day (China time)", "of", "people", "clicks"),
        (
            (day.day, _of(day, count.msg_id), _text(count.people), _text(count.clicks))
            for day, count in clicks.counts
        ),
    )


def click_document(clicks: ClickSummary) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "clicked": clicks.people,
        "reached": clicks.reached,
        "days": msgspec.to_builtins(clicks.days),
        "notes": list(clicks.notes),
    }


def _of(day: ClickDay, msg_id: str | None) -> str:
    return msg_id or (_("group sends") if day.by_message else _("the message type"))


def _text(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
