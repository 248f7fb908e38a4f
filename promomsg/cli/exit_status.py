"""Exit statuses: a table, and which of them a campaign's document comes to
(docs/design.md, "Exit statuses")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "ALL_SENT",
    "FAILURES",
    "INTERRUPTED",
    "RESUMABLE",
    "TABLE",
    "UNKNOWN",
    "WRONG",
    "status_of",
]

ALL_SENT: Final = 0
WRONG: Final = 1
FAILURES: Final = 3
UNKNOWN: Final = 4
RESUMABLE: Final = 5
INTERRUPTED: Final = 130

TABLE: Final[Mapping[int, str]] = {
    ALL_SENT: "all that was to be sent was sent",
    WRONG: "wrong use or configuration, nothing sent",
    FAILURES: "finished, and some were refused or cancelled",
    UNKNOWN: "finished, and of some it is not known whether they were reached",
    RESUMABLE: "not finished; resume goes on with it",
    INTERRUPTED: "interrupted; resume goes on with it",
}


def status_of(document: Mapping[str, Any]) -> int:
    """The exit status of a campaign: the first of 5, 4, 3, 0 that applies.

    Cancelled recipients count as 3: they were to be sent to and were not. Skipped ones do not
    count against it.
    """
    if document["pending"]:
        return RESUMABLE
    if document["unknown"]:
        return UNKNOWN
    if document["failed"] or document["cancelled"]:
        return FAILURES
    return ALL_SENT
