"""What `suppress=` may be, and which kind it is; nothing is read or opened here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from promomsg.engine.opened_journal import OpenedJournal
from promomsg.errors import UsageError
from promomsg.intake.sources import Source
from promomsg.intake.suppression.earlier_journal import EarlierJournals
from promomsg.intake.suppression.journal_since import JournalSince, split_age
from promomsg.journal.contract import Journal
from promomsg.model import Outcome, Recipient, Secret

__all__ = ["Suppress", "check_suppress", "is_journal", "is_list", "is_source"]

Suppress: TypeAlias = (
    str | os.PathLike[str] | Journal | OpenedJournal | JournalSince | Source | Iterable[Any] | None
)
"""What `suppress=` takes."""

_FILE: Final = r"(?is)fleet:.*|.*\.(csv|tsv|txt|db|sqlite3?|xlsx?|xlsm|parquet|jsonl?|ndjson|gz)"
"""A str in a list that means a file, or a campaign in a fleet's database: no one is called that."""
_GIVE: Final = "give a file's path, a list of keys and addresses, or a journal"


def check_suppress(suppress: Any) -> None:
    """Raises UsageError unless it is something that a suppression list can be read from, or None.

    Nothing is read or opened.
    """
    if (
        suppress is None
        or isinstance(suppress, (os.PathLike, JournalSince))
        or is_journal(suppress)
    ):
        return
    if isinstance(suppress, str):
        split_age(suppress)
        if suppress:
            return
    elif is_source(suppress) or (not _why_no_list(suppress) and isinstance(suppress, Iterable)):
        return
    hint = _why_no_list(suppress) or _GIVE
    kind = type(suppress)
    shown = repr(suppress) if kind in (str, int, float, bool) else f"a {kind.__name__}"
    raise UsageError(f"suppress={shown}: {hint}")


def is_journal(value: Any) -> bool:
    """Whether it is a journal, opened for reading or not."""
    return isinstance(value, OpenedJournal) or (
        hasattr(type(value), "reached") and hasattr(type(value), "rows_later")
    )


def is_source(value: Any) -> bool:
    """Whether it is `read_csv(…)` or one of its kin."""
    # By its class: `notices` may read the file, so the instance is not asked.
    return all(hasattr(type(value), name) for name in ("check", "batches", "describe"))


def is_list(item: Any) -> bool:
    """Whether an item of a list is a list itself: a file, a journal, a source or an iterable."""
    if isinstance(item, str):
        return re.fullmatch(_FILE, item) is not None or split_age(item) is not None
    if isinstance(item, (JournalSince, EarlierJournals)):
        return True
    if isinstance(item, (os.PathLike, Recipient, Mapping, Outcome, Secret)):
        return isinstance(item, os.PathLike)
    if is_journal(item) or is_source(item):
        return True
    if hint := _why_no_list(item):
        raise UsageError(f"suppress: a {type(item).__name__} in it: {hint}")
    return isinstance(item, Iterable) and not hasattr(item, "as_py")


def _why_no_list(value: Any) -> str | None:
    """What to say of a value that can be iterated, but not as a list of people."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _GIVE
    if hasattr(value, "columns") and hasattr(value, "shape"):
        return 'give one column of it, such as df["openid"], or promomsg.from_frame(df, id=…)'
    if isinstance(value, (Mapping, Recipient)):
        return "put it in a list"
    kind = str(getattr(value, "dtype", getattr(value, "type", "")))
    if kind.partition("[")[0].lower() in ("float32", "float16", "float", "halffloat"):
        return "short floats round numbers to somebody else's; give whole numbers or text"
    if isinstance(value, type):
        return _GIVE
    return None
