"""Reading a campaign by plain calls, without an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from promomsg.model import Outcome, State

__all__ = ["PostgresRows"]


class PostgresRows:
    """See `promomsg.journal.contract.Rows`.

    Args:
        url: of the database.
        journal: the journal's name there.
    """

    def __init__(self, url: str, journal: str) -> None:
        self._url = url
        self._journal = journal

    def rows(self, states: Iterable[State] | None = None) -> Iterator[Outcome]:
        """Every row (or those in `states`) in order of seq."""
        raise NotImplementedError

    def keep(self) -> None:
        """See `Rows.keep`."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what `keep` holds."""
