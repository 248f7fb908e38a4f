"""What every list of recipients is to the planner: a `Source` of `Row`s."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from promomsg.intake.row_batch import Row, RowBatch
from promomsg.model import Audience

__all__ = [
    "ADDRESSES",
    "KNOWN",
    "NAMELESS_KEY",
    "ForeseesRows",
    "FromFile",
    "Recipients",
    "Row",
    "Source",
    "file_path_of",
    "read_as",
]

KNOWN: Final = ("key", "id", "openid", "unionid", "access_token", "request_id")
"""Columns with a meaning; any other column is a parameter (docs/design.md, "Addresses")."""

ADDRESSES: Final = ("id", "openid", "unionid", "access_token")
"""Columns that say where a message goes."""

NAMELESS_KEY: Final = re.compile(r"row \d+")
"""What stands for the key of a row that has neither key nor address."""


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

    def batches(self, names: frozenset[str], size: int) -> AsyncIterator[RowBatch]:
        """Every row in order, about `size` at a time, with `names` as its parameters.

        An item that cannot be read is a `Row` with a `problem`, never an end of the others.

        Raises:
            UsageError: nothing in it, or something that no row can be blamed for.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What the journal keeps of it: `kind`, and for a file its path, sha256 and columns."""
        ...


@runtime_checkable
class ForeseesRows(Protocol):
    """A source that can tell, once its first rows are read, how many there will be."""

    @property
    def expected_rows(self) -> int | None:
        """How many rows it most likely has; None: not known."""
        ...


@runtime_checkable
class FromFile(Protocol):
    """A source that one file can be named for, before it is read."""

    @property
    def file_path(self) -> Path | None:
        """The file; `-` is standard input. None: it is no file."""
        ...


def file_path_of(source: object) -> Path | None:
    """The file that a source reads, `-` for standard input; None: it is not known to read one."""
    return source.file_path if isinstance(source, FromFile) else None


Recipients: TypeAlias = Source | Audience | Iterable[Any] | AsyncIterable[Any]
"""What `send` and `Campaign` take: `read_csv(…)` and its kin, an audience, or an iterable or async
iterable of `Recipient`, mappings, rows, or strings of digits (promoter ids)."""


def read_as(columns: Mapping[str, str], **how: Any) -> dict[str, Any]:
    """What `Source.describe` says of how a file is read: the same bytes are another list by other columns, in
    another encoding, or of another sheet. Empty where the caller said nothing of that.

    Args:
        columns: our name → the file's heading.
        how: encoding or sheet; None: not said.
    """
    said = {name: value for name, value in how.items() if value is not None}
    if columns:
        said["columns"] = dict(columns)
    return {"read_as": said} if said else {}
