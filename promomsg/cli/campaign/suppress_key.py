"""`[campaign] suppress`: a list, a journal, a journal with an age, or several of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from promomsg.cli.campaign.table_reader import TableReader
from promomsg.cli.journal_place import FleetPlace, fleet_name

if TYPE_CHECKING:
    from promomsg.cli.campaign.campaign_values import Suppressed

__all__ = ["read_suppress"]


def read_suppress(
    campaign: TableReader, folder: Path, fleet: str | None
) -> Suppressed | tuple[Suppressed, ...] | None:
    """What the file leaves out; None when it says nothing of that.

    Args:
        folder: of the campaign file.
        fleet: the database's URL of `--fleet`, for campaigns there (`fleet:NAME`).
    """
    found, given = campaign.paths("suppress", folder), campaign.table.get("suppress")
    if found is None or given is None:
        return None
    if not isinstance(found, tuple):
        return _entry(found, given, fleet)
    return tuple(_entry(path, text, fleet) for path, text in zip(found, given, strict=True))


def _entry(path: Path, text: str, fleet: str | None) -> Suppressed:
    # Loaded where there is such a key.
    from promomsg.intake.suppression.journal_since import JournalSince, journal_since, split_age

    name = fleet_name(text)
    if name is None:
        return journal_since(str(path)) or path
    aged = split_age(name)
    if aged is None:
        return FleetPlace(name, fleet).journal()
    return JournalSince(FleetPlace(aged[0], fleet).journal(), aged[1], text)
