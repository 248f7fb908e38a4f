"""Whom a campaign leaves out: its file's suppression list, and, where failures are sent to again, whom the
journals of that campaign have reached since: its own, and those that sent to a report of its failures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from promomsg.cli.campaign.campaign_values import CampaignFile
from promomsg.cli.journal_place import FleetPlace, JournalPlace, exists, to_open
from promomsg.errors import JournalError

if TYPE_CHECKING:
    from promomsg.intake.suppression.earlier_journal import EarlierJournals
    from promomsg.journal.contract import Journal
    from promomsg.journal.records import CampaignRecord

__all__ = ["left_out_of"]

_TEST: Final = " (test)"
"""How the name of a test's campaign ends: nobody of it counts as sent to."""


def left_out_of(
    file: CampaignFile, *, goes_on: bool = False, retries: CampaignRecord | None = None
) -> Any:
    """What the engine takes as `suppress`.

    Args:
        goes_on: the campaign is in `file.journal` already, which is then none of the earlier ones.
        retries: the campaign in it, when it is sent to its own failures again.

    Raises:
        JournalError: the journal of the campaign file cannot be read: whom it reached cannot be told.
    """
    if file.failed_in is None and retries is None:
        return file.suppress
    given = file.suppress if isinstance(file.suppress, tuple) else (file.suppress,)
    listed = tuple(one for one in given if one is not None)
    if file.failed_in is not None:
        return (*listed, _earlier(file, file.failed_in, listed, goes_on))
    assert retries is not None
    since = _later(file, retries.run_id)
    return (*listed, since) if since.journals else file.suppress


def _later(file: CampaignFile, run_id: str) -> EarlierJournals:
    """The campaigns that sent to a report of this one's failures."""
    from promomsg.intake.suppression.earlier_journal import EarlierJournal, EarlierJournals

    notices: list[str] = []
    journals = tuple(
        EarlierJournal(journal, record.run_id)
        for journal, record in _beside(file, notices)
        if run_id in record.source.get("again_of", ()) and not record.name.endswith(_TEST)
    )
    return EarlierJournals(journals, tuple(notices))


def _earlier(
    file: CampaignFile, report: Path, listed: tuple[Any, ...], goes_on: bool
) -> EarlierJournals:
    from promomsg.intake.suppression.earlier_journal import EarlierJournal, EarlierJournals

    notices: list[str] = []
    found: dict[str, tuple[Journal, CampaignRecord]] = {}
    own = [one for one in file.own_journals if not (goes_on and _same(one, file.journal))]
    for place in own:
        if not exists(place):
            continue
        journal, record = _opened(place)
        if _is_for(file, record):
            found[_key(journal)] = journal, record
        else:
            notices.append(f"{place} is of another account, {record.channel} {record.account}")
    for one in listed:
        if _is_journal(one):
            journal, record = _opened(one)
            found.setdefault(_key(journal), (journal, record))
    if own and not found:
        notices.append(
            f"whom its campaign reached since {report.name} was written is not known: "
            f"{' and '.join(map(str, own))} is not there. Where it was retried since, or "
            'sent to again, name its journal by suppress = "PATH"'
        )
    _add_siblings(found, notices, file, report)
    if goes_on:
        found.pop(_address(file.journal), None)
    journals = tuple(EarlierJournal(journal, record.run_id) for journal, record in found.values())
    return EarlierJournals(journals, tuple(notices))


def _add_siblings(
    found: dict[str, tuple[Journal, CampaignRecord]],
    notices: list[str],
    file: CampaignFile,
    report: Path,
) -> None:
    """Those that sent to failures of the same campaign before, and to this very report's."""
    family = {record.run_id for _, record in found.values()}
    family |= {of for _, record in found.values() for of in record.source.get("again_of", ())}
    this = str(report.absolute())
    for journal, record in _beside(file, notices):
        is_of_it = record.run_id in family or not family.isdisjoint(
            record.source.get("again_of", ())
        )
        sent_this = record.source.get("kind") == "failures" and record.source.get("path") == this
        if (is_of_it or sent_this) and not record.name.endswith(_TEST):
            found.setdefault(_key(journal), (journal, record))


def _opened(place: Any) -> tuple[Journal, CampaignRecord]:
    from promomsg.engine.opened_journal import open_journal
    from promomsg.journal.locate import journal_at

    journal = journal_at(to_open(place) if isinstance(place, (Path, FleetPlace)) else place)
    with open_journal(journal) as opened:
        return journal, opened.record


def _key(journal: Journal) -> str:
    """One for each journal, however its place is written."""
    return journal.address or "" if journal.path is None else os.path.realpath(journal.path)


def _is_for(file: CampaignFile, record: CampaignRecord) -> bool:
    return (record.channel, record.account) == (file.channel, file.account_id)


def _is_journal(given: Any) -> bool:
    """Whether something in a suppression list is the journal of a campaign, all of it."""
    from promomsg.engine.suppress_argument import is_journal
    from promomsg.journal.locate import is_journal_file

    return is_journal_file(given) if isinstance(given, Path) else is_journal(given)


def _same(one: JournalPlace, other: JournalPlace) -> bool:
    return _address(one) == _address(other)


def _address(place: JournalPlace) -> str:
    return os.path.realpath(place) if isinstance(place, Path) else str(place)


def _beside(file: CampaignFile, notices: list[str]) -> Iterator[tuple[Journal, CampaignRecord]]:
    """The campaigns in the folders, and in the database, where this one has its journals."""
    from promomsg.journal.locate import fleet_url, journal_paths

    places = (*file.own_journals, file.journal)
    folders = {Path(_address(place)).parent for place in places if isinstance(place, Path)}
    for folder in sorted(folders):
        for path in journal_paths(folder) if folder.is_dir() else ():
            try:
                found = _opened(path)
            except JournalError as error:
                notices.append(f"whom {path} reached is not known: {error}")
                continue
            yield found
    fleet = next((place for place in places if isinstance(place, FleetPlace)), None)
    if fleet is not None:
        from promomsg.journal.postgres.overview import overview

        url = fleet_url(fleet.url, str(fleet))
        for name, record in overview(
            url, lambda one, view: (one.name, view.record if one.planned_at else None)
        ):
            if record is not None:
                yield FleetPlace(name, fleet.url).journal(), record
