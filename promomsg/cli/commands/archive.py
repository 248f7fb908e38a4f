"""`archive`: a campaign that is over, as Parquet and JSON; its journal may go then."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, to_open
from promomsg.cli.output.printing import finish_output, print_json, print_to_stderr, shown_count
from promomsg.cli.shared_options import journal_argument, json_option, yes_option
from promomsg.engine.opened_journal import open_journal
from promomsg.housekeeping.archive_files import Archived, write_archive
from promomsg.housekeeping.removal import remove_if_over
from promomsg.journal.locate import existing_journal

__all__ = ["archive"]

_MOMENT = 0.001
"""Seconds: times of a journal are no finer."""


@click.command(short_help="Keep a campaign that is over as Parquet and JSON.")
@journal_argument
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=None, metavar="FOLDER",
    help="Where; default: beside the journal.",
)  # fmt: skip
@click.option("--keep", is_flag=True, help="Leave the journal where it is, and do not ask.")
@yes_option
@json_option
def archive(
    journal: JournalPlace, output: Path | None, keep: bool, yes: bool, as_json: bool
) -> int:
    """Write JOURNAL as NAME.archive.parquet (a row a recipient) and NAME.archive.json (the campaign, its
    counts, groups, warnings and clicks), with the failure files of its groups, compare them with the journal,
    and ask whether to remove it.
    """
    if isinstance(journal, Path):
        folder, name = output or journal.parent, journal.stem
    else:
        folder, name = output or Path(), journal.name.replace("/", "_")
    with open_journal(to_open(journal)) as opened:
        done = write_archive(opened, folder, name)
    for path in done.files:
        print_to_stderr(f"written and compared: {path}")

    async def remove(interrupts: Interrupts) -> int:
        if not yes and not await interrupts.ask(
            f"remove {journal}, now that {shown_count(done.rows, 'row')} are kept?"
        ):
            print_to_stderr(f"kept: {journal}")
            return 1
        # Somebody may have retried it meanwhile: what came then is in the journal alone.
        work = remove_if_over(
            existing_journal(to_open(journal)), last_before=done.last_at + _MOMENT
        )
        await interrupts.unless(work)
        print_to_stderr(f"removed: {journal}")
        return 0

    removed = False
    if yes or (not keep and sys.stdin.isatty()):
        removed = run_async(remove) == 0
    if as_json:
        print_json(_document(journal, done, removed))
    return finish_output()


def _document(journal: JournalPlace, done: Archived, removed: bool) -> dict[str, object]:
    return {
        "journal": str(journal),
        "rows": done.rows,
        "files": [str(path) for path in done.files],
        "removed": removed,
    }
