"""What a campaign file and the command line say of when it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click

from promomsg.cli.campaign.table_reader import TableReader
from promomsg.engine.schedule.time_options import checked_times

__all__ = [
    "CAMPAIGN_TIMES",
    "PACE_TIMES",
    "TIME_KEYS",
    "given_times_of",
    "read_times",
    "time_options",
]

CAMPAIGN_TIMES: Final = ("start_at", "finish_by", "zone")
"""The keys of `[campaign]` that are about it."""
PACE_TIMES: Final = ("between", "zone_column")
"""Those of `[pace]`."""
TIME_KEYS: Final = CAMPAIGN_TIMES + PACE_TIMES


def read_times(campaign: TableReader, pace: TableReader) -> dict[str, Any]:
    """Those of the keys that are there, as options of a campaign.

    Raises:
        UsageError: one is not what it should be.
    """
    found = {}
    for table, names in ((campaign, CAMPAIGN_TIMES), (pace, PACE_TIMES)):
        given = {name: _plain(table.table[name]) for name in names if name in table}
        table.build(checked_times, **{**dict.fromkeys(TIME_KEYS), **given})
        found.update(given)
    return found


def _plain(value: Any) -> Any:
    """A date and time that TOML knows as one, without an offset, as the text that it is."""
    if isinstance(value, datetime) and value.utcoffset() is None:
        return value.isoformat(" ")
    return value


def time_options(command: Any) -> Any:
    """The options of the terminal that say when a campaign is sent."""
    for option in (
        click.option(
            "--start-at",
            metavar="TIME",
            help='Nothing goes out before, "2026-12-12 09:00"; "now" takes a start back.',
        ),
        click.option(
            "--finish-by",
            metavar="TIME",
            help="From then on nothing goes out; the rest is cancelled.",
        ),
        click.option(
            "--between",
            metavar="HOURS",
            multiple=True,
            help='Only in these hours, "09:00-21:00" or "Mon-Fri 09:00-21:00"; may be repeated.',
        ),
    ):
        command = option(command)
    return command


def given_times_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of them that were given, as options of a campaign."""
    names = ("start_at", "finish_by", "between")
    return {name: options[name] for name in names if options[name]}
