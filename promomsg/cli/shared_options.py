"""The options that several commands have: each is written and worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = [
    "account_file_option",
    "base_url_option",
    "file_secrets_option",
    "journal_argument",
    "json_option",
    "resume_options",
    "yes_option",
]

journal_argument = click.argument("journal", type=click.Path(path_type=Path))
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
