"""Sending a campaign file: what `send` does once its arguments are read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, exists, in_database, to_open, words_for
from promomsg.cli.journal_state import being_sent_by, report_of
from promomsg.cli.output.printing import command_line
from promomsg.errors import JournalError, UsageError

__all__ = ["SendFlags", "campaign_for", "journal_for", "send_file"]


class SendFlags(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `send` and `plan`, beside those that the campaign file is read with."""

    base_url: str | None = None
    file_secrets: bool = False
    yes: bool = False
    as_json: bool = False
    max_recipients: int | None = None
    everyone: bool = False
    no_wait: bool = False
    first: int | str | None = None
    times: dict[str, Any] = msgspec.field(default_factory=dict)
    test_to: tuple[str, ...] = ()


def send_file(file: CampaignFile, flags: SendFlags) -> int:
    """Plans a campaign file, asks, and sends it; returns the exit status.

    Raises:
        UsageError: there is no terminal to ask on and no `--yes`; or as planning does.
        JournalError: its journal holds a campaign already.
    """
    from promomsg.cli.drive_campaign import require_terminal

    require_terminal(flags.yes)
    return run_async(lambda interrupts: _send(file, flags, interrupts))


async def _send(file: CampaignFile, flags: SendFlags, interrupts: Interrupts) -> int:
    from promomsg.cli.campaign.campaign_of_journal import Overrides, lies_beside
    from promomsg.cli.campaign.to_engine import open_channel
    from promomsg.cli.drive_campaign import SendOptions, plan_and_send

    journal = journal_for(file, flags.test_to)
    _refuse_used(journal)
    overrides = Overrides(
        campaign=None if lies_beside(file.path, journal) else file.path,
        base_url=flags.base_url,
        file_secrets=flags.file_secrets,
    )
    options = SendOptions(
        on_end=file.on_end,
        yes=flags.yes,
        as_json=flags.as_json,
        resume_with=overrides.resume_command(journal, everyone=flags.everyone),
        submit=flags.no_wait,
        notices=file.notices,
        place=in_database(journal),
    )
    async with open_channel(file) as channel:
        campaign = campaign_for(file, flags, channel, journal)
        return await plan_and_send(campaign, options, interrupts)


def campaign_for(
    file: CampaignFile, flags: SendFlags, channel: Any, journal: JournalPlace | None
) -> Any:
    """The campaign that a file and the command line ask for; without a journal, to plan only."""
    from promomsg.cli.campaign.earlier_journals import left_out_of
    from promomsg.cli.campaign.first_section import FIRST_KEYS
    from promomsg.cli.campaign.time_section import TIME_KEYS
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
    if flags.first is not None:
        options["first"] = flags.first
    if flags.test_to:
        options["only"] = flags.test_to
        # A test is looked at as a whole, by who asked for it, now, and as often as it takes.
        for name in (*FIRST_KEYS, *TIME_KEYS, "max_per_person"):
            options.pop(name, None)
    options |= flags.times
    return Campaign(
        channel,
        file.message,
        recipients_of(file, everyone=flags.everyone),
        name=f"{file.name} (test)" if flags.test_to else file.name,
        journal=None if journal is None else to_open(journal),
        suppress=left_out_of(file),
        campaign_file=str(file.path),
        **options,
    )


def journal_for(file: CampaignFile, test_to: Sequence[str]) -> JournalPlace:
    """The file's own journal; a test has one of its own beside it, under the time of day."""
    if not test_to:
        return file.journal
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    journal = file.journal
    if not isinstance(journal, Path):
        return journal._replace(name=f"{journal.name}-test-{stamp}")
    return journal.with_name(f"{journal.stem}-test-{stamp}.db")


def _refuse_used(journal: JournalPlace) -> None:
    """Raises UsageError or JournalError when the journal's name is taken."""
    if not exists(journal):
        return
    words = words_for(journal)
    another = "--journal" if isinstance(journal, Path) else "name by --journal fleet:NAME"
    if isinstance(journal, Path) and journal.is_dir():
        raise UsageError(f"the journal {journal} is a folder; give a file's name in it")
    from promomsg.journal.locate import journal_at

    try:
        state = report_of(journal).state
    except JournalError:
        raise JournalError(
            f"{journal} is there already and is not a journal; give another --journal"
        ) from None
    if journal_at(to_open(journal)).is_being_sent():
        raise JournalError(
            f"{journal} already holds this campaign, and {being_sent_by(journal, state)}; watch it with "
            f"`{command_line('status', *words, '--watch')}`, or give another {another}"
        )
    raise JournalError(
        f"{journal} already holds a campaign: go on with it by "
        f"`{command_line('resume', *words)}`, send again to the failed ones by "
        f"`{command_line('retry', *words, '--failed')}`, or give another {another}"
    )
