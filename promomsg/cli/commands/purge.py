"""`purge`: removes the journals of campaigns that were over long ago."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from anyio import to_thread

from promomsg.cli.command_errors import CommandError
from promomsg.cli.exit_status import ALL_SENT, WRONG
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.listed_campaigns import CampaignSource, source_options
from promomsg.cli.output.printing import (
    finish_output,
    print_json,
    print_to_stderr,
    shown_count,
)
from promomsg.cli.shared_options import json_option, yes_option
from promomsg.durations import format_age, parse_duration
from promomsg.errors import PromoError, UsageError
from promomsg.housekeeping.campaign_files import ListedCampaign
from promomsg.housekeeping.removal import remove_if_over
from promomsg.journal.locate import remove_half_plan
from promomsg.sizes import format_size

__all__ = ["purge"]


@click.command(short_help="Remove campaigns that were over long ago.")
@source_options
@click.option(
    "--older-than", required=True, metavar="DURATION",
    help="How long ago the last thing happened in them: 90d.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say which.")
@yes_option
@json_option
def purge(
    folder: Path | None, fleet: str | None, older_than: str, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Remove the journals of FOLDER (default: this one), or the campaigns of a fleet's database, whose campaign is
    over, and in which nothing happened for so long, and what there is of a plan that was never completed. A campaign
    that is not over stays, whatever its age, and so does what cannot be read.
    """
    before = time.time() - _age_of(older_than)
    source = CampaignSource(folder, fleet)
    found = source.campaigns()
    meant = [
        one
        for one in found
        if (one.is_over or (one.is_half_plan and not source.is_fleet))
        and (one.last_at or before) < before
    ]
    for one in meant:
        print_to_stderr(
            f"{'would remove' if dry_run else 'to remove'}: {one.address}  {_what_it_is(one)}, "
            f"{format_size(one.size)}, {format_age(time.time() - (one.last_at or before))}"
        )
    removed: list[ListedCampaign] = []
    errors: list[str] = []
    if meant and not dry_run:
        if not yes and not sys.stdin.isatty():
            raise CommandError("nothing was removed: without a terminal it takes --yes")
        run_async(
            lambda interrupts: _remove(source, meant, before, removed, errors, yes, interrupts)
        )
    if as_json:
        document = {
            "fleet" if source.is_fleet else "folder": source.place,
            "meant": [one.address for one in meant],
            "removed": [one.address for one in removed],
            "kept": len(found) - len(removed),
            "errors": errors,
        }
        print_json(document)
    else:
        freed = format_size(sum(one.size for one in removed))
        left = f"{shown_count(len(found) - len(removed), 'journal')} left"
        print_to_stderr(f"{shown_count(len(removed), 'journal')} removed ({freed}), {left}")
    # Whoever has it run at night, because people's names may stay so long and no longer, is to hear of it.
    return finish_output() or (WRONG if errors else ALL_SENT)


def _what_it_is(one: ListedCampaign) -> str:
    if one.progress is None:
        return "half a plan, of which nothing was sent"
    return f"{one.progress.campaign}, {shown_count(one.progress.planned, 'recipient')}"


async def _remove(
    source: CampaignSource,
    meant: list[ListedCampaign],
    before: float,
    removed: list[ListedCampaign],
    errors: list[str],
    yes: bool,
    interrupts: Interrupts,
) -> int:
    if not yes and not await interrupts.ask(f"remove {shown_count(len(meant), 'journal')}?"):
        raise CommandError("nothing was removed")
    for one in meant:
        journal = source.journal(one)
        try:
            if one.is_half_plan:
                await to_thread.run_sync(remove_half_plan, one.address)
            else:
                await interrupts.unless(remove_if_over(journal, last_before=before))
        except UsageError as error:
            print_to_stderr(f"kept: {error}")  # somebody has gone on with it since
        except PromoError as error:
            print_to_stderr(f"kept: {error}")
            if not await to_thread.run_sync(journal.is_being_sent):
                errors.append(str(error))
        else:
            removed.append(one)
    return 0


def _age_of(older_than: str) -> float:
    """Seconds. A number without a unit is refused: it would be seconds here, and is days in `fleet prune`.

    Raises:
        UsageError: it is not a duration.
        CommandError: it has no unit.
    """
    age = parse_duration(older_than, "--older-than")
    if age and (number := older_than.strip()).isdigit():
        raise CommandError(
            f"--older-than: {number} of what? write {number}d for days, or {number}s for seconds"
        )
    return age
