"""`report`: who was not reached and why, from a journal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from promomsg.cli.journal_place import JournalPlace, to_open
from promomsg.cli.output.printing import finish_output, print_to_stderr, shown_count
from promomsg.cli.output.report_target import raw_report_file, report_file
from promomsg.cli.output.report_writer import write_cells, write_report
from promomsg.cli.output.standard_streams import utf8_stdout
from promomsg.cli.shared_options import journal_argument
from promomsg.engine.opened_journal import open_journal
from promomsg.errors import UsageError
from promomsg.model import State
from promomsg.report_formats.contents import NOT_SENT
from promomsg.suggest import did_you_mean

__all__ = ["report"]


def _states(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[State, ...] | None:
    """`unknown,failed` as states."""
    if text is None:
        return None
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    known = [state.value for state in State if state is not State.INTENDED]
    for name in names:
        if name not in known:
            raise UsageError(
                f"report: --state {name!r} is none of {', '.join(known)}{did_you_mean(name, known)}"
            )
    if not names:
        raise UsageError(f"report: --state names none; there are {', '.join(known)}")
    return tuple(State(name) for name in dict.fromkeys(names))


@click.command(short_help="List who was not reached and why, as a table or a file.")
@journal_argument
@click.option(
    "--format", "file_format", type=click.Choice(("table", "json", "csv", "html", "parquet", "xlsx")),
    default="table",
    help="How; default table.",
)  # fmt: skip
@click.option(
    "--state", "states", metavar="STATE,…", callback=_states,
    help="Only those in these states: unknown, or failed,unknown.",
)  # fmt: skip
@click.option("--all", "everybody", is_flag=True, help="Every row read, the sent ones too.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="A file that only you can read; an earlier report is replaced.",
)
@click.option("--bom", is_flag=True, help="CSV with a byte order mark: Excel then sees UTF-8.")
@click.option(
    "--failure-file", "group", type=click.IntRange(1), metavar="GROUP",
    help="Instead: the failure file of this group send, as the provider gave it.",
)  # fmt: skip
def report(
    journal: JournalPlace,
    file_format: str,
    states: tuple[State, ...] | None,
    everybody: bool,
    output: Path | None,
    bom: bool,
    group: int | None,
) -> int:
    """List the recipients of JOURNAL that were not sent to, and why; all of them with --all.

    CSV columns: key, verdict, code, detail, attempts, group, at (ISO 8601, UTC). html is a page to look
    at, to print and to pass on; parquet and xlsx have one row a recipient.
    """
    if states is not None and everybody:
        raise UsageError("report: --all and --state: give one of them")
    if group is not None:
        if output is not None or everybody or states or bom or file_format != "table":
            raise UsageError(
                "report: --failure-file goes to standard output as it came; leave out the other options"
            )
        return _give_out(journal, group)
    if states is None:
        states = None if everybody else NOT_SENT
    if file_format in ("parquet", "xlsx"):
        if output is None:
            raise UsageError(f"report: --format {file_format} needs --output FILE")
        with raw_report_file(output, journal) as raw:
            write_cells(journal, file_format, states, raw)
        print_to_stderr(f"written: {output}")
        return 0
    with _sink(output, journal, bom and file_format == "csv", file_format != "table") as file:
        nameless = write_report(journal, file_format, states, file)
    if nameless and file_format == "csv":
        print_to_stderr(
            f"notice: {shown_count(nameless, 'recipient')} of an audience have no rows, since nobody named "
            "them; --format table and json have their counts"
        )
    if output is not None:
        print_to_stderr(f"written: {output}")
        return 0
    return finish_output()


def _give_out(journal: JournalPlace, group: int) -> int:
    """Writes a group's failure file to standard output, byte by byte."""
    with open_journal(to_open(journal)) as opened:
        raw = opened.failure_file(group)
    if raw is None:
        raise UsageError(
            f"{journal}: no failure file of group {group} was kept; the provider names a file only of "
            "groups with many failures, once they are over"
        )
    sys.stdout.flush()
    sys.stdout.buffer.write(raw)
    return finish_output()


@contextmanager
def _sink(
    output: Path | None, journal: JournalPlace, bom: bool, programs_read: bool
) -> Iterator[IO[str]]:
    if output is not None:
        with report_file(output, journal, bom=bom) as file:
            yield file
        return
    out = utf8_stdout() if programs_read else sys.stdout
    if bom:
        out.write("\ufeff")
    yield out
