"""`send` and `plan`: from a campaign file to a delivered campaign, or to what it would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.campaign_of_journal import Overrides
from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.cli.campaign.first_section import as_first
from promomsg.cli.campaign.time_section import given_times_of, time_options
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, exists
from promomsg.cli.resume_journal import ResumeFlags, resume_unless_at_work
from promomsg.cli.send_file import SendFlags, campaign_for, journal_for, send_file
from promomsg.cli.shared_options import (
    as_place,
    base_url_option,
    file_secrets_option,
    json_option,
    keep_url,
    yes_option,
)
from promomsg.errors import UsageError

__all__ = ["plan", "send"]


def send_options(command: Any) -> Any:
    """Those of `send` and `plan`."""
    for option in (
        click.argument("file", type=click.Path(path_type=Path)),
        click.option(
            "--recipients", type=click.Path(path_type=Path), help="Instead of the file's own."
        ),
        click.option(
            "--journal", metavar="PATH", callback=as_place, help="Instead of the file's own."
        ),
        click.option(
            "--fleet",
            metavar="URL",
            is_eager=True,
            callback=keep_url,
            help="Keep the campaign in this PostgreSQL database, for many machines to send.",
        ),
        base_url_option,
        file_secrets_option,
        click.option(
            "--max-recipients", type=click.IntRange(1), metavar="N", help="Refuse a larger plan."
        ),
        click.option("--everyone", is_flag=True, help="Confirm that it goes to every promoter."),
        click.option(
            "--first",
            metavar="N",
            help='Send to N (20, or "2%") first, and to the others once it is seen how that went.',
        ),
        click.option(
            "--test-to",
            metavar="KEY,…",
            help="Send to these keys only, into a journal of their own.",
        ),
        time_options,
        json_option,
    ):
        command = option(command)
    return command


@click.command(short_help="Plan a campaign file, ask, and send it.")
@send_options
@click.option("--dry-run", is_flag=True, help="Only plan: the same as `promomsg plan`.")
@yes_option
@click.option(
    "--or-resume", is_flag=True, help="Resume the campaign when its journal exists already."
)
@click.option(
    "--no-wait", is_flag=True, help="Wait for no group send, start or hours; resume does later."
)
def send(
    file: Path,
    recipients: Path | None,
    journal: JournalPlace | None,
    fleet: str | None,
    base_url: str | None,
    allow_file_secrets: bool,
    max_recipients: int | None,
    everyone: bool,
    first: str | None,
    test_to: str | None,
    as_json: bool,
    dry_run: bool,
    yes: bool,
    or_resume: bool,
    no_wait: bool,
    **times: Any,
) -> int:
    """Plan the campaign in FILE, show the plan, ask, and send it."""
    if or_resume and test_to is not None:
        raise UsageError("--or-resume: a test has a new journal each time; leave --test-to out")
    flags = SendFlags(
        base_url=base_url,
        file_secrets=allow_file_secrets,
        yes=yes,
        as_json=as_json,
        max_recipients=max_recipients,
        everyone=everyone,
        no_wait=no_wait,
        times=given_times_of(times),
        first=None if first is None else as_first(first),
        test_to=_keys(test_to),
    )
    campaign = load_campaign(
        file,
        recipients=recipients,
        journal=journal,
        fleet=fleet,
        base_url=base_url,
        file_secrets=allow_file_secrets,
    )
    if dry_run:
        return run_async(lambda interrupts: _plan(campaign, flags, interrupts))
    if or_resume and exists(campaign.journal):
        return resume_unless_at_work(
            campaign.journal,
            Overrides(campaign.path, recipients, base_url, allow_file_secrets),
            ResumeFlags(
                everyone=everyone,
                yes=yes,
                as_json=as_json,
                no_wait=no_wait,
                first=flags.first,
                max_recipients=max_recipients,
                times=flags.times,
            ),
        )
    return send_file(campaign, flags)


@click.command(short_help="Show what send would do, and send nothing.")
@send_options
def plan(
    file: Path,
    recipients: Path | None,
    journal: JournalPlace | None,
    fleet: str | None,
    base_url: str | None,
    allow_file_secrets: bool,
    max_recipients: int | None,
    everyone: bool,
    first: str | None,
    test_to: str | None,
    as_json: bool,
    **times: Any,
) -> int:
    """Show what sending the campaign in FILE would do: calls, time, messages, rows left out."""
    flags = SendFlags(
        base_url=base_url,
        file_secrets=allow_file_secrets,
        as_json=as_json,
        max_recipients=max_recipients,
        everyone=everyone,
        times=given_times_of(times),
        first=None if first is None else as_first(first),
        test_to=_keys(test_to),
    )
    campaign = load_campaign(
        file,
        recipients=recipients,
        journal=journal,
        fleet=fleet,
        base_url=base_url,
        file_secrets=allow_file_secrets,
    )
    return run_async(lambda interrupts: _plan(campaign, flags, interrupts))


def _keys(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    keys = tuple(dict.fromkeys(k.strip() for k in text.split(",") if k.strip()))
    if not keys:
        raise UsageError("--test-to: no key; write --test-to KEY or --test-to KEY,KEY")
    return keys


async def _plan(file: CampaignFile, flags: SendFlags, interrupts: Interrupts) -> int:
    import anyio

    from promomsg.cli.campaign.max_per_person_key import beside
    from promomsg.cli.campaign.to_engine import open_channel
    from promomsg.cli.output.plan_and_result import plan_document, print_plan, print_rows_left_out
    from promomsg.cli.output.printing import finish_output, print_json

    journal = journal_for(file, flags.test_to)
    async with open_channel(file) as channel:
        # A plan leaves nothing behind: it is made in a temporary journal, or, where messages per person are
        # counted, in half a one beside the others.
        counts = file.max_per_person is not None and not flags.test_to
        campaign = campaign_for(file, flags, channel, beside(journal) if counts else None)
        try:
            found = await interrupts.unless(campaign.plan())
            if flags.as_json:
                document = plan_document(found, str(journal), file.notices)
                document["rows_not_sent"] = [
                    {"key": o.recipient.key, "code": o.code, "detail": o.detail}
                    async for o in campaign.not_sent()
                ]
                print_json(document)
            else:
                print_plan(found, str(journal), file.notices)
                await print_rows_left_out(campaign.not_sent(), limit=None)
        finally:
            with anyio.CancelScope(shield=True):
                await campaign.discard()
    return finish_output()
