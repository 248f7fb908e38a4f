"""The campaign file that a journal is resumed with. A journal is data, not authority.

It may come from somebody else. So where to send, and with which secret, is taken from the campaign
file; what the journal remembers of that is only compared with it. A campaign file that a journal
names is used only when it lies beside the journal, or for a journal in a database in the folder that
the command runs in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from promomsg.cli.campaign.campaign_file import load_campaign
from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.cli.journal_place import JournalPlace, folder_of, words_for
from promomsg.cli.output.printing import command_line, print_to_stderr
from promomsg.errors import UsageError
from promomsg.journal.records import CampaignRecord
from promomsg.url_origins import on_this_machine, origin

__all__ = ["Overrides", "campaign_of", "file_beside", "lies_beside"]


class Overrides(NamedTuple):
    """What the command line names instead of what the journal remembers.

    Attributes:
        campaign, recipients: files; None: as the journal says.
        base_url: where to send; None: as the campaign file says.
        file_secrets: `--allow-file-secrets`.
    """

    campaign: Path | None = None
    recipients: Path | None = None
    base_url: str | None = None
    file_secrets: bool = False

    def as_arguments(self) -> Iterator[str]:
        """The same as options of a command line."""
        for name, value in (
            ("--campaign", self.campaign),
            ("--recipients", self.recipients),
            ("--base-url", self.base_url),
        ):
            if value is not None:
                yield name
                yield str(value)
        if self.file_secrets:
            yield "--allow-file-secrets"

    def resume_command(self, journal: JournalPlace, *, everyone: bool) -> str:
        """The command that goes on with a journal, with the same options."""
        more = ("--everyone",) if everyone else ()
        return command_line("resume", *words_for(journal), *self.as_arguments(), *more)


def campaign_of(
    journal: JournalPlace, record: CampaignRecord, overrides: Overrides
) -> CampaignFile:
    """The campaign file of a journal: the one given, else the one that lies beside it.

    Args:
        record: the journal's.

    Raises:
        UsageError: there is none, it cannot be read, or it sends to another host than the journal
            was started with.
    """
    campaign = overrides.campaign or file_beside(journal, record)

    def load(recipients: Path | None) -> CampaignFile:
        return load_campaign(
            campaign,
            recipients=recipients,
            journal=journal,
            base_url=overrides.base_url,
            file_secrets=overrides.file_secrets,
        )

    file = load(overrides.recipients)
    compare_hosts(journal, record, file, overrides)
    source = record.source.get("path")
    if overrides.recipients is not None or not isinstance(source, str):
        return file
    # The list that was planned from, also when it was given by --recipients then.
    planned_list = Path(source)
    if planned_list == file.recipients or not planned_list.exists():
        return file
    again = load(planned_list)
    if file.recipients is not None and again.failed_in is None:
        print_to_stderr(
            f"the recipients are read from {planned_list}, which the campaign was planned from "
            f"(the campaign file names {file.recipients})"
        )
    return again


def file_beside(journal: JournalPlace, record: CampaignRecord) -> Path:
    """The campaign file that a journal names, where it lies beside it; of one in a database, where it
    lies in the folder that the command runs in.

    Raises:
        UsageError: it names none, or none that lies there.
    """
    if record.campaign_file is None:
        raise UsageError(f"{journal} was not started from a campaign file: give --campaign FILE")
    beside = folder_of(journal) / Path(record.campaign_file).name
    if beside.exists():
        return beside
    in_folder = isinstance(journal, Path)
    not_there = "does not lie beside it" if in_folder else "does not lie in this folder"
    raise UsageError(
        f"{journal} names {record.campaign_file}, which {not_there}: if that is the "
        f"campaign file, give --campaign {record.campaign_file}"
    )


def lies_beside(campaign: Path, journal: JournalPlace) -> bool:
    """Whether a journal finds this campaign file by itself."""
    return campaign.resolve().parent == folder_of(journal)


def compare_hosts(
    journal: JournalPlace, record: CampaignRecord, file: CampaignFile, overrides: Overrides
) -> None:
    """Prints a note when the campaign goes on at another host than it was started at.

    Raises:
        UsageError: `--base-url` did not confirm the new host; between ports of this machine it
            need not.
    """
    planned_at, now = origin(record.base_url), origin(file.account.base_url)
    if planned_at == now:
        return
    if overrides.base_url is None and not (
        on_this_machine(record.base_url) and on_this_machine(file.account.base_url)
    ):
        raise UsageError(
            f"{journal} was started at {planned_at or 'an unknown host'}, and {file.path.name} sends to "
            f"{now}: nothing was sent. Give --base-url with the one that is meant"
        )
    print_to_stderr(
        f"{journal} was started at {planned_at or 'an unknown host'}; it goes on at {now}"
    )
