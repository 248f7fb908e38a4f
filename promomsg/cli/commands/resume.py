"""`resume` and `retry`: a campaign gone on with from its journal."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.campaign_of_journal import (
    Overrides,
    campaign_of,
    compare_hosts,
    file_beside,
)
from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.printing import print_note
from promomsg.errors import JournalError, UsageError

if TYPE_CHECKING:
    from promomsg.engine.report import Report
    from promomsg.journal.records import CampaignRecord

__all__ = ["at_work", "go_on_or_wait", "resume", "retry"]


def common(command: Any) -> Any:
    """The options that `resume` and `retry` share."""
    for option in (
        click.argument("journal", type=click.Path(path_type=Path)),
        click.option(
            "--campaign",
            type=click.Path(path_type=Path),
            help="The campaign file, when it has moved.",
        ),
        click.option("--recipients", type=click.Path(path_type=Path), help="Likewise the list."),
        click.option("--base-url", metavar="URL", help="Instead of the campaign file's own."),
        click.option(
            "--allow-file-secrets",
            is_flag=True,
            help="Secrets may lie outside of the campaign file's folder.",
        ),
        click.option(
            "--everyone", is_flag=True, help="Really to every promoter, as it was planned."
        ),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
    ):
        command = option(command)
    return command


@click.command(short_help="Continue an unfinished campaign.")
@common
@click.option(
    "--after-lost-wal",
    is_flag=True,
    help="Go on without the journal's lost -wal: whoever may have been sent to becomes unknown.",
)
@click.option(
    "--provider-is-back",
    is_flag=True,
    help="After an outage of which you know that it is over.",
)
def resume(
    journal: Path,
    campaign: Path | None,
    recipients: Path | None,
    base_url: str | None,
    allow_file_secrets: bool,
    everyone: bool,
    yes: bool,
    as_json: bool,
    after_lost_wal: bool,
    provider_is_back: bool,
) -> int:
    """Go on with the campaign in JOURNAL: send what is pending, follow its group sends.

    Nobody who was or may have been reached is sent to again.
    """
    overrides = Overrides(campaign, recipients, base_url, allow_file_secrets)
    return go_on(
        journal,
        overrides,
        everyone=everyone,
        yes=yes,
        as_json=as_json,
        after_lost_wal=after_lost_wal,
        provider_is_back=provider_is_back,
    )


def go_on(
    journal: Path,
    overrides: Overrides,
    *,
    everyone: bool,
    yes: bool,
    as_json: bool,
    submit: bool = False,
    after_lost_wal: bool = False,
    provider_is_back: bool = False,
) -> int:
    """Goes on with the campaign in a journal; returns the exit status.

    Args:
        said: what the command line names instead of what the journal remembers.
        submit: leave when every call is answered, groups still pending.
        after_lost_wal: see `Campaign.resume`.
        provider_is_back: see `Campaign.resume`.
    """
    if not os.path.lexists(journal) and os.path.exists(_planning(journal)):
        return _plan_again(journal, overrides, everyone, yes, as_json)
    found = _report(journal)
    if not found.pending:
        return _show(found, as_json)
    if _wake(journal):
        return 0
    file = campaign_of(journal, overrides)
    from promomsg.cli.drive_campaign import SendOptions, command_line, require_terminal

    require_terminal(yes)
    _need_everyone(journal, everyone)
    options = SendOptions(
        yes=yes,
        as_json=as_json,
        resume_with=command_line("resume", str(journal), *overrides.as_arguments()),
        submit=submit,
        left=found.pending,
    )
    return run_async(
        lambda interrupts: _resume(
            journal, file, options, interrupts, after_lost_wal, provider_is_back
        )
    )


@click.command(short_help="Send again to those who failed, or whose result is unknown.")
@common
@click.option("--failed", is_flag=True, help="Those who were refused.")
@click.option("--unknown", is_flag=True, help="Those who may have been reached already.")
@click.option(
    "--include-unnamed",
    is_flag=True,
    help="With --unknown: also members of groups whose failures nobody named.",
)
def retry(
    journal: Path,
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
) -> int:
    """Send again to exactly the set you name of JOURNAL; those that were sent are never touched."""
    if not failed and not unknown:
        raise UsageError("retry: say --failed, --unknown or both; nothing else is meant by it")
    if include_unnamed and not unknown:
        raise UsageError("retry: --include-unnamed goes with --unknown")
    from promomsg.cli.drive_campaign import SendOptions, command_line, require_terminal

    require_terminal(yes)
    overrides = Overrides(campaign, recipients, base_url, allow_file_secrets)
    file = campaign_of(journal, overrides)
    _need_everyone(journal, everyone, reopened=True)
    options = SendOptions(
        yes=True,
        as_json=as_json,
        resume_with=command_line(
            "resume", str(journal), *Overrides(campaign, recipients, base_url).as_arguments()
        ),
        left=0,
    )
    which: dict[str, Any] = {
        "failed": failed,
        "unknown": unknown,
        "include_unnamed": include_unnamed,
    }
    return run_async(lambda interrupts: _retry(journal, file, options, which, yes, interrupts))


def _planning(journal: Path) -> Path:
    return Path(f"{os.path.realpath(journal)}.planning")


def go_on_or_wait(
    journal: Path, overrides: Overrides, *, everyone: bool, yes: bool, as_json: bool, submit: bool
) -> int:
    """`send --or-resume` of a campaign that was begun: as `go_on`, but a pause is a person's word, and
    a sender that is at work needs no second one; both print where it stands, and exit by that."""
    from promomsg.journal.sqlite.journal import is_being_sent

    found = _report(journal)
    if found.pending:
        sending = is_being_sent(journal)
        if found.state == "paused":
            print_note(f"it was paused by request: `promomsg resume {journal}` goes on")
            return _show(found, as_json)
        if sending:
            print_note(at_work(journal, found.state))
            return _show(found, as_json)
    return go_on(journal, overrides, everyone=everyone, yes=yes, as_json=as_json, submit=submit)


def _report(journal: Path) -> Report:
    from promomsg.engine.opened_journal import open_journal

    with open_journal(journal) as opened:
        return opened.report()


def _show(report: Report, as_json: bool) -> int:
    """Prints where a campaign stands; its exit status."""
    from promomsg.cli.exit_status import status_of
    from promomsg.cli.plan_and_result import print_result
    from promomsg.cli.printing import print_json

    document = report.to_dict()
    if as_json:
        print_json(document)
    else:
        print_result(document, report.host)
    return status_of(document)


def at_work(journal: Path, state: str) -> str:
    """That a journal has its sender already, and which process that is."""
    from promomsg.journal.sqlite.lock import holder

    pid = holder(os.path.realpath(journal))
    who = "" if pid is None else f"process {pid}, "
    return f"another process is sending it ({who}{state})"


def _wake(journal: Path) -> bool:
    """Ends the pause of a sender that is alive; whether there was one.

    Raises:
        JournalError: another process is sending, and is not paused.
    """
    from promomsg.journal.records import Control
    from promomsg.journal.sqlite.journal import SqliteJournal, is_being_sent

    if not is_being_sent(journal):
        return False
    state = _report(journal).state
    if state != "paused":
        raise JournalError(
            f"{journal}: {at_work(journal, state)}; watch it with "
            f"`promomsg status {journal} --watch`, or ask it to pause or cancel"
        )

    async def ask(interrupts: Interrupts) -> int:
        await SqliteJournal(journal).request(Control.RUN)
        return 0

    run_async(ask)
    print_note("its sender was paused and goes on now")
    return True


def _need_everyone(journal: Path, everyone: bool, *, reopened: bool = False) -> None:
    """A call to every promoter needs the word again, also when a retry is what plans it anew."""
    if everyone:
        return
    from promomsg.engine.opened_journal import open_journal

    with open_journal(journal) as opened:
        groups = opened.report().groups
    if any(
        g.audience == {"everyone": True} and (reopened or g.state.value == "planned")
        for g in groups
    ):
        raise UsageError(f"{journal} reaches every promoter there is: say --everyone as well")


def _recipients(file: CampaignFile) -> Any:
    from promomsg.cli.campaign.to_engine import recipients_of

    # An audience was counted and decided on when it was planned: it is not read again.
    return None if file.audience is not None else recipients_of(file)


async def _resume(
    journal: Path,
    file: CampaignFile,
    options: Any,
    interrupts: Interrupts,
    after_lost_wal: bool,
    provider_is_back: bool,
) -> int:
    from promomsg.cli.campaign.to_engine import open_channel, run_options_of
    from promomsg.cli.drive_campaign import plan_and_send
    from promomsg.engine.campaign import Campaign

    async with open_channel(file) as channel:
        again = Campaign.resume(
            journal,
            channel,
            recipients=_recipients(file),
            message=file.message,
            suppress=file.suppress,
            after_lost_wal=after_lost_wal,
            provider_is_back=provider_is_back,
            **run_options_of(file),
        )
        return await plan_and_send(again, options, interrupts)


async def _retry(
    journal: Path,
    file: CampaignFile,
    options: Any,
    which: dict[str, Any],
    yes: bool,
    interrupts: Interrupts,
) -> int:
    from promomsg.cli.campaign.to_engine import open_channel, run_options_of
    from promomsg.cli.drive_campaign import plan_and_send
    from promomsg.cli.exit_status import WRONG
    from promomsg.engine.campaign import Campaign

    # Planning a retry reopens the recipients, so the question comes before it.
    found = _report(journal)
    sets = [f"{getattr(found, name):,} {name}" for name in ("failed", "unknown") if which[name]]
    print_note(f"{found.campaign}: {' and '.join(sets)}, at {found.host}")
    if which["unknown"] and found.unknown and file.channel == "wechat":
        print_note("warning: unknown ones may have been reached; some may get the message twice")
    unnamed = found.by_code.get("UNNAMED", 0)
    if which["unknown"] and unnamed and not which["include_unnamed"]:
        print_note(
            f"{unnamed:,} of the unknown are members of groups whose failures nobody named: "
            "they are left out unless you say --include-unnamed"
        )
    if not yes and not await interrupts.ask("send to them again?"):
        print_note("nothing was sent")
        return WRONG
    async with open_channel(file) as channel:
        again = Campaign.retry(
            journal,
            channel,
            recipients=_recipients(file),
            suppress=file.suppress,
            **which,
            **run_options_of(file),
        )
        try:
            return await plan_and_send(again, options, interrupts)
        except Interrupted:
            if _report(journal).pending:
                raise Interrupted(f"interrupted; go on with: {options.resume_with}") from None
            raise Interrupted("interrupted; nothing was changed: say retry again") from None


def _plan_again(
    journal: Path, overrides: Overrides, everyone: bool, yes: bool, as_json: bool
) -> int:
    """Half a plan: nothing was sent, so it is planned again from its campaign file, and sent."""
    from promomsg.cli.commands.send import SendFlags, send_file
    from promomsg.journal.sqlite.journal import JournalReader, is_being_sent

    if is_being_sent(journal):
        raise JournalError(f"{journal}: another process is planning it; wait for it to end")
    record: CampaignRecord | None = None
    with suppress(JournalError), JournalReader(_planning(journal)) as reader:
        record = reader.record
    campaign = overrides.campaign
    if campaign is None:
        if record is None:
            raise UsageError(
                f"{journal}: its plan was not completed and nothing was sent; "
                "say --campaign FILE to plan it again"
            )
        campaign = file_beside(journal, record)
    print_note(f"{journal}: its plan was not completed and nothing was sent; planning it again")
    file = load_campaign(
        campaign,
        recipients=overrides.recipients,
        journal=journal,
        base_url=overrides.base_url,
        file_secrets=overrides.file_secrets,
    )
    if record is not None:
        compare_hosts(journal, record, file, overrides)
    flags = SendFlags(
        base_url=overrides.base_url,
        file_secrets=overrides.file_secrets,
        yes=yes,
        as_json=as_json,
        everyone=everyone,
    )
    return send_file(file, flags)
