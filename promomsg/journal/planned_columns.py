"""Pending rows as planning adds them, a column at a time, and what is known of all that were added
without a look at them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import eq, lt
from typing import Any, Final, NamedTuple

from promomsg.journal.records import PlannedRow

__all__ = ["AddedRows", "PlannedColumns", "as_columns"]


class PlannedColumns(NamedTuple):
    """Pending rows, in order of `seq`: the fields of `PlannedRow`, each a column. None: no row has a
    value in it.

    `group_no` is a guess: the group, from 1, that `make_groups` will most likely put each row into.
    A right guess spares it a change of every row, a wrong one is taken back. `cohort` is the number
    of each row's cohort; None: all are in cohort 0.
    """

    seq: Sequence[int]
    key: Sequence[str]
    id: Sequence[str | None] | None = None
    openid: Sequence[str | None] | None = None
    unionid: Sequence[str | None] | None = None
    fingerprint: Sequence[bytes | None] | None = None
    request_id: Sequence[str | None] | None = None
    values: Sequence[str | None] | None = None
    message_digest: Sequence[bytes | None] | None = None
    group_no: Sequence[int] | None = None
    cohort: Sequence[int] | None = None


def as_columns(rows: Sequence[PlannedRow]) -> PlannedColumns:
    """Some pending rows, at least one, as columns."""
    seq, key, *others = list(zip(*rows, strict=True))
    optional = [None if set(c) == _NOTHING else c for c in others[:7]]
    cohorts = others[-1] if any(others[-1]) else None
    return PlannedColumns(seq, key, *optional)._replace(cohort=cohorts)


_NOTHING: Final = {None}
_COMPARED: Final = ("key", "id", "openid", "unionid", "fingerprint", "request_id")


class AddedRows:
    """What is known of a plan's rows from adding them: it spares planning most of its looks at the
    table. It can only know less than the table says, never something else.

    Attributes:
        count: pending rows that were added.
        digests: whether one of them has a rendered message of its own.
        id_is_number: whether ids are numbers, as far as the first of each batch says.
        changed: whether a row was skipped, or given an id, since it was added.
        groups: groups that were made; in_groups: the people in them.
        cohorts: whether rows are in another cohort than 0.
        guessed: how many rows were added with each guess of a group, while it is but a guess.
    """

    def __init__(self) -> None:
        self.count = 0
        self.digests = False
        self.cohorts = False
        self.id_is_number = True
        self.changed = False
        self.groups = 0
        self.in_groups = 0
        self.guessed: Counter[int] = Counter()
        self._first = 0
        self._end = 0
        self._gap = False
        self._values: dict[str, int] = {}
        self._last: dict[str, Any] = {}
        self._unordered: set[str] = set()
        self._not_the_key: set[str] = set()

    def add(self, rows: PlannedColumns) -> None:
        """Takes in rows that have been added."""
        count = len(rows.seq)
        if not count:
            return
        first, last = rows.seq[0], rows.seq[-1]
        if not self.count:
            self._first = first
        elif first != self._end:
            self._gap = True
        if last - first + 1 != count:
            self._gap = True
        self._end = last + 1
        self.count += count
        if rows.group_no is not None:
            self.guessed.update(rows.group_no)
        if rows.id is not None and not (rows.id[0] or "").isdecimal():
            self.id_is_number = False
        self.digests = self.digests or rows.message_digest is not None
        self.cohorts = self.cohorts or rows.cohort is not None
        for name in _COMPARED:
            column = getattr(rows, name)
            if column is None:
                continue
            gaps = column.count(None) if _has_gaps(column) else 0
            self._values[name] = self._values.get(name, 0) + count - gaps
            if name not in self._not_the_key and not _same(column, rows.key):
                self._not_the_key.add(name)
            if name in self._unordered:
                continue
            if gaps:
                column = [value for value in column if value is not None]
            if column and not self._goes_on(name, column):
                self._unordered.add(name)

    def _goes_on(self, name: str, column: Sequence[Any]) -> bool:
        """Whether each value of a column is above the one before it."""
        before = (self._last[name],) if name in self._last else column[:0]
        rises = all(map(lt, chain(before, column), column[0 if before else 1 :]))
        self._last[name] = column[-1]
        return rises

    def are_guessed(self, sizes: Sequence[int]) -> bool:
        """Whether all rows stand in groups of these sizes already."""
        every = self.one_set
        return (
            every is not None
            and len(every) == sum(sizes)
            and self.guessed == dict(enumerate(sizes, 1))
        )

    def given_ids(self) -> None:
        """Some rows were given an id."""
        self.changed = True
        self._unordered.add("id")
        self._not_the_key.add("id")

    def may_repeat(self, column: str) -> bool:
        """Whether two pending rows that differ by their key may have one value in this column."""
        return column in self._unordered and (column == "key" or column in self._not_the_key)

    def values_in(self, column: str) -> int | None:
        """How many pending rows have a value in this column; None: not known."""
        return None if self.changed else self._values.get(column, 0)

    @property
    def one_set(self) -> range | None:
        """The rows by number when all of them are pending, follow one another, have an id and
        get one message at the same times; else None."""
        every = self.every
        return (
            every
            if self.values_in("id") == self.count and not (self.digests or self.cohorts)
            else None
        )

    @property
    def every(self) -> range | None:
        """The rows by number when all of them are pending and follow one another; else None."""
        if self._gap or self.changed:
            return None
        return range(self._first, self._end)


def _has_gaps(column: Sequence[Any]) -> bool:
    """Whether a column of texts, or of bytes, has None somewhere: to join it is quickest."""
    try:
        (b"" if isinstance(column[0], bytes) else "").join(column)
    except TypeError:
        return True
    return False


def _same(column: Sequence[Any], keys: Sequence[str]) -> bool:
    """Whether a column says what the key says wherever it says anything."""
    if column is keys or all(map(eq, column, keys)):
        return True
    return _has_gaps(column) and all(
        value is None or value == key for value, key in zip(column, keys, strict=True)
    )
