"""A campaign's file to look at, while it is sent, after, and after its sender died."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.people.asked_people import asked_people, may_be_a_number
from promomsg.journal.people.people_contract import PeoplePage, Person, SinglesOfDay
from promomsg.journal.records import CampaignRecord, ClickDay, Control, Counts, FirstFew, Standing
from promomsg.journal.sqlite.crash_safety.in_doubt import left_intended, source_of
from promomsg.journal.sqlite.crash_safety.side_files import failure_file
from promomsg.journal.sqlite.lock import is_locked
from promomsg.journal.sqlite.people.one_person import one_person, sample_values, singles_of
from promomsg.journal.sqlite.people.people_pages import people_page
from promomsg.journal.sqlite.readers.journal_reader import JournalReader
from promomsg.journal.sqlite.statements.campaign_row import first_few, sent_days_seen
from promomsg.journal.sqlite.statements.reading import RECIPIENTS
from promomsg.model import Outcome, State
from promomsg.private_files import open_private
from promomsg.timeline import Timeline

__all__ = ["FileView"]


class FileView:
    """See `promomsg.journal.contract.CampaignView`.

    Args:
        reader: closed with it.
    """

    def __init__(self, reader: JournalReader) -> None:
        self.reader = reader

    @property
    def record(self) -> CampaignRecord:
        return self.reader.record

    def control(self) -> Control:
        return self.reader.control()

    def parked_until(self) -> float | None:
        return self.reader.parked_until()

    def first_few(self, cohorts: Sequence[int]) -> tuple[FirstFew | None, dict[int, Counts]]:
        return self.reader.read(partial(first_few, cohorts=cohorts))

    def standing(self) -> Standing:
        """See `CampaignView.standing`."""
        reader = self.reader
        while True:
            running = is_locked(reader.path)
            _, seen = reader.position()
            left = None if running else left_intended(reader)
            kept, groups = reader.running_counts(), reader.groups()
            if left is None:
                return Standing(kept.totals(), groups, running, warnings=self._doubts(running))
            if not is_locked(reader.path) and reader.position()[1] == seen:
                return Standing(
                    left.counts(kept).totals(),
                    left.groups(groups),
                    running,
                    left.in_doubt,
                    left.idempotent,
                    self._doubts(running),
                )
            # A sender began between the looks.

    def _doubts(self, running: bool) -> tuple[str, ...]:
        doubts = [] if running else self.reader.warnings()
        if doubts and is_locked(self.reader.path):
            return ()  # a sender began between the looks
        return tuple(doubts)

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """See `CampaignView.rows`."""
        return self.reader.rows(states, source_of(self.reader))

    def timeline(self, most: int) -> Timeline:
        """See `CampaignView.timeline`."""
        return self.reader.timeline(most, source_of(self.reader))

    def elapsed(self) -> float:
        return self.reader.elapsed()

    def failure_file(self, group_no: int) -> bytes | None:
        """The file that stands beside the journal; None: there is none."""
        path = failure_file(self.reader.path, group_no)
        try:
            with open(open_private(path, os.O_RDONLY), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{path}: it cannot be read: {error.strerror}") from None

    def sent_days(self) -> list[str]:
        """See `CampaignView.sent_days`."""
        return self.reader.read(sent_days_seen)

    def clicks(self) -> list[ClickDay]:
        """See `CampaignView.clicks`."""
        return self.reader.clicks()

    def people(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int,
        states: Collection[State] | None = None,
        code: str | None = None,
        search: str | None = None,
    ) -> PeoplePage:
        """See `PeopleView.people`."""
        asked = asked_people(
            after=after, before=before, limit=limit, states=states, code=code, search=search
        )
        return people_page(self.reader, asked, source_of(self.reader))

    def person(self, seq: int) -> Person | None:
        """See `PeopleView.person`."""
        if not may_be_a_number(seq):
            return None
        left = left_intended(self.reader)
        source = RECIPIENTS if left is None else left.source()
        found = self.reader.read(partial(one_person, seq=seq, source=source))
        if found is None or left is None or found.group is None:
            return found
        [group] = left.groups([found.group])
        return msgspec.structs.replace(found, group=group)

    def singles_of(self, day: str) -> SinglesOfDay:
        """See `PeopleView.singles_of`."""
        return self.reader.read(partial(singles_of, day=day))

    def sample_values(self) -> tuple[str, ...] | None:
        """See `PeopleView.sample_values`."""
        return self.reader.read(sample_values)

    def close(self) -> None:
        self.reader.close()
