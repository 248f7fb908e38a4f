"""`send` and `plan`: from a campaign file to a delivered campaign, or to what it would be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.shared_options import (
    base_url_option,
    file_secrets_option,
    json_option,
    yes_option,
)
from promomsg.errors import JournalError, UsageError

__all__ = ["SendFlags", "plan", "send", "send_file"]


class SendFlags(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on the command line beside the campaign file."""

    base_url: str | None = None
    file_secrets: bool = False
    yes: bool = False
    as_json: bool = False
    max_recipients: int | None = None
    everyone: bool = False
    no_wait: bool = False
    or_resume: bool = False
    recipients: Path | None = None
    test_to: tuple[str, ...] = ()


def common(command: Any) -> Any:
    """The options that `send` and `plan` share."""
    for option in (
        click.argument("file", type=click.Path(path_type=Path)),
        click.option(
            "--recipients", type=click.Path(path_type=Path), help="Instead of the file's own."
        ),
        click.option(
            "--journal", type=click.Path(path_type=Path), help="Instead of the file's own."
        ),
        base_url_option,
        file_secrets_option,
        click.option(
            "--max-recipients", type=click.IntRange(1), metavar="N", help="Refuse a larger plan."
        ),
        click.option(
            "--everyone", is_flag=True, help="Really to every promoter, as [audience] says."
        ),
        click.option("--test-to", metavar="KEY,…", help="To these keys alone, journalled apart."),
        json_option,
    ):
        command = option(command)
    return command


@click.command(short_help="Plan a campaign file, ask, and send it.")
@common
@click.option("--dry-run", is_flag=True, help="Only plan: the same as `promomsg plan`.")
@yes_option
@click.option(
    "--or-resume", is_flag=True, help="Go on with the campaign when its journal is there already."
)
@click.option("--no-wait", is_flag=True, help="Do not follow group sends; resume does later.")
def send(
    file: Path,
    recipients: Path | None,
    journal: Path | None,
    base_url: str | None,
    allow_file_secrets: bool,
    max_recipients: int | None,
    everyone: bool,
    test_to: str | None,
    as_json: bool,
    dry_run: bool,
    yes: bool,
    or_resume: bool,
    no_wait: bool,
) -> int:
    """Plan the campaign in FILE, show the plan, ask, and send it."""
    if or_resume and test_to is not None:
        raise UsageError("--or-resume: a test is journalled apart each time; leave --test-to out")
    flags = SendFlags(
        base_url=base_url,
        file_secrets=allow_file_secrets,
        yes=yes,
        as_json=as_json,
        max_recipients=max_recipients,
        everyone=everyone,
        no_wait=no_wait,
        or_resume=or_resume,
        recipients=recipients,
        test_to=_keys(test_to),
    )
    campaign = load_campaign(
        file,
        recipients=recipients,
        journal=journal,
        base_url=base_url,
        file_secrets=allow_file_secrets,
    )
    if dry_run:
        return run_async(lambda interrupts: _plan(campaign, flags, interrupts))
    return send_file(campaign, flags)


@click.command(short_help="Show what send would do, and send nothing.")
@common
def plan(
    file: Path,
    recipients: Path | None,
    journal: Path | None,
    base_url: str | None,
    allow_file_secrets: bool,
    max_recipients: int | None,
    everyone: bool,
    test_to: str | None,
    as_json: bool,
) -> int:
    """Show what sending the campaign in FILE would do: calls, time, messages, rows left out."""
    flags = SendFlags(
        base_url=base_url,
        file_secrets=allow_file_secrets,
        as_json=as_json,
        max_recipients=max_recipients,
        everyone=everyone,
        test_to=_keys(test_to),
    )
    campaign = load_campaign(
        file,
        recipients=recipients,
        journal=journal,
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


def send_file(file: CampaignFile, flags: SendFlags) -> int:
    """Sends a campaign file; returns the exit status."""
    from promomsg.cli.drive_campaign import require_terminal

    if flags.or_resume and os.path.lexists(file.journal):
        from promomsg.cli.campaign.campaign_of_journal import Overrides
        from promomsg.cli.commands.resume import go_on_or_wait

        return go_on_or_wait(
            file.journal,
            Overrides(file.path, flags.recipients, flags.base_url, flags.file_secrets),
            everyone=flags.everyone,
            yes=flags.yes,
            as_json=flags.as_json,
            submit=flags.no_wait,
        )
    require_terminal(flags.yes)
    return run_async(lambda interrupts: _send(file, flags, interrupts))


async def _send(file: CampaignFile, flags: SendFlags, interrupts: Interrupts) -> int:
    from promomsg.cli.campaign.campaign_of_journal import Overrides, lies_beside
    from promomsg.cli.campaign.to_engine import open_channel
    from promomsg.cli.drive_campaign import SendOptions, command_line, plan_and_send

    journal = _journal(file, flags.test_to)
    _refuse_used(journal)
    overrides = Overrides(
        campaign=None if lies_beside(file.path, journal) else file.path,
        base_url=flags.base_url,
        file_secrets=flags.file_secrets,
    )
    resume = command_line(
        "resume",
        str(journal),
        *overrides.as_arguments(),
        *(("--everyone",) if flags.everyone else ()),
    )
    options = SendOptions(
        yes=flags.yes,
        as_json=flags.as_json,
        resume_with=resume,
        submit=flags.no_wait,
        notes=file.notices,
    )
    async with open_channel(file) as channel:
        campaign = _campaign(file, flags, channel, journal)
        return await plan_and_send(campaign, options, interrupts)


async def _plan(file: CampaignFile, flags: SendFlags, interrupts: Interrupts) -> int:
    import anyio

    from promomsg.cli.campaign.to_engine import open_channel
    from promomsg.cli.plan_and_result import plan_document, print_plan, print_rows_left_out
    from promomsg.cli.printing import finish_output, print_json

    journal = _journal(file, flags.test_to)
    async with open_channel(file) as channel:
        # A plan writes nothing that stays, so it needs no place of its own: a temporary one.
        campaign = _campaign(file, flags, channel, None)
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


def _campaign(file: CampaignFile, flags: SendFlags, channel: Any, journal: Path | None) -> Any:
    from promomsg.cli.campaign.to_engine import options_of, recipients_of
    from promomsg.engine.campaign import Campaign

    if flags.test_to and file.audience is not None and not file.expand:
        raise UsageError(
            "--test-to picks recipients by their key, and an [audience] has none: "
            "give --recipients with a file of the people to test with"
        )
    options = options_of(file)
    if flags.max_recipients is not None:
        options["max_recipients"] = flags.max_recipients
    if flags.test_to:
        options["only"] = flags.test_to
    return Campaign(
        channel,
        file.message,
        recipients_of(file, everyone=flags.everyone),
        name=f"{file.name} (test)" if flags.test_to else file.name,
        journal=journal,
        suppress=file.suppress,
        campaign_file=str(file.path),
        **options,
    )


def _journal(file: CampaignFile, test_to: Sequence[str]) -> Path:
    if not test_to:
        return file.journal
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    return file.journal.with_name(f"{file.journal.stem}-test-{stamp}.db")


def _refuse_used(journal: Path) -> None:
    if not os.path.lexists(journal):
        return
    if journal.is_dir():
        raise UsageError(f"the journal {journal} is a folder; give a file's name in it")
    from promomsg.cli.commands.resume import at_work
    from promomsg.cli.drive_campaign import command_line
    from promomsg.engine.opened_journal import open_journal
    from promomsg.journal.sqlite.journal import is_being_sent

    try:
        with open_journal(journal) as opened:
            state = opened.report().state
    except JournalError:
        raise JournalError(
            f"{journal} is there already and is not a journal; give another --journal"
        ) from None
    if is_being_sent(journal):
        raise JournalError(
            f"{journal} already holds this campaign, and {at_work(journal, state)}; watch it with "
            f"`{command_line('status', str(journal), '--watch')}`, or give another --journal"
        )
    raise JournalError(
        f"{journal} already holds a campaign: go on with it by "
        f"`{command_line('resume', str(journal))}`, send again to the failed ones by "
        f"`{command_line('retry', str(journal), '--failed')}`, or give another --journal"
    )
