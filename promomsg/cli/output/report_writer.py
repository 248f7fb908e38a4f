"""The report of a journal, row by row, in each of its formats."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Sequence
from typing import IO, Any

from promomsg.cli.journal_place import JournalPlace, to_open, words_for
from promomsg.cli.language.terminal_language import _, is_wide, translated
from promomsg.cli.output.click_lines import click_document, print_clicks
from promomsg.cli.output.next_steps import put_next_steps
from promomsg.cli.output.plan_and_result import outcome_cells, print_result
from promomsg.cli.output.printing import (
    format_local_time,
    local_zone,
    print_table,
    print_to_stderr,
)
from promomsg.cli.output.terminal_page import Page
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import Report
from promomsg.intake.headings import REPORT_HEADINGS
from promomsg.intake.spreadsheet_guards import guard_formula
from promomsg.model import Outcome, State

__all__ = ["write_cells", "write_report"]


def write_report(
    journal: JournalPlace, file_format: str, states: Collection[State] | None, file: IO[str]
) -> int:
    """Writes a journal's report row by row: memory does not grow with the recipients.

    Returns how many of those it is about have no row: the members of an audience that was sent to
    as one group are counted, and only its failures are named.

    Args:
        file_format: `"table"`, `"json"`, `"csv"` or `"html"`, which lists the first of those who were not
            sent to, whatever `states` says.
        states: of whom; None: every row read.

    Raises:
        JournalError: it cannot be read.
        UsageError: what the format needs is not installed.
    """
    with open_journal(to_open(journal)) as opened:
        found = opened.report()
        if file_format == "html":
            file.write(_page(found))
            return 0
        if file_format == "csv":
            _say_what_closes(found)
        written = 0

        def rows() -> Iterator[Outcome]:
            nonlocal written
            for outcome in opened.outcomes(states):
                written += 1
                yield outcome

        _write(found, rows(), file_format, file, words_for(journal))
    if all(group.audience is None for group in found.groups):
        return 0
    counts = found.to_dict()
    wanted: int = sum(
        counts[state]
        for state in State
        if state is not State.INTENDED and (states is None or state in states)
    )
    return max(wanted - written, 0)


def _page(found: Report) -> str:
    from promomsg.report_formats.html_report import PageLanguage, to_html

    language = PageLanguage("zh-CN" if is_wide() else "en", _, translated)
    return to_html(found.contents(), language=language)


def write_cells(
    journal: JournalPlace, file_format: str, states: Collection[State] | None, file: IO[bytes]
) -> None:
    """The same as `"parquet"` or `"xlsx"`, one row a recipient."""
    with open_journal(to_open(journal)) as opened:
        rows = opened.outcomes(states)
        if file_format == "parquet":
            _say_what_closes(opened.report())
            from promomsg.report_formats.parquet_report import write_parquet

            write_parquet(rows, file)
        else:
            from promomsg.report_formats.workbook_report import write_workbook

            write_workbook(opened.report().contents(), rows, file)


def _say_what_closes(found: Report) -> None:
    """Of a file that has rows alone: what the provider soon does not say any more."""
    for text in found.closing:
        print_to_stderr(f"warning: {text}")


def _write(
    found: Report, rows: Iterator[Outcome], file_format: str, file: IO[str], words: Sequence[str]
) -> None:
    if file_format == "csv":
        # \n alone: a terminal's tools count a \r to the last cell, and spreadsheets take both.
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(REPORT_HEADINGS)
        writer.writerows([guard_formula(c) for c in outcome_cells(o)] for o in rows)
    elif file_format == "json":
        document = {
            **found.to_dict(),
            "host": found.host,
            "clicks": click_document(found.click_summary()),
        }
        _write_json(document, rows, file)
    else:
        document = found.to_dict()
        print_result(document, found.host, file, channel=found.channel)
        print_clicks(found.click_summary(), file, label=_("clicks"))
        print(file=file)
        page = Page(file)
        if page.columns is None:
            print_table(REPORT_HEADINGS, (_for_a_person(o) for o in rows), file=file)
            return
        at = f"{_('at')} ({local_zone()})"
        headings = (*REPORT_HEADINGS[:-1], at)
        cells = ((*_for_a_person(o)[:-1], format_local_time(o.at)) for o in rows)
        print_table(
            headings,
            cells,
            file=file,
            optional=("attempts", "group", at),
            elsewhere=_(
                "not shown here: {0}; a wider terminal shows them, and so does --format csv"
            ),
        )
        put_next_steps(page, document, words, shown="report")


def _for_a_person(outcome: Outcome) -> tuple[str, ...]:
    key, verdict, code, detail, *rest = outcome_cells(outcome)
    return (key, _(verdict), code, translated(detail), *rest)


def _write_json(document: dict[str, Any], rows: Iterator[Outcome], file: IO[str]) -> None:
    head = json.dumps(document, ensure_ascii=False, indent=2)
    file.write(head.removesuffix("\n}") + ',\n  "outcomes": [')
    before = "\n    "
    for outcome in rows:
        cells: dict[str, Any] = dict(zip(REPORT_HEADINGS, outcome_cells(outcome), strict=True))
        cells["attempts"] = outcome.attempts
        cells["at"] = cells["at"] or None
        cells["group"] = outcome.group
        cells["rid"] = outcome.rid
        if outcome.extra is not None:
            cells["extra"] = outcome.extra
        file.write(before + json.dumps(cells, ensure_ascii=False))
        before = ",\n    "
    file.write("\n  ]\n}\n")
