"""`status` and `report`: what a journal holds, while it is being sent or long after."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.plan_and_result import outcome_cells, print_result
from promomsg.cli.printing import counted, finish_output, print_json, print_note, print_table
from promomsg.cli.report_target import report_file
from promomsg.cli.standard_streams import utf8_stdout
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import Report
from promomsg.intake.spreadsheet_guards import guard_formula
from promomsg.journal.locate import open_reader
from promomsg.model import Outcome, State

__all__ = ["COLUMNS", "report", "status", "write_report"]

COLUMNS: Final = ("key", "verdict", "code", "detail", "attempts", "group", "at")
_NOT_SENT: Final = tuple(s for s in State if s is not State.SENT)
_EVERY: Final = 1.0
"""Seconds between looks of `--watch`."""


@click.command(short_help="Show where a campaign stands.")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Keep looking until its sender ends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def status(journal: Path, watch: bool, as_json: bool) -> int:
    """Show the counts, groups and warnings of the campaign in JOURNAL."""
    if watch:
        code = run_async(lambda interrupts: _watch(journal, interrupts))
        if code:
            return code
    with open_journal(journal) as opened:
        found = opened.report()
    document = found.to_dict()
    if as_json:
        print_json(document)
    else:
        print_result(document, found.host)
    return finish_output()


async def _watch(journal: Path, interrupts: Interrupts) -> int:
    """Shows progress on stderr until nobody sends, or Ctrl-C."""
    import anyio

    from promomsg.cli.exit_status import INTERRUPTED
    from promomsg.cli.progress import make_view
    from promomsg.journal.locate import is_being_sent

    view = make_view()
    try:
        with open_journal(journal) as opened:
            while is_being_sent(journal) and not interrupts.asked:
                view.show(opened.report().to_dict(), 0)
                with anyio.move_on_after(_EVERY):
                    await interrupts.wait()
    finally:
        view.close()
    return INTERRUPTED if interrupts.asked else 0


@click.command(short_help="List who was not reached and why, as a table, CSV or JSON.")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(("table", "json", "csv")), default="table",
    help="How; default table.",
)  # fmt: skip
@click.option("--all", "everybody", is_flag=True, help="Every row read, the sent ones too.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="A file that only you can read; an earlier report is replaced.",
)
@click.option("--bom", is_flag=True, help="CSV with a byte order mark: Excel then sees UTF-8.")
def report(journal: Path, form: str, everybody: bool, output: Path | None, bom: bool) -> int:
    """List the recipients of JOURNAL that were not sent to, and why; all of them with --all.

    CSV columns: key, verdict, code, detail, attempts, group, at (ISO 8601, UTC).
    """
    with _sink(output, journal, bom and form == "csv", form != "table") as file:
        nameless = write_report(journal, form, everybody=everybody, file=file)
    if nameless and form == "csv":
        print_note(
            f"note: {counted(nameless, 'recipient')} of an audience have no rows, since nobody named "
            "them; --format table and json have their counts"
        )
    if output is not None:
        print_note(f"written: {output}")
        return 0
    return finish_output()


@contextmanager
def _sink(output: Path | None, journal: Path, bom: bool, programs_read: bool) -> Iterator[IO[str]]:
    if output is not None:
        with report_file(output, journal, bom=bom) as file:
            yield file
        return
    out = utf8_stdout() if programs_read else sys.stdout
    if bom:
        out.write("\ufeff")
    yield out


def write_report(
    journal: str | os.PathLike[str], form: str, *, everybody: bool, file: IO[str]
) -> int:
    """Writes a journal's report row by row: memory does not grow with the recipients.

    Returns how many of those it is about have no row: the members of an audience that was sent to
    as one group are counted, and only its failures are named.

    Args:
        form: `"table"`, `"json"` or `"csv"`.
        everybody: every row read; else only what was not sent.

    Raises:
        JournalError: it cannot be read.
    """
    with open_journal(journal) as opened, open_reader(journal) as reader:
        said = opened.report()
        written = 0

        def rows() -> Iterator[Outcome]:
            nonlocal written
            for outcome in reader.rows(None if everybody else _NOT_SENT):
                written += 1
                yield outcome

        _write(said, rows(), form, file)
    if all(group.audience is None for group in said.groups):
        return 0
    return max(said.planned - (0 if everybody else said.sent) - written, 0)


def _write(found: Report, rows: Iterator[Outcome], form: str, file: IO[str]) -> None:
    if form == "csv":
        # \n alone: a terminal's tools count a \r to the last cell, and spreadsheets take both.
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([guard_formula(c) for c in outcome_cells(o)] for o in rows)
    elif form == "json":
        _write_json({**found.to_dict(), "host": found.host}, rows, file)
    else:
        print_result(found.to_dict(), found.host, file)
        print(file=file)
        print_table(COLUMNS, (outcome_cells(o) for o in rows), file=file)


def _write_json(document: dict[str, Any], rows: Iterator[Outcome], file: IO[str]) -> None:
    head = json.dumps(document, ensure_ascii=False, indent=2)
    file.write(head.removesuffix("\n}") + ',\n  "outcomes": [')
    before = "\n    "
    for outcome in rows:
        cells: dict[str, Any] = dict(zip(COLUMNS, outcome_cells(outcome), strict=True))
        cells["attempts"] = outcome.attempts
        cells["at"] = cells["at"] or None
        cells["group"] = outcome.group
        cells["rid"] = outcome.rid
        if outcome.extra is not None:
            cells["extra"] = outcome.extra
        file.write(before + json.dumps(cells, ensure_ascii=False))
        before = ",\n    "
    file.write("\n  ]\n}\n")
