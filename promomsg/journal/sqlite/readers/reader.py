"""What a SQLite journal holds, read by plain calls through one connection: nothing in it is believed
before it was looked at."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, Self, TypeVar

import msgspec

from promomsg.errors import JournalError
from promomsg.journal.counts import RunningCounts
from promomsg.journal.records import (
    NEVER,
    CampaignRecord,
    ClickDay,
    Control,
    Counts,
    GroupRow,
    Reached,
)
from promomsg.journal.sqlite.connect import explain
from promomsg.journal.sqlite.statements import reading as read
from promomsg.journal.sqlite.statements.campaign_row import clicks as kept_clicks
from promomsg.journal.sqlite.statements.campaign_row import control_row, requested_control
from promomsg.journal.sqlite.statements.reading import RECIPIENTS, RowSource
from promomsg.journal.sqlite.statements.suppression import reached_page
from promomsg.model import Outcome, State
from promomsg.timeline import Timeline

__all__ = ["DAMAGED", "NOT_OURS", "Reader"]

T = TypeVar("T")

DAMAGED: Final = (
    "it is damaged (it has values that promomsg does not write); put back a copy that is whole"
)
NOT_OURS: Final = (TypeError, ValueError, KeyError, IndexError, OverflowError, RecursionError)
"""What our own code makes of values that it did not write."""


class Reader:
    """What a journal holds, through one connection, without an event loop; any thread may use it.

    It sees what is committed, while a sender runs and after. Each call, and each page of an
    iteration, is one short read, so a sender is never held up.

    Args:
        name: the journal's, for messages.
        db: a connection of its own; closed with it.
    """

    def __init__(self, name: str, db: sqlite3.Connection) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._db = db

    def read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """A statement of `promomsg.journal.sqlite.statements.reading` on the connection.

        Raises:
            JournalError: it cannot be read, or has values that promomsg does not write.
        """
        with self._lock:
            try:
                return call(self._db)
            except Exception as error:  # noqa: BLE001 - whatever a damaged journal makes of it
                raise self._explained(error) from None

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, sqlite3.ProgrammingError):
            return JournalError(f"{self.name}: the journal is closed")
        if isinstance(error, JournalError):
            text = str(error)
            return error if self.name in text else JournalError(f"{self.name}: {text}")
        if isinstance(error, (sqlite3.Error, OSError)):
            return explain(error, self.name)
        if isinstance(error, (msgspec.MsgspecError, *NOT_OURS)):
            return JournalError(f"{self.name}: {DAMAGED}")
        return error

    @property
    def record(self) -> CampaignRecord:
        """The campaign."""
        return self.read(read.record)

    def control(self) -> Control:
        """What was asked of the sender."""
        return self.read(requested_control)

    def parked_until(self) -> float | None:
        """See `CampaignView.parked_until`."""
        return self.read(control_row).parked_until

    def running_counts(self) -> RunningCounts:
        """The counts in the form that a sender goes on counting with."""
        return self.read(read.kept_counts)

    def counts(self) -> Counts:
        """How many are in each state, as the journal keeps it: no recipient is looked at."""
        return self.running_counts().totals()

    def groups(self) -> list[GroupRow]:
        """Every group send."""
        return self.read(read.groups)

    def rows(
        self, states: Iterable[State] | None = None, source: RowSource = RECIPIENTS
    ) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq; `source`: what they are read from."""
        wanted = None if states is None else frozenset(states)
        after = -1
        while True:
            found, last = self.read(partial(read.page, after=after, states=wanted, source=source))
            if not found:
                return
            if last <= after:
                raise JournalError(f"{self.name}: it is damaged (its rows are not in order)")
            after = last
            yield from found

    def timeline(self, most: int, source: RowSource = RECIPIENTS) -> Timeline:
        """See `promomsg.journal.read_contract.Rows.timeline`."""
        return self.read(partial(read.timeline, most=most, source=source))

    def reached(self, since: float = NEVER, *, pending: bool = False) -> Iterator[list[Reached]]:
        """See `promomsg.journal.contract.Journal.reached`."""
        pages, after = partial(reached_page, since=since, pending=pending), -1
        while True:
            page, after = self.read(partial(pages, after=after))
            if not page:
                return
            yield page

    def elapsed(self) -> float:
        """Seconds from the complete plan to the last thing that happened."""
        return self.read(read.elapsed)

    def clicks(self) -> list[ClickDay]:
        """What was kept of clicks, in order of days, by message first."""
        return self.read(kept_clicks)

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self.close()

    def close(self) -> None:
        """Closes the connection; a second call does nothing."""
        with self._lock, suppress(sqlite3.Error):
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
