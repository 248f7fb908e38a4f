"""`fleet`: the database that several machines send from, and the workers that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.language.terminal_language import _
from promomsg.cli.shared_options import json_option, yes_option

if TYPE_CHECKING:
    from promomsg.fleet.fleet import Fleet, FleetCampaign
    from promomsg.fleet.prune import Pruned
    from promomsg.fleet.worker_table import FleetWorker

__all__ = ["fleet"]

_EVERY: Final = 0.5
"""Seconds between looks at whether workers have ended."""

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
    from promomsg.cli.output.progress import waiting_text
    from promomsg.fleet.fleet import Fleet

    found = Fleet(url)
    campaigns = _campaigns(found)
    if as_json:
        print_json({"fleet": found.place, "campaigns": [_document(one) for one in campaigns]})
    elif not campaigns:
        print_to_stderr(f"{found.place}: no campaign yet")
    else:
        print_line(found.place)
        print_table(
            ("campaign", "state", *_COUNTS, "sent by"),
            ((one.name, _(one.state), *_counts(one), " ".join(one.senders)) for one in campaigns),
        )
        for one in campaigns:
            if one.state == "waiting" and one.report is not None and one.report.waits_until:
                print_line(f"{one.name}: {waiting_text(one.report.to_dict())}")
            for line in one.trouble:
                print_line(f"{one.name}: {line}")
    return finish_output()


def _campaigns(found: Fleet) -> list[FleetCampaign]:
    campaigns: list[FleetCampaign] = []

    async def look(interrupts: Interrupts) -> int:
        campaigns.extend(await interrupts.unless(found.campaigns()))
        return 0

    run_async(look)
    return campaigns


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
        if document["state"] != campaign.state:
            document |= {"state": campaign.state, "reason": ""}
    return {**document, "senders": list(campaign.senders), "trouble": list(campaign.trouble)}


@fleet.command(short_help="List the workers, what they do, and what they cannot do.")
@_url_option
@json_option
def workers(url: str | None, as_json: bool) -> int:
    """List every worker of the fleet: whether it is alive, what it is at, what it cannot do and why."""
    from promomsg.cli.output.printing import (
        finish_output,
        print_json,
        print_line,
        print_table,
        print_to_stderr,
    )
    from promomsg.fleet.fleet import Fleet

    found = Fleet(url)
    listed: list[FleetWorker] = []

    async def look(interrupts: Interrupts) -> int:
        listed.extend(await interrupts.unless(found.workers()))
        return 0

    run_async(look)
    if as_json:
        print_json({"fleet": found.place, "workers": [_worker(one) for one in listed]})
    elif not listed:
        print_to_stderr(f"{found.place}: no worker; `promomsg worker` is one")
    else:
        print_line(found.place)
        print_table(
            ("worker", "state", "concurrency", "version", "at"),
            (
                (one.name, _(_state(one)), f"{one.concurrency:,}", one.version, _doing(one))
                for one in listed
            ),
        )
        for one in listed:
            for trouble in one.trouble:
                print_line(f"{one.name}: {trouble.name}: {trouble.text}")
    return finish_output()


def _state(worker: FleetWorker) -> str:
    if not worker.alive:
        return "gone"
    return "ending" if worker.draining else "alive"


def _doing(worker: FleetWorker) -> str:
    names = dict.fromkeys(one.name for one in worker.doing if worker.alive)
    return " ".join(names)


def _worker(worker: FleetWorker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "state": _state(worker),
        "started_at": round(worker.started_at, 3),
        "seen_at": round(worker.seen_at, 3),
        "concurrency": worker.concurrency,
        "version": worker.version,
        "doing": [{"task": one.task, "journal": f"fleet:{one.name}"} for one in worker.doing],
        "trouble": [
            {"journal": f"fleet:{one.name}", "task": one.task, "text": one.text}
            for one in worker.trouble
        ],
    }


@fleet.command(short_help="Have workers take no more work, and end.")
@click.argument("names", metavar="[WORKER]...", nargs=-1)
@_url_option
@click.option("--no-wait", is_flag=True, help="Only ask: do not wait until they have ended.")
@json_option
def drain(names: tuple[str, ...], url: str | None, no_wait: bool, as_json: bool) -> int:
    """Ask the workers named, or all, to take no more work and to end: calls in flight finish."""
    from promomsg.cli.exit_status import INTERRUPTED
    from promomsg.cli.output.printing import finish_output, print_json, print_to_stderr, shown_count
    from promomsg.errors import UsageError
    from promomsg.fleet.fleet import Fleet
    from promomsg.suggest import did_you_mean

    found = Fleet(url)
    asked: list[str] = []
    left: list[str] = []

    async def ask(interrupts: Interrupts) -> int:
        import anyio

        there = [one.name for one in await interrupts.unless(found.workers()) if one.alive]
        for name in names:
            if name not in there:
                hint = did_you_mean(name, there) or "; `promomsg fleet workers` lists them"
                raise UsageError(f"{found.place}: there is no worker {name!r}{hint}")
        asked.extend(names or there)
        if asked:
            await interrupts.unless(found.drain(*asked))
        left.extend(asked)
        while left and not no_wait and not interrupts.asked:
            with anyio.move_on_after(_EVERY):
                await interrupts.wait()
            alive = {one.name for one in await found.workers() if one.alive and one.draining}
            left[:] = [name for name in left if name in alive]
        return INTERRUPTED if interrupts.asked else 0

    status = run_async(ask)
    if as_json:
        ended = [name for name in asked if name not in left]
        print_json({"fleet": found.place, "ended": ended, "ending": left})
    elif left:
        print_to_stderr(f"{shown_count(len(left), 'worker')} still ending: {' '.join(left)}")
    else:
        print_to_stderr(f"{shown_count(len(asked), 'worker')} ended")
    return status or finish_output()


@fleet.command(short_help="Remove what nobody needs any more.")
@_url_option
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(min=0.0),
    help="Remove campaigns that ended so many days ago; without it all stay.",
)
@yes_option
@json_option
def prune(url: str | None, older_than: float | None, yes: bool, as_json: bool) -> int:
    """Remove workers that are gone, half plans, expired tokens, and campaigns that ended long ago."""
    from promomsg.cli.command_errors import CommandError
    from promomsg.cli.output.printing import finish_output, print_json, print_to_stderr, shown_count
    from promomsg.clock import DAY, SYSTEM_CLOCK
    from promomsg.fleet.fleet import Fleet

    found = Fleet(url)
    before = None if older_than is None else SYSTEM_CLOCK.time() - older_than * DAY
    removed: list[Pruned] = []

    async def remove(interrupts: Interrupts) -> int:
        meant: Sequence[str] = ()
        if before is not None:
            listed = await interrupts.unless(found.campaigns())
            meant = [one.name for one in listed if (one.ended_at or before) < before]
        if meant and not yes:
            import sys

            print_to_stderr(f"to be removed with everything in them: {' '.join(meant)}")
            if not sys.stdin.isatty():
                raise CommandError("nothing was removed: without a terminal it takes --yes")
            if not await interrupts.ask(f"remove {shown_count(len(meant), 'campaign')}?"):
                raise CommandError("nothing was removed")
        removed.append(await interrupts.unless(found.prune(ended_before=before)))
        return 0

    run_async(remove)
    [pruned] = removed
    if as_json:
        import msgspec

        document = msgspec.to_builtins(pruned)
        print_json({"fleet": found.place, "removed": document.pop("campaigns"), **document})
    else:
        parts = [
            shown_count(len(pruned.campaigns), "campaign"),
            shown_count(len(pruned.half_plans), "half plan"),
            shown_count(len(pruned.workers), "worker"),
            shown_count(pruned.jobs, "job"),
            shown_count(pruned.tokens, "token"),
        ]
        print_to_stderr(f"{found.place}: removed {', '.join(parts)}")
        for name in (*pruned.campaigns, *pruned.half_plans):
            print_to_stderr(f"removed: {name}")
    return finish_output()
