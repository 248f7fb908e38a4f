"""Where a command finds a campaign's journal: a file, or a name in the database of `--fleet`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from promomsg.errors import UsageError

if TYPE_CHECKING:
    from promomsg.journal.contract import Journal

__all__ = [
    "FleetPlace",
    "JournalPlace",
    "exists",
    "fleet_name",
    "folder_of",
    "in_database",
    "to_open",
    "words_for",
]

_FLEET = "fleet:"


class FleetPlace(NamedTuple):
    """A campaign in a database that several machines send from; shown as `fleet:NAME`.

    Attributes:
        name: the campaign's, there.
        url: of the database, from `--fleet`; None: `$PROMOMSG_FLEET`.
    """

    name: str
    url: str | None

    def __str__(self) -> str:
        return _FLEET + self.name

    def journal(self) -> Journal:
        """The journal; nothing is opened.

        Raises:
            UsageError: no database is named, or the extra is missing.
        """
        from promomsg.journal.locate import fleet_journal

        if not self.name.strip():
            raise UsageError(f"{self}: the campaign's name is missing; write fleet:NAME")
        return fleet_journal(self.name, self.url)


JournalPlace: TypeAlias = Path | FleetPlace
"""What a command line or a campaign file says of a journal."""


def fleet_name(text: str) -> str | None:
    """The campaign's name of `fleet:NAME`; None: it is a file's path."""
    return text.removeprefix(_FLEET) if text.startswith(_FLEET) else None


def to_open(place: JournalPlace) -> Path | Journal:
    """The same as the engine takes it."""
    return place if isinstance(place, Path) else place.journal()


def in_database(place: JournalPlace) -> FleetPlace | None:
    """The same, when it is in a database."""
    return None if isinstance(place, Path) else place


def exists(place: JournalPlace) -> bool:
    """Whether there is a campaign, or in a file's place anything else."""
    return os.path.lexists(place) if isinstance(place, Path) else place.journal().exists()


def folder_of(place: JournalPlace) -> Path:
    """Where the campaign file of a journal is looked for: beside it, or for one that is in no folder
    where the command runs."""
    return place.resolve().parent if isinstance(place, Path) else Path.cwd()


def words_for(place: JournalPlace) -> tuple[str, ...]:
    """What names it on a command line. No password is in it: libpq's password file may have it."""
    if isinstance(place, Path) or place.url is None:
        return (str(place),)
    from psycopg import conninfo

    parts = conninfo.conninfo_to_dict(place.url)
    if "password" not in parts:
        return (str(place), "--fleet", place.url)
    del parts["password"]
    return (str(place), "--fleet", conninfo.make_conninfo("", **parts))
