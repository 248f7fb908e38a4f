"""`retry`: sending again to those who failed, or whose result is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promomsg.channels.installed import channel_class
from promomsg.cli.campaign.campaign_of_journal import Overrides, campaign_of
from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.cli.campaign.time_section import given_times_of, time_options
from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, in_database, to_open
from promomsg.cli.journal_state import report_of, require_everyone
from promomsg.cli.language.terminal_language import _
from promomsg.cli.output.printing import print_to_stderr
from promomsg.cli.resume_journal import recipients_again
from promomsg.cli.shared_options import resume_options
from promomsg.errors import UsageError
from promomsg.plural import counted

if TYPE_CHECKING:
    from promomsg.cli.drive_campaign import SendOptions
    from promomsg.engine.opened_journal import OpenedJournal

__all__ = ["retry"]


@click.command(short_help="Send again to those who failed, or whose result is unknown.")
@resume_options
@click.option("--failed", is_flag=True, help="Those who were refused.")
@click.option("--unknown", is_flag=True, help="Those who may have been reached already.")
@click.option(
    "--include-unnamed",
    is_flag=True,
    help="With --unknown: also members of groups whose failures nobody named.",
)
@time_options
def retry(
    journal: JournalPlace,
    campaign: Path | None,
    recipients: Path | None,
    base_url: str | None,
    allow_file_secrets: bool,
    everyone: bool,
    yes: bool,
    as_json: bool,
    failed: bool,
    unknown: bool,
    include_unnamed: bool,
    **times: Any,
) -> int:
    """Send again to exactly the set you name of JOURNAL; those that were sent are never touched."""
    if not failed and not unknown:
        raise UsageError("retry: add --failed, --unknown or both")
    if include_unnamed and not unknown:
        raise UsageError("retry: --include-unnamed goes with --unknown")
    from promomsg.cli.drive_campaign import SendOptions, require_terminal

    require_terminal(yes)
    overrides = Overrides(campaign, recipients, base_url, allow_file_secrets)
    which: dict[str, Any] = {
        "failed": failed,
        "unknown": unknown,
        "include_unnamed": include_unnamed,
    }
    given = given_times_of(times)
    from promomsg.engine.opened_journal import open_journal

    with open_journal(to_open(journal)) as opened:
        file = campaign_of(journal, opened.record, overrides)
        require_everyone(journal, opened.report(), everyone, planned_anew=True)
        options = SendOptions(
            on_end=file.on_end,
            yes=True,
            as_json=as_json,
            resume_with=overrides.resume_command(journal, everyone=everyone),
            left=0,
            place=in_database(journal),
        )
        return run_async(
            lambda interrupts: _retry(journal, opened, file, options, which, given, yes, interrupts)
        )


async def _retry(
    journal: JournalPlace,
    opened: OpenedJournal,
    file: CampaignFile,
    options: SendOptions,
    which: dict[str, Any],
    times: dict[str, Any],
    yes: bool,
    interrupts: Interrupts,
) -> int:
    from promomsg.cli.campaign.earlier_journals import left_out_of
    from promomsg.cli.campaign.to_engine import open_channel, resume_options_of
    from promomsg.cli.drive_campaign import plan_and_send
    from promomsg.cli.exit_status import WRONG
    from promomsg.engine.campaign import Campaign

    # Planning a retry reopens the recipients, so the question comes before it.
    found = opened.report()
    texts = {"failed": _("{0:,} failed"), "unknown": _("{0:,} unknown")}
    sets = [text.format(getattr(found, name)) for name, text in texts.items() if which[name]]
    print_to_stderr(f"{found.campaign}: {_(' and ').join(sets)}, at {found.host}")
    if which["unknown"] and found.unknown and not channel_class(file.channel).idempotent:
        print_to_stderr(
            "warning: unknown ones may have been reached; some may get the message twice"
        )
    unnamed = found.by_code.get("UNNAMED", 0)
    if which["unknown"] and unnamed and not which["include_unnamed"]:
        print_to_stderr(
            f"of the unknown {counted(unnamed, 'is a member', 'are members')} of groups whose failures nobody named: "
            "they are left out unless you add --include-unnamed"
        )
    if not yes and not await interrupts.ask("send to them again?"):
        print_to_stderr("nothing was sent")
        return WRONG
    left_out = left_out_of(file, goes_on=opened.record, retries=True)
    options_now = resume_options_of(file, opened.record)
    async with open_channel(file) as channel:
        again = Campaign.retry(
            opened.to_go_on(file.durability),
            channel,
            recipients=recipients_again(file),
            suppress=left_out,
            **which,
            **options_now,
            **times,
        )
        try:
            return await plan_and_send(again, options, interrupts)
        except Interrupted:
            if report_of(journal).pending:
                raise Interrupted(f"interrupted; go on with: {options.resume_with}") from None
            raise Interrupted("interrupted; nothing was changed: run retry again") from None
