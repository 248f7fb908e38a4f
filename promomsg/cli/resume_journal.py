"""Resuming the campaign of a journal: what `resume` and `send --or-resume` do."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.campaign_of_journal import (
    Overrides,
    campaign_of,
    compare_hosts,
    file_beside,
)
from promomsg.cli.campaign.campaign_values import STANDARD_INPUT, CampaignFile
from promomsg.cli.campaign.time_section import TIME_KEYS
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, exists, in_database, to_open, words_for
from promomsg.cli.journal_state import being_sent_by, print_report, report_of, require_everyone
from promomsg.cli.output.printing import command_line, print_to_stderr
from promomsg.cli.send_file import SendFlags, send_file
from promomsg.errors import JournalError, UsageError

if TYPE_CHECKING:
    from promomsg.cli.drive_campaign import SendOptions
    from promomsg.engine.opened_journal import OpenedJournal
    from promomsg.engine.report import Report
    from promomsg.journal.records import CampaignRecord

__all__ = ["ResumeFlags", "recipients_again", "resume_journal", "resume_unless_at_work"]


class ResumeFlags(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says beside the journal and its `Overrides`.

    Attributes:
        no_wait: leave when every call is answered, groups still pending, and when it is to wait.
        times: when it is sent from now on: options of a campaign; what is not among them stays.
        first, max_recipients: of `send --or-resume`.
        after_lost_wal, provider_is_back, approve: see `Campaign.resume`.
    """

    everyone: bool = False
    yes: bool = False
    as_json: bool = False
    no_wait: bool = False
    after_lost_wal: bool = False
    provider_is_back: bool = False
    approve: bool = False
    first: int | str | None = None
    max_recipients: int | None = None
    times: dict[str, Any] = msgspec.field(default_factory=dict)


def resume_journal(journal: JournalPlace, overrides: Overrides, flags: ResumeFlags) -> int:
    """Resumes the campaign in a journal; returns the exit status.

    A finished campaign is only printed, once its clicks were asked for that are due by now. Half a plan is thrown away and made again.
    """
    from promomsg.engine.opened_journal import open_journal
    from promomsg.journal.locate import half_plan

    if isinstance(journal, Path) and not exists(journal) and os.path.exists(half_plan(journal)):
        return _plan_again(journal, overrides, flags)
    with open_journal(to_open(journal)) as opened:
        return _go_on(journal, opened, opened.report(), overrides, flags)


def _go_on(
    journal: JournalPlace,
    opened: OpenedJournal,
    found: Report,
    overrides: Overrides,
    flags: ResumeFlags,
) -> int:
    from promomsg.engine.report import ENDED

    if found.state in ENDED:
        return _print_ended(journal, opened, found, overrides, flags)
    if found.first is not None and found.first.needs_a_word and not flags.approve:
        word = overrides.resume_command(journal, everyone=flags.everyone)
        print_to_stderr(f"the others wait for a person's word: `{word} --approve` goes on")
        return print_report(found, flags.as_json)
    joins = False
    if isinstance(journal, Path):
        if _end_pause(journal, opened, flags):
            return 0
    elif journal.journal().is_being_sent():
        joins = True
    file = campaign_of(journal, opened.record, overrides)
    from promomsg.cli.campaign.earlier_journals import left_out_of
    from promomsg.cli.campaign.too_late import too_late
    from promomsg.cli.drive_campaign import SendOptions, require_terminal

    require_terminal(flags.yes)
    require_everyone(journal, found, flags.everyone)
    options = SendOptions(
        on_end=file.on_end,
        yes=flags.yes,
        as_json=flags.as_json,
        resume_with=overrides.resume_command(journal, everyone=flags.everyone),
        submit=flags.no_wait,
        left=found.pending,
        place=in_database(journal),
        notices=tuple(too_late(file, opened.record, first=flags.first, times=flags.times)),
    )
    if joins:
        alone = f"{being_sent_by(journal, found.state)}: joining in"
        options = msgspec.structs.replace(options, alone=alone)
    suppress = left_out_of(file, goes_on=opened.record)
    if joins and suppress is not None:
        suppress = None
        print_to_stderr("the suppression list is not read again while others send")
    return run_async(
        lambda interrupts: _resume(journal, opened, file, suppress, options, flags, interrupts)
    )


def _print_ended(
    journal: JournalPlace,
    opened: OpenedJournal,
    found: Report,
    overrides: Overrides,
    flags: ResumeFlags,
) -> int:
    """Prints a campaign that is over, with the clicks that are due by now."""
    from promomsg.cli.due_clicks import keep_clicks_of_ended

    if keep_clicks_of_ended(journal, opened, overrides):
        with suppress(JournalError):
            found = report_of(journal)
    return print_report(found, flags.as_json)


def resume_unless_at_work(journal: JournalPlace, overrides: Overrides, flags: ResumeFlags) -> int:
    """The same for `send --or-resume`: what a person paused stays paused, and a sender that is at
    work needs no second one. Either way it prints where the campaign stands, and exits by that.
    """
    from promomsg.engine.opened_journal import open_journal
    from promomsg.engine.report import ENDED
    from promomsg.journal.locate import journal_at

    with open_journal(to_open(journal)) as opened:
        found = opened.report()
        if found.state not in ENDED:
            at_work = journal_at(to_open(journal)).is_being_sent()
            if found.state == "paused":
                resume = command_line("resume", *words_for(journal))
                print_to_stderr(f"it was paused by request: `{resume}` goes on")
                return print_report(found, flags.as_json)
            if at_work:
                print_to_stderr(being_sent_by(journal, found.state))
                return print_report(found, flags.as_json)
            if workers := _workers_that_go_on(journal, found):
                print_to_stderr(workers)
                return print_report(found, flags.as_json)
        return _go_on(journal, opened, found, overrides, flags)


def _workers_that_go_on(journal: JournalPlace, found: Report) -> str:
    """Who sends a campaign on that nobody has in hand at this moment; empty when it is nobody."""
    place = in_database(journal)
    if place is None or found.state == "halted":
        return ""
    from promomsg.cli.watch_workers import who_sends, workers_of

    workers = asyncio.run(workers_of(place))
    return who_sends(workers) if workers else ""


def _end_pause(journal: Path, opened: OpenedJournal, flags: ResumeFlags) -> bool:
    """Ends the pause of a sender that is alive; whether there was one.

    Raises:
        JournalError: another process is sending, and is not paused.
        UsageError: it cannot be told the times of the command line.
    """
    from promomsg.journal.locate import journal_at
    from promomsg.journal.records import Control

    if not journal_at(journal).is_being_sent():
        return False
    state = opened.report().state
    if state != "paused":
        raise JournalError(
            f"{journal}: {being_sent_by(journal, state)}; watch it with "
            f"`promomsg status {journal} --watch`, or ask it to pause or cancel"
        )

    if flags.times:
        raise UsageError(
            f"{journal}: its sender is paused, and goes on by the times that it has: leave "
            f"{', '.join('--' + name.replace('_', '-') for name in flags.times)} out, or end that process first"
        )

    async def ask(interrupts: Interrupts) -> int:
        await journal_at(journal).request(Control.RUN)
        return 0

    run_async(ask)
    print_to_stderr("its sender was paused and goes on now")
    return True


def recipients_again(file: CampaignFile) -> Any:
    """The list to read again, or the audience, to be compared with what was planned; None for a list that only
    the machine has that planned it."""
    from promomsg.cli.campaign.to_engine import recipients_of

    if file.audience is not None and file.failed_in is None:
        return file.audience  # only compared: `--everyone` is asked for by what the journal calls
    if _is_elsewhere(file):
        return None
    return recipients_of(file)


def _is_elsewhere(file: CampaignFile) -> bool:
    """Whether another machine has planned it, and the list is only there: nobody needs it here, unless
    for user tokens that the journal does not keep."""
    named = file.recipients or file.failed_in
    if isinstance(file.journal, Path) or named is None:
        return False
    lists = named if isinstance(named, tuple) else (named,)
    return not any(one.exists() for one in lists)


async def _resume(
    journal: JournalPlace,
    opened: OpenedJournal,
    file: CampaignFile,
    suppress: Any,
    options: SendOptions,
    flags: ResumeFlags,
    interrupts: Interrupts,
) -> int:
    from promomsg.cli.campaign.to_engine import open_channel, resume_options_of
    from promomsg.cli.drive_campaign import plan_and_send
    from promomsg.cli.due_clicks import keep_clicks_after, may_have_clicks_due
    from promomsg.cli.exit_status import WRONG
    from promomsg.clock import SYSTEM_CLOCK, china_day
    from promomsg.engine.campaign import Campaign

    day = china_day(SYSTEM_CLOCK.time())
    clicks_are_due = may_have_clicks_due(opened)
    options_now = resume_options_of(file, opened.record)
    async with open_channel(file) as channel:
        again = Campaign.resume(
            opened.to_go_on(file.durability),
            channel,
            recipients=recipients_again(file),
            message=file.message,
            suppress=suppress,
            after_lost_wal=flags.after_lost_wal,
            provider_is_back=flags.provider_is_back,
            approve=flags.approve,
            **options_now,
            max_recipients=flags.max_recipients,
            **flags.times,
        )
        status = await plan_and_send(again, options, interrupts)
        # What this run sends itself has clicks on the day after it at the earliest.
        if status != WRONG and (clicks_are_due or china_day(SYSTEM_CLOCK.time()) != day):
            await keep_clicks_after(journal, channel, interrupts)
        return status


def _plan_again(journal: Path, overrides: Overrides, flags: ResumeFlags) -> int:
    """Half a plan: nothing was sent, so it is planned again from its campaign file, and sent."""
    from promomsg.journal.locate import half_plan, journal_at, open_reader

    if journal_at(journal).is_being_sent():
        raise JournalError(f"{journal}: another process is planning it; wait for it to end")
    record: CampaignRecord | None = None
    with suppress(JournalError), open_reader(half_plan(journal)) as reader:
        record = reader.record
    campaign = overrides.campaign
    if campaign is None:
        if record is None:
            raise UsageError(
                f"{journal}: its plan was not completed and nothing was sent; "
                "give --campaign FILE to plan it again"
            )
        campaign = file_beside(journal, record)
    print_to_stderr(
        f"{journal}: its plan was not completed and nothing was sent; planning it again"
    )
    planned = {} if record is None else record.settings
    if planned.get("only") is not None:
        raise UsageError(
            f"{journal}: it was to send to some keys alone (--test-to, only), its plan was not completed, and "
            "nothing was sent: give the command that began it again"
        )

    def load(recipients: Path | None) -> CampaignFile:
        return load_campaign(
            campaign,
            recipients=recipients,
            journal=journal,
            base_url=overrides.base_url,
            file_secrets=overrides.file_secrets,
        )

    file = load(overrides.recipients)
    if overrides.recipients is None and record is not None:
        other = _other_list(journal, file, record)
        file = file if other is None else load(other)
    if record is not None:
        compare_hosts(journal, record, file, overrides)
    times = {name: planned[name] for name in TIME_KEYS if planned.get(name) is not None}
    return send_file(
        file,
        SendFlags(
            base_url=overrides.base_url,
            file_secrets=overrides.file_secrets,
            yes=flags.yes,
            as_json=flags.as_json,
            everyone=flags.everyone,
            no_wait=flags.no_wait,
            first=planned.get("first"),
            max_recipients=planned.get("max_recipients"),
            times=times | flags.times,
        ),
    )


def _other_list(journal: Path, file: CampaignFile, record: CampaignRecord) -> Path | None:
    """The list that half a plan was being made from; None: the campaign file's own.

    Raises:
        UsageError: it is not there any more, or was piped in.
    """
    path = record.source.get("path")
    if not isinstance(path, str) or Path(path) == file.recipients:
        return None
    if path != str(STANDARD_INPUT) and Path(path).exists():
        return Path(path)
    why = f"its list is not there any more ({path})"
    if path == str(STANDARD_INPUT):
        why = "its list was piped in"
    raise UsageError(
        f"{journal}: its plan was not completed and nothing was sent; {why}: give the command that began it "
        "again"
    )
