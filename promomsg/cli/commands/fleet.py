"""`fleet`: the database that several machines send from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.shared_options import json_option

if TYPE_CHECKING:
    from promomsg.fleet.fleet import FleetCampaign

__all__ = ["fleet"]

_url_option = click.option(
    "--fleet", "url", metavar="URL", help="The database; default $PROMOMSG_FLEET."
)


@click.group(short_help="Prepare a database for many machines, and list its campaigns.")
def fleet() -> None:
    """A PostgreSQL database whose campaigns several machines send together."""


@fleet.command(short_help="Make the tables, or bring them to this version.")
@_url_option
def init(url: str | None) -> int:
    """Make the tables of the fleet, in a schema promomsg of the database; a second time does nothing."""
    from promomsg.cli.output.printing import print_to_stderr
    from promomsg.fleet.fleet import Fleet

    found = Fleet(url)

    async def prepare(interrupts: Interrupts) -> int:
        await interrupts.unless(found.prepare())
        return 0

    status = run_async(prepare)
    print_to_stderr(f"{found.place}: its tables are ready")
    return status


@fleet.command(short_help="List the campaigns, where they stand, and who sends them.")
@_url_option
@json_option
def status(url: str | None, as_json: bool) -> int:
    """List every campaign of the fleet: its state, its counts, and who holds work of it."""
    from promomsg.cli.output.printing import (
        finish_output,
        print_json,
        print_line,
        print_table,
        print_to_stderr,
    )
    from promomsg.fleet.fleet import Fleet

    found = Fleet(url)
    campaigns: list[FleetCampaign] = []

    async def look(interrupts: Interrupts) -> int:
        campaigns.extend(await interrupts.unless(found.campaigns()))
        return 0

    run_async(look)
    if as_json:
        print_json({"fleet": found.place, "campaigns": [_document(one) for one in campaigns]})
    elif not campaigns:
        print_to_stderr(f"{found.place}: no campaign yet")
    else:
        print_line(found.place)
        print_table(
            ("campaign", "state", *_COUNTS, "sent by"),
            ((one.name, one.state, *_counts(one), " ".join(one.senders)) for one in campaigns),
        )
    return finish_output()


_COUNTS = ("planned", "sent", "failed", "unknown", "pending")


def _counts(campaign: FleetCampaign) -> list[str]:
    return [
        "" if campaign.report is None else f"{getattr(campaign.report, name):,}" for name in _COUNTS
    ]


def _document(campaign: FleetCampaign) -> dict[str, Any]:
    """What `status --json` has of a campaign, less its groups, with its address and its senders."""
    document: dict[str, Any] = {"journal": f"fleet:{campaign.name}", "state": campaign.state}
    if campaign.report is not None:
        document |= campaign.report.to_dict()
        del document["groups"]
    return {**document, "senders": list(campaign.senders)}
