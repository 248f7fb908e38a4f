"""A batch of rows as the planner takes it: columns, and a row only for who asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast, overload

from promomsg.model import Problem

__all__ = ["NO_PARAMS", "NumberedPlaces", "Row", "RowBatch"]

_new_row: Final = tuple.__new__

NO_PARAMS: Final[Mapping[str, Any]] = MappingProxyType({})


class Row(NamedTuple):
    """One row read. Its repr leaves the token out.

    Attributes:
        key: yours, or the address, or `row N` when the row has neither.
        id, openid, unionid: trimmed; None when absent or unusable.
        token: the wallet user's access token, in the clear; never written down.
        request_id: the row's own idempotency key.
        params: the parameters asked for, as they were read.
        problem: why the row cannot be sent, when reading already shows it.
        where: `line 7`, `item 7`, `row 7`: where a person finds it.
    """

    key: str
    id: str | None
    openid: str | None
    unionid: str | None
    token: str | None
    request_id: str | None
    params: Mapping[str, Any]
    problem: Problem | None
    where: str

    def __repr__(self) -> str:
        token = None if self.token is None else "…"
        return (
            f"Row(key={self.key!r}, id={self.id!r}, openid={self.openid!r}, "
            f"unionid={self.unionid!r}, token={token}, problem={self.problem!r}, "
            f"where={self.where!r})"
        )


class NumberedPlaces(Sequence[str]):
    """What a person calls each of some rows, `line 7`, written only when it is asked for.

    Args:
        unit: the word before the number.
        numbers: of each row.
    """

    def __init__(self, unit: str, numbers: Sequence[int]) -> None:
        self._unit = unit
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return NumberedPlaces(self._unit, self._numbers[at])
        return f"{self._unit} {self._numbers[at]}"

    def __iter__(self) -> Iterator[str]:
        return map(f"{self._unit} {{}}".format, self._numbers)


class RowBatch(Sequence[Row]):
    """Some rows of a list, in order. Each column is as long as `keys`; None: no row has a value.

    Attributes:
        keys, ids, openids, unionids, tokens, request_ids: the fields of `Row`.
        params: the parameters that the list has, by name.
        where: each row's place.
        problems: what reading has shown to be wrong, by place in the batch.
    """

    def __init__(
        self,
        keys: Sequence[str],
        known: Mapping[str, Sequence[str | None]],
        params: Mapping[str, Sequence[Any]],
        where: Sequence[str],
        problems: Mapping[int, Problem],
    ) -> None:
        self.keys = keys
        self.ids = known.get("id")
        self.openids = known.get("openid")
        self.unionids = known.get("unionid")
        self.tokens = known.get("access_token")
        self.request_ids = known.get("request_id")
        self.params = params
        self.where = where
        self.problems = problems

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        return list(self)[at]

    def __iter__(self) -> Iterator[Row]:
        nothing = repeat(None)
        trouble: Iterable[Problem | None] = nothing
        if self.problems:
            trouble = map(self.problems.get, range(len(self.keys)))
        fields = zip(
            self.keys,
            self.ids or nothing,
            self.openids or nothing,
            self.unionids or nothing,
            self.tokens or nothing,
            self.request_ids or nothing,
            self._params_of_rows(),
            trouble,
            self.where,
            strict=False,  # `nothing` has no end
        )
        return cast("Iterator[Row]", map(_new_row, repeat(Row), fields))

    def _params_of_rows(self) -> Iterable[Mapping[str, Any]]:
        if not self.params:
            return repeat(NO_PARAMS, len(self.keys))
        names = tuple(self.params)
        values = zip(*self.params.values(), strict=True)
        return (dict(zip(names, row, strict=True)) for row in values)

    def moved(self, keys: Sequence[str], where: Sequence[str]) -> RowBatch:
        """The same rows, with other keys and places."""
        return RowBatch(keys, self._known(), self.params, where, self.problems)

    def chosen(self, places: Sequence[int]) -> RowBatch:
        """Those of the rows that are at these places, in order."""

        def of(column: Sequence[Any]) -> list[Any]:
            return [column[place] for place in places]

        return RowBatch(
            of(self.keys),
            {name: of(column) for name, column in self._known().items()},
            {name: of(column) for name, column in self.params.items()},
            of(self.where),
            {new: self.problems[old] for new, old in enumerate(places) if old in self.problems},
        )

    def _known(self) -> dict[str, Sequence[str | None]]:
        known = {
            "id": self.ids,
            "openid": self.openids,
            "unionid": self.unionids,
            "access_token": self.tokens,
            "request_id": self.request_ids,
        }
        return {name: column for name, column in known.items() if column is not None}
