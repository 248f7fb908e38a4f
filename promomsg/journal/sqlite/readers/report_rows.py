"""The rows of a report, from the journal's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from promomsg.journal.sqlite.readers.journal_reader import JournalReader
from promomsg.journal.sqlite.statements.reading import RowSource
from promomsg.model import Outcome, State
from promomsg.timeline import Timeline

__all__ = ["ReportRows"]


class ReportRows:
    """See `promomsg.journal.contract.Rows`: the file is opened for one iteration and closed after it,
    since people keep reports.

    Args:
        path: of the journal.
        source: what its rows are read from, as it stands then.
    """

    def __init__(self, path: str, source: Callable[[JournalReader], RowSource]) -> None:
        self._path = path
        self._source = source
        self._kept: JournalReader | None = None

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq.

        Raises:
            JournalError: the journal is gone, or cannot be read.
        """
        if self._kept is not None:
            yield from self._kept.rows(states)
            return
        with JournalReader(self._path) as reader:
            yield from reader.rows(states, self._source(reader))

    def timeline(self, most: int) -> Timeline:
        """See `promomsg.journal.read_contract.Rows.timeline`."""
        if self._kept is not None:
            return self._kept.timeline(most)
        with JournalReader(self._path) as reader:
            return reader.timeline(most, self._source(reader))

    def keep(self) -> None:
        """See `JournalReader.detach`."""
        if self._kept is None:
            reader = JournalReader(self._path)
            reader.detach()
            self._kept = reader

    def close(self) -> None:
        """Gives back what `keep` holds."""
        if self._kept is not None:
            self._kept.close()
