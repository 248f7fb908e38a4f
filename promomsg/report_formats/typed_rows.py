"""Outcomes as rows with types, a batch at a time: memory does not grow with the recipients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.model import Outcome

__all__ = ["BATCH", "batches", "needs", "typed_row"]

BATCH: Final = 10_000


def typed_row(outcome: Outcome) -> tuple[Any, ...]:
    """`contents.COLUMNS`: text, a whole number of attempts, a time in UTC; None where there is none."""
    at = None if outcome.at is None else datetime.fromtimestamp(outcome.at, UTC)
    return (
        outcome.recipient.key or "",
        outcome.state.value,
        outcome.code,
        outcome.detail,
        outcome.attempts,
        outcome.group,
        at,
        outcome.rid,
    )


def batches(outcomes: Iterable[Outcome]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of many outcomes, so many at a time."""
    rows = map(typed_row, outcomes)
    while batch := list(islice(rows, BATCH)):
        yield batch


def needs(library: str, extra: str, what: str) -> UsageError:
    """The error where a library of an extra is missing."""
    return UsageError(f"{what} needs {library}: pip install 'promomsg[{extra}]'")
