"""From a path, or from `fleet:NAME`, to a journal: the only place outside of the kinds themselves that
names one. Each kind is loaded when the first journal of it is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from promomsg.errors import UsageError
from promomsg.journal.contract import FLEET, CampaignView, Journal
from promomsg.journal.records import Durability
from promomsg.journal.sqlite.crash_safety.side_files import ALL_ENDINGS, PLANNING
from promomsg.sqlite_header import HEADER_SIZE, application_id

if TYPE_CHECKING:
    from promomsg.journal.sqlite.readers.journal_reader import JournalReader

__all__ = [
    "ALL_ENDINGS",
    "Durability",
    "existing_journal",
    "fleet_journal",
    "fleet_url",
    "half_plan",
    "half_plans",
    "is_in_fleet",
    "is_journal_file",
    "journal_at",
    "journal_behind",
    "journal_of",
    "journal_paths",
    "open_reader",
    "remove_from_fleet",
    "remove_half_plan",
    "temporary_journal",
]

_FLEET_URL: Final = "PROMOMSG_FLEET"
"""The environment variable with the database's URL."""


def journal_at(
    path: str | os.PathLike[str] | Journal, *, durability: Durability = "power"
) -> Journal:
    """The journal at a path, or of a name in the fleet's database (`"fleet:autumn"`), whether it is
    there already or not; nothing is opened. (A file of such a name is `"./fleet:autumn"`.) A journal is
    itself.

    Raises:
        UsageError: it is no path, `durability` is neither `"power"` nor `"process"`, or of a fleet
            the extra or the database's URL is missing.
    """
    if isinstance(path, str) and is_in_fleet(path):
        return fleet_journal(path.removeprefix(FLEET))
    if isinstance(path, (str, os.PathLike)) or not _is_journal(path):
        from promomsg.journal.sqlite.journal import SqliteJournal

        return SqliteJournal(path, durability=durability)  # type: ignore[arg-type]
    return path


def is_in_fleet(address: str) -> bool:
    """Whether it names a campaign in the fleet's database: `"fleet:autumn"`."""
    return address.startswith(FLEET)


def fleet_url(url: str | None, what: str) -> str:
    """The URL of the fleet's database; None: that of the environment.

    Args:
        what: what it is needed for, for the message.

    Raises:
        UsageError: none is given, or the extra is missing.
    """
    try:
        # It needs psycopg.
        import promomsg.journal.postgres.journal  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{what}: a fleet's journal is on PostgreSQL: pip install 'promomsg[fleet]'"
        ) from None
    url = url or os.environ.get(_FLEET_URL)
    if not url:
        raise UsageError(
            f"{what}: which database? set {_FLEET_URL} to its URL (postgresql://host/database)"
        )
    return url


def fleet_journal(name: str, url: str | None = None) -> Journal:
    """A campaign of the fleet's database, by its name there; nothing is opened.

    Args:
        url: of the database; None: `$PROMOMSG_FLEET`.

    Raises:
        UsageError: as `journal_at`.
    """
    url = fleet_url(url, f"journal {FLEET + name!r}")
    from promomsg.journal.postgres.journal import PostgresJournal

    return PostgresJournal(url, name)


async def remove_from_fleet(journal: Journal, last_before: float | None) -> bool | None:
    """Removes a campaign from a fleet's database, unless it is not over, a sender is at work on it, or something
    happened in it since `last_before` (Unix seconds); whether it did. None: it is in no database."""
    if journal.address is None or not is_in_fleet(journal.address):
        return None
    from promomsg.journal.postgres.journal import PostgresJournal

    return (
        await journal.remove_if_ended(last_before) if isinstance(journal, PostgresJournal) else None
    )


def _is_journal(value: object) -> bool:
    return not isinstance(value, type) and hasattr(value, "rows_later")


def journal_behind(
    journal: Journal, view: CampaignView, *, durability: Durability = "power"
) -> Journal:
    """The journal that a view is of: its next `open` takes the view over and closes it."""
    from promomsg.journal.sqlite.crash_safety.file_view import FileView
    from promomsg.journal.sqlite.journal import SqliteJournal

    if isinstance(view, FileView):
        return SqliteJournal.behind(view, durability=durability)
    view.close()
    return journal


def temporary_journal(*, durability: Durability = "power") -> Journal:
    """A private journal in the system's folder for temporary files; see `Journal.discard`."""
    from promomsg.journal.sqlite.journal import SqliteJournal

    return SqliteJournal.temporary(durability=durability)


def journal_of(journal: str | os.PathLike[str] | Journal | None, durability: Durability) -> Journal:
    """The journal that a caller means: the one given, the one at a path, or (None) a temporary one.

    Raises:
        UsageError: it is none.
    """
    if journal is None:
        return temporary_journal(durability=durability)
    if isinstance(journal, os.PathLike) or (journal and isinstance(journal, str)):
        return journal_at(journal, durability=durability)
    if isinstance(journal, str) or not _is_journal(journal):
        raise UsageError(
            f"journal={journal!r}: give a file's path or a promomsg.SqliteJournal(path); without "
            "a journal a new campaign has a temporary one"
        )
    return journal


def existing_journal(
    journal: str | os.PathLike[str] | Journal | None, durability: Durability = "power"
) -> Journal:
    """As `journal_of`, for a campaign that there is already: its journal has to be named.

    Raises:
        UsageError: it is None, or no journal.
    """
    if journal is None:
        raise UsageError("journal=None: give the journal of the campaign")
    return journal_of(journal, durability)


def open_reader(path: str | os.PathLike[str]) -> JournalReader:
    """Opens the journal at a path for reading; a sender is never in its way.

    Raises:
        JournalError: there is none, it is another version's, or it cannot be read.
    """
    from promomsg.journal.sqlite.readers.journal_reader import JournalReader

    return JournalReader(path)


def journal_paths(folder: str | os.PathLike[str]) -> list[Path]:
    """The journals of a folder, by name, told by the first bytes of each file; nothing is opened as one.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for path in sorted(Path(folder).iterdir()):
        if path.name.endswith(ALL_ENDINGS) or not path.is_file():
            continue
        if is_journal_file(path):
            found.append(path)
    return found


def is_journal_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a journal, by its first bytes; one that cannot be read is none."""
    from promomsg.journal.sqlite.schema import APPLICATION_ID

    try:
        with open(path, "rb") as file:
            return application_id(file.read(HEADER_SIZE)) == APPLICATION_ID
    except OSError:
        return False


def half_plan(path: str | os.PathLike[str]) -> str:
    """Where the plan of this journal is while it is being made."""
    return os.path.realpath(path) + PLANNING


def half_plans(folder: str | os.PathLike[str]) -> list[Path]:
    """The journals of a folder whose plan is being made, or was never completed, by name.

    Raises:
        OSError: the folder cannot be read.
    """
    plans = [path for path in sorted(Path(folder).iterdir()) if path.name.endswith(PLANNING)]
    journals = [plan.with_name(plan.name.removesuffix(PLANNING)) for plan in plans]
    return [
        journal
        for journal, plan in zip(journals, plans, strict=True)
        if is_journal_file(plan) and not journal.exists()
    ]


def remove_half_plan(journal: str | os.PathLike[str]) -> None:
    """Removes what there is of a plan that was never completed.

    Raises:
        JournalError: somebody makes it just now, or it cannot be removed.
    """
    from promomsg.journal.sqlite import half_plan

    half_plan.remove_half_plan(journal)
