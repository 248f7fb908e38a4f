"""What every list of recipients is to the planner: a `Source` of `Row`s."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from promomsg.model import Audience, Problem

__all__ = ["ADDRESSES", "KNOWN", "NAMELESS_KEY", "NO_PARAMS", "Recipients", "Row", "Source"]

KNOWN: Final = ("key", "id", "openid", "unionid", "access_token", "request_id")
"""Columns with a meaning; any other column is a parameter (docs/design.md, "Addresses")."""

ADDRESSES: Final = ("id", "openid", "unionid", "access_token")
"""Columns that say where a message goes."""

NAMELESS_KEY: Final = re.compile(r"row \d+")
"""What stands for the key of a row that has neither key nor address."""

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


class Source(Protocol):
    """Where recipients come from: read as a stream, never held as a whole."""

    @property
    def notices(self) -> list[str]:
        """What the plan should say: the encoding that was found, columns that are not used.

        Complete after `check`; of a large file it is cheap only once `batches` has started.
        """
        ...

    @property
    def parameters(self) -> frozenset[str]:
        """The parameters that it has, as far as it was read; of a list of objects, its first ones'."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether it can be read from the start again."""
        ...

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Looks before reading: is it there, has it the columns that are needed?

        Args:
            names: the parameters that the message uses.
            optional: those of them that have a fallback: a notice when there is no such column.

        Raises:
            UsageError: the file, its headings or its encoding; or a placeholder without a column.
        """
        ...

    def batches(self, names: frozenset[str], size: int) -> AsyncIterator[list[Row]]:
        """Every row in order, about `size` at a time, with `names` as its parameters.

        An item that cannot be read is a `Row` with a `problem`, never an end of the others.

        Raises:
            UsageError: nothing in it, or something that no row can be blamed for.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What the journal keeps of it: `kind`, and for a file its path, sha256 and columns."""
        ...


Recipients: TypeAlias = Source | Audience | Iterable[Any] | AsyncIterable[Any]
"""What `send` and `Campaign` take: `read_csv(…)` and its kin, an audience, or an iterable or async
iterable of `Recipient`, mappings, rows, or strings of digits (promoter ids)."""
