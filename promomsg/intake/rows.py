"""Batches of columns made into rows for the planner.

A batch is parsed a column at a time: one look at the joined column says that nothing in it needs
a closer one, so that a million good rows cost little more than reading them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from operator import is_
from typing import Any, Final, cast
from uuid import UUID

from promomsg.addresses import is_clean_column, parse_address
from promomsg.control_characters import escaped, find_control
from promomsg.intake.row_batch import RowBatch
from promomsg.intake.row_values import parse_key, rounded_problem
from promomsg.intake.spreadsheet_guards import SpreadsheetGuards, may_hold_guards
from promomsg.message_parameters import plain_parameter, plain_value, rounded
from promomsg.model import Code, Problem

__all__ = ["make_rows"]

_is_none = partial(is_, None)
_TOTALS: Final = frozenset(
    word + colon
    for one in (
        "合计",
        "总计",
        "小计",
        "共计",
        "合計",
        "總計",
        "小計",
        "total",
        "grand total",
        "subtotal",
    )
    for word in (one, one.capitalize(), one.title(), one.upper())
    for colon in ("", ":", "\uff1a")
)
"""What office programs call the row below a table, with a count or a sum where the ids stand."""


def make_rows(
    known: Mapping[str, Sequence[Any]],
    params: Mapping[str, Sequence[Any]],
    where: Sequence[str],
    first: int,
    problems: dict[int, Problem],
    *,
    trusted: bool = False,
    guards: SpreadsheetGuards | None = None,
) -> RowBatch:
    """A batch of columns as they were read, made rows.

    Args:
        known: the known columns that there are, each as long as `where`.
        params: the parameters that the message needs.
        where: of each row.
        first: the number of the first row, from 1: a row without key or address is named by it.
        problems: what is already known to be wrong, by place in the batch; added to.
        trusted: every parameter is text without lone surrogates (it was decoded strictly).
        guards: takes off and counts what spreadsheets put around values; the columns are text.
    """
    count = len(where)
    parsed: dict[str, Sequence[str | None]] = {
        name: _parse_column(name, column, problems, guards) for name, column in known.items()
    }
    if guards is not None:
        params = {name: guards.take_off_parameters(column) for name, column in params.items()}
    if not trusted:
        params = {n: _parse_parameters(n, column, problems) for n, column in params.items()}
    for i in _rows_of_totals(parsed, params, count):
        detail = "it is the row of sums below a table, and nobody; take it out"
        problems.setdefault(i, Problem(Code.BAD_ROW, detail))
    keys = _keys(known, parsed, count, first, problems)
    filled = {name: column for name, column in parsed.items() if not all(map(_is_none, column))}
    return RowBatch(keys, filled, params, where, problems)


def _rows_of_totals(
    parsed: Mapping[str, Sequence[str | None]], params: Mapping[str, Sequence[Any]], count: int
) -> list[int]:
    """The places of rows of sums: by their key, or without keys by the last row's parameters."""
    keys = parsed.get("key")
    if keys is not None and any(keys):
        if _TOTALS.isdisjoint(keys):
            return []
        return [i for i, key in enumerate(keys) if key in _TOTALS]
    for column in params.values() if count else ():
        last = column[-1]
        if type(last) is str and last.strip() in _TOTALS:
            # Where others have the same word, it is what they are to read.
            others = (value for value in column[:-1] if type(value) is str)
            return [] if any(value == last for value in others) else [count - 1]
    return []


def _parse_column(
    name: str, column: Sequence[Any], problems: dict[int, Problem], guards: SpreadsheetGuards | None
) -> Sequence[str | None]:
    if all(map(_is_none, column)):  # a list of ids alone has no other address
        return column
    try:
        joined = "".join(column)
    except TypeError:
        pass
    else:
        # Text of the user's own kind may say another thing than it holds: each gets a look.
        if is_clean_column(name, joined, column) and (
            set(map(type, column)) <= {str}
            if guards is None
            else name != "key" or not may_hold_guards(joined)
        ):
            return [v or None for v in column] if "" in column else column
    if guards is not None:
        column = guards.take_off_known(name, column)
    parsed: list[str | None] = []
    for i, value in enumerate(column):
        if value is None:
            parsed.append(None)
            continue
        if type(value) is not str:
            if rounded(type(value).__name__, value):
                problems.setdefault(i, rounded_problem(name))
                parsed.append(None)
                continue
            value = plain_value(value)
            if name == "request_id" and isinstance(value, UUID):
                value = str(value)
        got = parse_key(value) if name == "key" else parse_address(name, value)
        if isinstance(got, Problem):
            problems.setdefault(i, got)
            got = escaped(value) if name == "key" and isinstance(value, str) else None
        parsed.append(got)
    return parsed


def _parse_parameters(
    name: str, column: Sequence[Any], problems: dict[int, Problem]
) -> Sequence[Any]:
    """A column of parameters as people write them; one that cannot be is a problem of its row."""
    parsed = [plain_parameter(name, value) for value in column]
    for i, value in enumerate(parsed):
        if type(value) is Problem:
            problems.setdefault(i, value)
            parsed[i] = None
    return parsed


def _keys(
    known: Mapping[str, Sequence[Any]],
    parsed: Mapping[str, Sequence[str | None]],
    count: int,
    first: int,
    problems: Mapping[int, Problem],
) -> Sequence[str]:
    """Each row's key: its own, else its address as `Recipient` has it, else its number."""
    order = [parsed[n] for n in ("key", "openid", "unionid", "id") if n in parsed]
    if not order:
        return [f"row {first + i}" for i in range(count)]
    if len(order) == 1 or not _has_gaps(order[0]):
        keys = order[0]
    else:
        keys = [next((v for v in vs if v is not None), None) for vs in zip(*order, strict=True)]
    if _has_gaps(keys):
        keys = list(keys)
        for i, key in enumerate(keys):
            if key is None:
                keys[i] = (i in problems and _raw_key(known, i)) or f"row {first + i}"
    return cast("list[str]", keys)


def _has_gaps(column: Sequence[str | None]) -> bool:
    """Whether a column of texts has None somewhere: to join it is the quickest way to see."""
    try:
        "".join(column)  # type: ignore[arg-type]
    except TypeError:
        return True
    return False


def _raw_key(known: Mapping[str, Sequence[Any]], i: int) -> str | None:
    """What a person would look for: the unusable address as it was read."""
    for name in ("openid", "unionid", "id"):
        value = known[name][i] if name in known else None
        if not isinstance(value, (str, float, Decimal)):
            continue
        text = "" if value is None else str(value).strip()
        if text and find_control(text) is None:
            return text
    return None
