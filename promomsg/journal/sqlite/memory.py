"""The SQLite journal in this process's memory: the same schema and statements, and no file.

SQLite's `memdb` keeps a database of a name for as long as somebody has it open. What belongs to a
file only (the lock, the `-wal`, the commit mark and the open flag) is not here.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Final, NoReturn

from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import JournalError, UsageError
from promomsg.journal.people.asked_people import asked_people, may_be_a_number
from promomsg.journal.people.people_contract import PeoplePage, Person, SinglesOfDay
from promomsg.journal.records import (
    NEVER,
    CampaignRecord,
    Control,
    Counts,
    FirstFew,
    Reached,
    Standing,
)
from promomsg.journal.sqlite.access import ReadAccess, WriteAccess
from promomsg.journal.sqlite.connect import MEMORY, connect_memory, explain
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.journal.sqlite.people.one_person import one_person, sample_values, singles_of
from promomsg.journal.sqlite.people.people_pages import people_page
from promomsg.journal.sqlite.readers.reader import Reader
from promomsg.journal.sqlite.schema import schema_text
from promomsg.journal.sqlite.statements import reading as read
from promomsg.journal.sqlite.statements.campaign_row import (
    first_few,
    save_record,
    sent_days_seen,
    set_control,
)
from promomsg.journal.sqlite.statements.reading import RECIPIENTS
from promomsg.journal.sqlite.writer import Writer
from promomsg.model import State

__all__ = ["MemoryJournal", "MemoryRows", "MemoryView"]

_NEEDED: Final = (3, 36, 0)


class MemoryRows(Reader):
    """See `promomsg.journal.contract.Rows`: its connection keeps the journal until it is closed."""

    def keep(self) -> None:
        """Nothing is to be done: it has all of it."""


class MemoryView(Reader):
    """See `promomsg.journal.contract.CampaignView`."""

    def __init__(self, db: sqlite3.Connection, is_being_sent: Callable[[], bool]) -> None:
        super().__init__(MEMORY, db)
        self._is_being_sent = is_being_sent

    def first_few(self, cohorts: Sequence[int]) -> tuple[FirstFew | None, dict[int, Counts]]:
        """See `CampaignView.first_few`."""
        return self.read(partial(first_few, cohorts=cohorts))

    def sent_days(self) -> list[str]:
        """See `CampaignView.sent_days`."""
        return self.read(sent_days_seen)

    def standing(self) -> Standing:
        """Where it stands at this moment."""
        return Standing(self.counts(), self.groups(), self._is_being_sent())

    def failure_file(self, group_no: int) -> bytes | None:
        """None: a journal in memory keeps none."""
        return None

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
        return people_page(self, asked, RECIPIENTS)

    def person(self, seq: int) -> Person | None:
        """See `PeopleView.person`."""
        if not may_be_a_number(seq):
            return None
        return self.read(partial(one_person, seq=seq, source=RECIPIENTS))

    def singles_of(self, day: str) -> SinglesOfDay:
        """See `PeopleView.singles_of`."""
        return self.read(partial(singles_of, day=day))

    def sample_values(self) -> tuple[str, ...] | None:
        """See `PeopleView.sample_values`."""
        return self.read(sample_values)


class MemoryJournal:
    """A journal that ends with its process. It keeps one campaign, like a file, of 1 GB at the most.

    Raises:
        UsageError: this Python's SQLite is older than 3.36.

    Args:
        clock: by which its leases are held.
    """

    path: str | None = None

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        if sqlite3.sqlite_version_info < _NEEDED:
            raise UsageError(
                "a journal in memory needs SQLite 3.36 or later, and this Python has "
                f"{sqlite3.sqlite_version}; give a file's path as the journal"
            )
        self._database = ""
        self._held: Reader | None = None
        """A connection that keeps the database while nobody else has it open."""
        self._sealed = False
        self._has_sender = False

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a journal in memory stays in its process; give a file's path as the journal"
        )

    def _refuse_second_sender(self) -> None:
        if self._has_sender:
            raise JournalError(f"{MEMORY}: a sender has it open already; wait for it to end")

    def _connect(self) -> sqlite3.Connection:
        """Another connection to the complete plan."""
        if not self._sealed:
            raise JournalError(f"{MEMORY}: there is no campaign in it")
        return connect_memory(self._database)

    async def create(self, record: CampaignRecord) -> SqliteHandle:
        """See `Journal.create`."""
        self._refuse_second_sender()
        if self._held is not None:
            raise JournalError(f"{MEMORY}: it has a campaign already; resume it, or take a new one")
        self._database = f"promomsg-{secrets.token_hex(8)}"
        self._held = Reader(MEMORY, connect_memory(self._database))
        db = connect_memory(self._database)
        try:
            db.executescript(schema_text())
            save_record(db, record)
        except sqlite3.Error as error:
            db.close()
            self.discard()
            raise explain(error, MEMORY) from None
        return SqliteHandle(
            record,
            self._write_access(Writer(MEMORY, db)),
            path=None,
            seal=self._seal,
            clock=self._clock,
        )

    def _seal(self, db: sqlite3.Connection, record: CampaignRecord) -> None:
        self._sealed = True

    def _write_access(self, writer: Writer) -> WriteAccess:
        self._has_sender = True
        return WriteAccess(MEMORY, writer, release=self._release)

    def _release(self) -> None:
        self._has_sender = False
        if not self._sealed:
            self.discard()  # half a plan

    async def open(self, *, write: bool = False, after_lost_wal: bool = False) -> SqliteHandle:
        """See `Journal.open`."""
        if not write:
            reader = Reader(MEMORY, self._connect())
            record = await asyncio.to_thread(lambda: reader.record)
            return SqliteHandle(record, ReadAccess(reader), path=None)
        self._refuse_second_sender()
        db = self._connect()
        try:
            record = read.record(db)
            writer = Writer(MEMORY, db, read.today(db))
            writer.counts = read.kept_counts(db)
        except sqlite3.Error as error:
            db.close()
            raise explain(error, MEMORY) from None
        return SqliteHandle(record, self._write_access(writer), path=None, clock=self._clock)

    def reader(self) -> MemoryView:
        """See `Journal.reader`."""
        return MemoryView(self._connect(), self.is_being_sent)

    @property
    def address(self) -> None:
        """See `Journal.address`: nothing else finds it."""

    def exists(self) -> bool:
        """See `Journal.exists`."""
        return self._sealed

    def is_being_sent(self) -> bool:
        """See `Journal.is_being_sent`."""
        return self._has_sender

    def senders(self) -> list[str]:
        """See `Journal.senders`."""
        return []

    async def request(self, control: Control) -> None:
        """See `Journal.request`."""
        await asyncio.to_thread(self._request, control)

    def _request(self, control: Control) -> None:
        db = self._connect()
        try:
            set_control(db, control)
        except sqlite3.Error as error:
            raise explain(error, MEMORY) from None
        finally:
            db.close()

    def reached(self, since: float = NEVER, *, pending: bool = False) -> Iterator[list[Reached]]:
        """See `Journal.reached`."""
        with Reader(MEMORY, self._connect()) as reader:
            yield from reader.reached(since, pending=pending)

    def rows_later(self) -> MemoryRows:
        """See `Journal.rows_later`."""
        return MemoryRows(MEMORY, self._connect())

    def token_store(self, channel: str, origin: str, account: str) -> None:
        """See `Journal.token_store`."""

    def quota_store(self, channel: str, origin: str, account: str) -> None:
        """See `Journal.quota_store`: the machine's own."""

    def discard(self) -> None:
        """Forgets the campaign; whoever has it open keeps it."""
        held, self._held, self._sealed = self._held, None, False
        if held is not None:
            held.close()
