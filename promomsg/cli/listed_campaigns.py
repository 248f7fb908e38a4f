"""The campaigns that `list` and `purge` are about: those of a folder, or of a fleet's database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promomsg.errors import UsageError
from promomsg.housekeeping.campaign_files import ListedCampaign, campaign_files, listed
from promomsg.journal.locate import existing_journal, fleet_journal

if TYPE_CHECKING:
    from promomsg.fleet.fleet_campaign import SeenCampaign
    from promomsg.journal.contract import Journal

__all__ = ["CampaignSource", "source_options"]


def source_options(command: Any) -> Any:
    """The argument and the option that say which campaigns are meant; see `CampaignSource`."""
    fleet = click.option(
        "--fleet",
        metavar="[URL]",
        is_flag=False,
        flag_value="",
        help="Those of this PostgreSQL database instead; without URL of $PROMOMSG_FLEET.",
    )
    folder = click.argument("folder", type=click.Path(path_type=Path), required=False)
    return folder(fleet(command))


class CampaignSource:
    """Where campaigns are listed: a folder, or a fleet's database.

    Args:
        folder: None: this one, unless there is a fleet.
        fleet: the URL of its database; empty: `$PROMOMSG_FLEET`; None: no fleet is meant.

    Attributes:
        place: it, for people: without user and password.
        is_fleet: whether it is a database.

    Raises:
        UsageError: both are given, or the URL is missing.
    """

    def __init__(self, folder: Path | None, fleet: str | None) -> None:
        if folder is not None and fleet is not None:
            raise UsageError(f"{folder} and --fleet: give a folder or a database, not both")
        self._folder = folder or Path()
        self._url: str | None = None
        self.place = str(self._folder)
        if fleet is not None:
            from promomsg.fleet.fleet import Fleet
            from promomsg.journal.locate import fleet_url

            self._url = fleet_url(fleet or None, "--fleet")
            self.place = Fleet(self._url).place
        self.is_fleet = fleet is not None

    def campaigns(self) -> list[ListedCampaign]:
        """All of them; none is changed, and no sender is in the way."""
        if self._url is None:
            return list(campaign_files(self._folder))
        from promomsg.fleet.fleet_campaign import all_campaigns

        return [_of_fleet(seen, size) for seen, size in all_campaigns(self._url)]

    def journal(self, one: ListedCampaign) -> Journal:
        """The journal of one of them; nothing is opened."""
        if self._url is None:
            return existing_journal(Path(one.address))
        return fleet_journal(one.name, self._url)


def _of_fleet(seen: SeenCampaign, size: int) -> ListedCampaign:
    campaign, record = seen.campaign, seen.record
    address = f"fleet:{campaign.name}"
    if campaign.report is None or record is None:
        return ListedCampaign(address=address, name=campaign.name, size=size, state=campaign.state)
    return listed(
        address, campaign.name, size, campaign.report, record, campaign.state, campaign.trouble
    )
