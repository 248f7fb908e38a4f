"""The journals of a campaign whose failures are sent to again, as a part of the suppression list: whom it
reached since the report was written is not sent to again."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["EarlierJournal", "EarlierJournals"]


class EarlierJournal(msgspec.Struct, frozen=True):
    """A journal whose people are left out who were reached, may have been, or are still to be sent to.

    Attributes:
        journal: the journal itself.
        run_id: of its campaign; a campaign that sends to its failures again keeps it in its record's `source`,
            under `again_of`, by which a later one finds it.
    """

    journal: Any
    run_id: str


class EarlierJournals(msgspec.Struct, frozen=True):
    """All that are known.

    Attributes:
        journals: the campaign's own, and those that sent to its failures before.
        notices: what is not known: a journal that is not there, or that cannot be read.
    """

    journals: tuple[EarlierJournal, ...]
    notices: tuple[str, ...] = ()
