"""What frames and Parquet files have in common: Arrow's columns as Python's values."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from promomsg.errors import UsageError
from promomsg.intake.row_values import rounded_problem
from promomsg.intake.sources import ADDRESSES
from promomsg.intake.tables import TableBlock
from promomsg.message_parameters import rounded
from promomsg.model import Code, Problem

__all__ = [
    "blocks_of",
    "first_line",
    "import_arrow",
    "import_or_say",
    "numbered_rows",
    "without_rounded",
]

_EXTENSIONS: Final = ("arrow.uuid", "arrow.json", "arrow.bool8")
_POOL: Final = "ARROW_DEFAULT_MEMORY_POOL"


def blocks_of(
    arrow: Any, batch: Any, wanted: Mapping[int, str], size: int, first: int
) -> Iterator[TableBlock]:
    """An Arrow record batch as blocks of at most `size` rows; the first row's number is `first`."""
    for at in range(0, batch.num_rows, size):
        part = batch.slice(at, size)
        problems: dict[int, Problem] = {}
        columns = {i: _values(arrow, part.column(i), name, problems) for i, name in wanted.items()}
        yield TableBlock(columns, numbered_rows(first + at, part.num_rows), problems)


def _values(arrow: Any, column: Any, name: str, problems: dict[int, Problem]) -> Sequence[Any]:
    """A column's values as Python's own; one that Python has none for fails its row alone."""
    kind = column.type
    if isinstance(kind, arrow.BaseExtensionType) and kind.extension_name not in _EXTENSIONS:
        # What it holds is not what it says: a pandas Period of 2026 is the number 56.
        for i in range(len(column)):
            if column[i].is_valid:
                detail = f"{name} is a {kind.extension_name}; give text, a number or a date"
                problems.setdefault(i, Problem(Code.BAD_ROW, detail))
        return [None] * len(column)
    types = arrow.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(arrow.timestamp("us", kind.tz), safe=False)
    elif types.is_float32(kind) or types.is_float16(kind):
        # 0.1, as it was written, and not 0.10000000149011612
        texts = column.cast(arrow.float32()).cast(arrow.string()).to_pylist()
        short = [None if text is None else float(text) for text in texts]
        return without_rounded(
            "float32" if types.is_float32(kind) else "float16", short, name, problems
        )
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, TypeError, LookupError, UnicodeError, arrow.ArrowException):
        values = []
        for i in range(len(column)):
            try:
                values.append(column[i].as_py())
            except (
                ValueError, OverflowError, TypeError, LookupError, UnicodeError,
                arrow.ArrowException,
            ) as error:  # fmt: skip
                detail = f"{name} cannot be read: {first_line(error)}"
                problems.setdefault(i, Problem(Code.BAD_ROW, detail))
                values.append(None)
    return values


def without_rounded(
    kind: str, values: list[Any], name: str, problems: dict[int, Problem]
) -> list[Any]:
    """An address or key that a short float may have rounded to somebody else's is a problem."""
    if name not in (*ADDRESSES, "key"):
        return values
    for i, value in enumerate(values):
        if rounded(kind, value):
            problems.setdefault(i, rounded_problem(name))
            values[i] = None
    return values


def numbered_rows(first: int, count: int) -> list[str]:
    """What a person calls these rows: `row 1`, `row 2` …"""
    return [f"row {n}" for n in range(first, first + count)]


def import_arrow(caller: str) -> Any:
    """pyarrow. Raises UsageError as `import_or_say` does."""
    if "pyarrow" in sys.modules or _POOL in os.environ:
        return import_or_say("pyarrow", caller)
    # Arrow's own allocator keeps what a list's batches have freed, and planning would peak 30 MB
    # higher. Whoever has loaded pyarrow before, or says which allocator, keeps theirs.
    os.environ[_POOL] = "system"
    try:
        return import_or_say("pyarrow", caller)
    finally:
        del os.environ[_POOL]


def import_or_say(module: str, caller: str) -> Any:
    """The module. Raises UsageError that says what to install for `caller` when it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{caller} needs {module.partition('.')[0]}: pip install 'promomsg[files]'"
        ) from None


def first_line(error: BaseException) -> str:
    """An error's text, its first line alone."""
    return str(error).partition("\n")[0]
