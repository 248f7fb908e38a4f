"""The options that several commands have: each is written and worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promomsg.cli.journal_place import FleetPlace, JournalPlace, fleet_name

__all__ = [
    "account_file_option",
    "as_place",
    "base_url_option",
    "file_secrets_option",
    "fleet_option",
    "journal_argument",
    "json_option",
    "keep_url",
    "resume_options",
    "yes_option",
]

_FLEET = "promomsg.fleet"


def keep_url(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Has `as_place` know the value of `--fleet`."""
    # Read before the arguments (`is_eager`), which mean something else with it.
    ctx.meta[_FLEET] = value
    return value


def as_place(ctx: click.Context, param: click.Parameter, value: str | None) -> JournalPlace | None:
    """A journal's path or `fleet:NAME`; with `--fleet` the campaign's name in that database."""
    if value is None:
        return None
    name, url = fleet_name(value), ctx.meta.get(_FLEET)
    if name is None and url is None:
        return Path(value)
    return FleetPlace(value if name is None else name, url)


fleet_option = click.option(
    "--fleet",
    metavar="URL",
    is_eager=True,
    callback=keep_url,
    help="JOURNAL is the name of a campaign in this PostgreSQL database.",
    expose_value=False,
)


def journal_argument(command: Any) -> Any:
    """The journal that a command is about: a file, `fleet:NAME`, or a name in the database of `--fleet`."""
    return click.argument("journal", callback=as_place)(fleet_option(command))


account_file_option = click.option(
    "--campaign",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="A campaign file; its account is enough.",
)
base_url_option = click.option(
    "--base-url", metavar="URL", help="Instead of the campaign file's own."
)
file_secrets_option = click.option(
    "--allow-file-secrets",
    is_flag=True,
    help="Secrets may lie outside of the campaign file's folder.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def resume_options(command: Any) -> Any:
    """Those of `resume` and `retry`."""
    for option in (
        journal_argument,
        click.option(
            "--campaign",
            type=click.Path(path_type=Path),
            help="The campaign file, when it has moved.",
        ),
        click.option(
            "--recipients", type=click.Path(path_type=Path), help="The list, when it has moved."
        ),
        base_url_option,
        file_secrets_option,
        click.option("--everyone", is_flag=True, help="Confirm that it goes to every promoter."),
        yes_option,
        json_option,
    ):
        command = option(command)
    return command
