"""What a notebook shows of a report: a small table."""

from __future__ import annotations

from html import escape
from typing import Final

from promomsg.code_meanings import brief_meaning
from promomsg.control_characters import escaped
from promomsg.journal.records import Counts

__all__ = ["counts_table"]

_NAMES: Final = ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending")


def counts_table(campaign: str, state: str, reason: str, counts: Counts) -> str:
    """The counts, and what the codes of those mean who were not reached, as HTML."""

    def text(value: object) -> str:
        return escape(escaped(str(value)))

    title = f"{campaign}: {state}" + (f" ({reason})" if reason else "")
    head = "".join(f"<th>{name}</th>" for name in _NAMES)
    cells = "".join(f"<td>{getattr(counts, name):,}</td>" for name in _NAMES)
    codes = "".join(
        f"<tr><td>{text(code)}</td><td>{number:,}</td>"
        f"<td style='text-align: left'>{text(brief_meaning(code))}</td></tr>"
        for code, number in sorted(counts.by_code.items())
    )
    table = f"<table><caption>{text(title)}</caption><tr>{head}</tr><tr>{cells}</tr></table>"
    return f"{table}<table>{codes}</table>" if codes else table
