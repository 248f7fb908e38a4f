"""`resume`: an unfinished campaign continued from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promomsg.cli.campaign.campaign_of_journal import Overrides
from promomsg.cli.campaign.time_section import given_times_of, time_options
from promomsg.cli.journal_place import JournalPlace
from promomsg.cli.resume_journal import ResumeFlags, resume_journal
from promomsg.cli.shared_options import resume_options

__all__ = ["resume"]


@click.command(short_help="Continue an unfinished campaign.")
@resume_options
@click.option(
    "--after-lost-wal",
    is_flag=True,
    help="Resume without the journal's lost -wal: who may have been sent to becomes unknown.",
)
@click.option(
    "--provider-is-back",
    is_flag=True,
    help="The provider's outage is over: send without testing that first.",
)
@click.option(
    "--approve",
    is_flag=True,
    help="Let the others follow the first few, however those came out.",
)
@time_options
def resume(
    journal: JournalPlace,
    campaign: Path | None,
    recipients: Path | None,
    base_url: str | None,
    allow_file_secrets: bool,
    everyone: bool,
    yes: bool,
    as_json: bool,
    after_lost_wal: bool,
    provider_is_back: bool,
    approve: bool,
    **times: Any,
) -> int:
    """Go on with the campaign in JOURNAL: send what is pending, follow its group sends.

    Nobody who was or may have been reached is sent to again.
    """
    return resume_journal(
        journal,
        Overrides(campaign, recipients, base_url, allow_file_secrets),
        ResumeFlags(
            everyone=everyone,
            yes=yes,
            as_json=as_json,
            after_lost_wal=after_lost_wal,
            provider_is_back=provider_is_back,
            approve=approve,
            times=given_times_of(times),
        ),
    )
