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
    from promomsg.intake.suppression.earlier_journal import EarlierJournal, EarlierJournals
    from promomsg.journal.contract import Journal
    from promomsg.journal.records import CampaignRecord

__all__ = ["left_out_of"]

_TEST: Final = " (test)"
"""How the name of a test's campaign ends: nobody of it counts as sent to."""


def left_out_of(
    file: CampaignFile, *, goes_on: CampaignRecord | None = None, retries: bool = False
) -> Any:
    """What the engine takes as `suppress`.

    Args:
        goes_on: the campaign that is in `file.journal` already, which is then none of the earlier ones.
        retries: whether it is sent to its own failures again.

    Raises:
        JournalError: the journal of the campaign file cannot be read: whom it reached cannot be told.
    """
    given = file.suppress if isinstance(file.suppress, tuple) else (file.suppress,)
    listed = tuple(one for one in given if one is not None)
    if file.failed_in is not None:
        return (*listed, _earlier(file, file.failed_in, listed, goes_on))
    if goes_on is not None and (retries or goes_on.source.get("again_of")):
        others = _others(file, goes_on)
        return (*listed, others) if others.journals else file.suppress
    return file.suppress


def _others(file: CampaignFile, campaign: CampaignRecord) -> EarlierJournals:
    """The campaigns that sent to a report of this one's failures, and those to whose failures this one sent."""
    from promomsg.intake.suppression.earlier_journal import EarlierJournals

    notices: list[str] = []
    found: dict[str, tuple[Journal, CampaignRecord]] = {}
    _add_siblings(found, notices, file, _family(campaign))
    found.pop(_address(file.journal), None)
    return EarlierJournals(_all_of(found), tuple(notices))


def _family(campaign: CampaignRecord) -> set[str]:
    """The `run_id` of a campaign, and of those to whose failures it sent."""
    return {campaign.run_id, *campaign.source.get("again_of", ())}


def _all_of(found: dict[str, tuple[Journal, CampaignRecord]]) -> tuple[EarlierJournal, ...]:
    from promomsg.intake.suppression.earlier_journal import EarlierJournal

    return tuple(EarlierJournal(journal, record.run_id) for journal, record in found.values())


def _earlier(
    file: CampaignFile, report: Path, listed: tuple[Any, ...], goes_on: CampaignRecord | None
) -> EarlierJournals:
    from promomsg.intake.suppression.earlier_journal import EarlierJournals

    notices: list[str] = []
    found: dict[str, tuple[Journal, CampaignRecord]] = {}
    unknown = []
    for place in file.own_journals:
        if goes_on and _same(place, file.journal):
            continue
        if not exists(place):
            unknown.append(f"{place} is not there")
            continue
        journal, record = _opened(place)
        if _is_for(file, record):
            found[_key(journal)] = journal, record
        else:
            unknown.append(f"{place} is of another account, {record.channel} {record.account}")
    for one in listed:
        if _is_journal(one):
            journal, record = _opened(one)
            found.setdefault(_key(journal), (journal, record))
    is_known = bool(found)
    family: set[str] = set().union(*(_family(record) for _, record in found.values()))
    if goes_on is not None:
        family |= _family(goes_on)
    _add_siblings(found, notices, file, family, report)
    if goes_on is not None:
        found.pop(_address(file.journal), None)
    is_known |= any("again_of" not in record.source for _, record in found.values())
    if unknown and not is_known:
        notices.append(
            f"whom its campaign reached since {report.name} was written is not known: {'; '.join(unknown)}. "
            'Where it was retried since, or sent to again, name its journal by suppress = "PATH"'
        )
    return EarlierJournals(_all_of(found), tuple(notices))


def _add_siblings(
    found: dict[str, tuple[Journal, CampaignRecord]],
    notices: list[str],
    file: CampaignFile,
    family: set[str],
    report: Path | None = None,
) -> None:
    """Those of the family: that sent to failures of the same campaign before. Where that campaign, or of which
    one they are, is not known: those that sent to a report of the same path."""
    this = None if report is None else str(report.absolute())
    for journal, record in _beside(file, notices):
        source = record.source
        again_of = source.get("again_of", ())
        is_of_it = record.run_id in family or not family.isdisjoint(again_of)
        sent_this = source.get("kind") == "failures" and source.get("path") == this
        if family and again_of:
            sent_this = False  # to another campaign's, in whose place this one's report was written
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
