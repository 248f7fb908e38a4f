"""Outcomes as rows with types, a batch at a time: memory does not grow with the recipients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.model import Outcome

__all__ = ["BATCH", "batches", "batches_of", "needs", "record_batch", "typed_row", "utc"]

BATCH: Final = 10_000


def typed_row(outcome: Outcome) -> tuple[Any, ...]:
    """`contents.COLUMNS`: text, a whole number of attempts, a time in UTC; None where there is none."""
    return (
        outcome.recipient.key or "",
        outcome.state.value,
        outcome.code,
        outcome.detail,
        outcome.attempts,
        outcome.group,
        utc(outcome.at),
        outcome.rid,
    )


def utc(at: float | None) -> datetime | None:
    """A Unix time as a time in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC)


def batches_of(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Rows, so many at a time."""
    more = iter(rows)
    while batch := list(islice(more, BATCH)):
        yield batch


def batches(outcomes: Iterable[Outcome]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of many outcomes, so many at a time."""
    return batches_of(map(typed_row, outcomes))


def record_batch(arrow: Any, schema: Any, rows: list[tuple[Any, ...]]) -> Any:
    """Rows as Arrow takes them; `arrow` is pyarrow, which is loaded where it is needed."""
    columns = zip(*rows, strict=True)
    arrays = [arrow.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
    return arrow.record_batch(arrays, schema=schema)


def needs(library: str, extra: str, what: str) -> UsageError:
    """The error where a library of an extra is missing."""
    return UsageError(f"{what} needs {library}: pip install 'promomsg[{extra}]'")
