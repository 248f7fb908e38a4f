"""The headings of a table: which column is which, checked once, then whole batches made rows.

A batch is cleaned a column at a time: one look at the joined column says that nothing in it needs
a closer one, so that a million good rows cost little more than reading them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from typing import Any, Final, cast
from uuid import UUID

from promomsg.addresses import clean_address, column_is_clean
from promomsg.errors import UsageError
from promomsg.intake.base import ADDRESSES, KNOWN, NO_PARAMS, Row
from promomsg.intake.clean import clean_key, clean_param, printable
from promomsg.model import Problem
from promomsg.parameters import plain_value
from promomsg.suggest import did_you_mean, nearest, quoted

__all__ = [
    "Layout",
    "check_names",
    "check_no_address",
    "check_slips",
    "clean_columns",
    "make_rows",
]

_DATA: Final = re.compile(r"\d+|o[\w-]{27}|[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_new_row = tuple.__new__


class Layout:
    """Which column of a table holds what.

    Args:
        headings: as they stand in the file, in order.
        columns: our name → the file's heading, for headings that differ.
        where: the file, for messages.

    Raises:
        UsageError: no headings, the same heading twice, a mapped heading that is not there.
    """

    def __init__(
        self, headings: Sequence[str], columns: Mapping[str, str] | None, where: str
    ) -> None:
        self.where = where
        self.headings = [str(h).strip() for h in headings]
        self.width = len(self.headings)
        self._columns = columns or {}
        self._check_headings(self._columns)
        index = {h: i for i, h in enumerate(self.headings) if h}
        self.at: dict[str, int] = {}
        for name, heading in (columns or {}).items():
            if heading not in index:
                raise UsageError(
                    f"{where}: columns says that {name} is {heading!r}, but there is no such "
                    f"heading{did_you_mean(heading, index)} (there are {quoted(index)})"
                )
            self.at[name] = index[heading]
        taken = set(self.at.values())
        for heading, i in index.items():
            if heading not in self.at and i not in taken:
                self.at[heading] = i
        self.known = {name: self.at[name] for name in KNOWN if name in self.at}
        self.params = {name: i for name, i in self.at.items() if name not in KNOWN}

    def _check_headings(self, columns: Mapping[str, str]) -> None:
        named = [h for h in self.headings if h]
        twice = {h for h in named if named.count(h) > 1}
        known = set(KNOWN) | set(columns.values())
        data = next((h for h in named if _DATA.fullmatch(h)), None)
        if data is not None and not known.intersection(named):
            raise UsageError(
                f"{self.where}: the first line is data ({data!r}), not headings; "
                "put a heading line above it, such as: id"
                + (",name" * (self.width > 1))
                + " (or openid)"
            )
        if twice:
            raise UsageError(
                f"{self.where}: the heading {min(twice)!r} is there twice; rename one of them"
            )
        if not named:
            raise UsageError(f"{self.where}: the first line has no headings; begin with one: id")

    def _check_addresses(self) -> None:
        if any(name in self.at for name in ADDRESSES):
            return
        named = [h for h in self.headings if h]
        near = next(
            ((a, h) for h in named if h not in KNOWN and (a := nearest(h, ADDRESSES))), None
        )
        if "key" in self.at and near is None:  # a wallet's token store finds users by key
            return
        if near is not None:
            hint = f'if {near[1]!r} is the {near[0]}, say columns: {near[0]} = "{near[1]}"'
        elif len(named) == 1 and (sep := next((s for s in ";\t|" if s in named[0]), None)):
            hint = f"the columns are separated by {sep!r}; save the file with commas"
        else:
            hint = 'say which one it is, as in columns: id = "' + named[0] + '"'
        raise UsageError(
            f"{self.where}: no column is called id, openid, unionid or access_token "
            f"(there are {quoted(named)}); {hint}"
        )

    def check(self, names: frozenset[str], spare: frozenset[str]) -> list[str]:
        """See `check_names`; besides, raises UsageError when no column addresses anybody."""
        check_slips(self._columns, names, self.where)
        self._check_addresses()
        return check_names(names, spare, self.params, self.where)

    def unused(self, names: frozenset[str]) -> list[str]:
        """A notice of the columns that neither address anybody nor stand in the message."""
        used = set(self.known.values()) | {i for n, i in self.params.items() if n in names}
        left = [h for i, h in enumerate(self.headings) if h and i not in used]
        if not left:
            return []
        verb = "column {} is" if len(left) == 1 else "columns {} are"
        return [f"{self.where}: {verb.format(quoted(left))} not used"]


def clean_columns(columns: Any) -> dict[str, str]:
    """The `columns` of a reader, as they were given.

    Raises:
        UsageError: it is no mapping of text to text.
    """
    if columns is None:
        return {}
    example = 'our name → the file\'s heading, as in {"id": "推广员ID"}'
    if not isinstance(columns, Mapping):
        raise UsageError(f"columns is a {type(columns).__name__}; give a mapping, {example}")
    for name, heading in columns.items():
        for text in (name, heading):
            if not isinstance(text, str) or not text.strip():
                raise UsageError(f"columns has {text!r} in it; it is {example}")
    return dict(columns)


def check_slips(columns: Mapping[str, str], names: frozenset[str], where: str) -> None:
    """Raises UsageError when `columns` names what neither we nor the message know, by a slip."""
    for name, heading in columns.items():
        if name in KNOWN or name in names:
            continue
        near = nearest(name, KNOWN)
        if near is not None or heading in KNOWN:
            raise UsageError(
                f"{where}: columns says that {name} is {heading!r}, but the message has no "
                f"{{{name}}}; did you mean {near or heading!r}?"
            )


def check_names(
    names: frozenset[str], spare: frozenset[str], there: Iterable[str], where: str
) -> list[str]:
    """Looks for the message's placeholders among the columns.

    Returns:
        A notice of each of `spare` that is not there: everybody gets its fallback.

    Raises:
        UsageError: another one is not there or is an address, or one of `spare` looks like a slip
            of the pen.
    """
    check_no_address(names, where)
    there = set(there)
    notices = []
    for name in sorted(names - there):
        if name in spare and not nearest(name, there):
            notices.append(
                f"{where}: no column is called {name!r}: everybody gets the fallback of {{{name}|…}}"
            )
            continue
        listed = f" (there are {quoted(sorted(there))})" if there else ""
        raise UsageError(
            f"{where}: the message uses {{{name}}}, but no column is called that"
            f"{did_you_mean(name, there)}{listed}"
        )
    return notices


def check_no_address(names: frozenset[str], where: str) -> None:
    """Raises UsageError when the message has somebody's address, or their token, in its text."""
    for name in sorted(names.intersection(KNOWN)):
        raise UsageError(
            f"{where}: the message uses {{{name}}}; that is an address, not a parameter: "
            "{key} is the recipient's key"
        )


def make_rows(
    known: Mapping[str, Sequence[Any]],
    params: Mapping[str, Sequence[Any]],
    where: Sequence[str],
    first: int,
    problems: dict[int, Problem],
    *,
    trusted: bool = False,
) -> list[Row]:
    """A batch of columns, made rows.

    Args:
        known: the known columns that there are, each as long as `where`.
        params: the parameters that the message needs.
        where: of each row.
        first: the number of the first row, from 1: a row without key or address is named by it.
        problems: what is already known to be wrong, by place in the batch; added to.
        trusted: every parameter is text without lone surrogates (it was decoded strictly).
    """
    count = len(where)
    clean: dict[str, Sequence[str | None]] = {
        name: _clean_column(name, column, problems) for name, column in known.items()
    }
    if not trusted:
        params = {n: _clean_params(n, column, problems) for n, column in params.items()}
    keys = _keys(known, clean, count, first, problems)
    values: Iterable[Mapping[str, Any]]
    if not params:
        values = repeat(NO_PARAMS, count)
    elif len(params) == 1:
        ((only, column),) = params.items()
        values = [{only: v} for v in column]
    else:
        names = tuple(params)
        values = [dict(zip(names, vs, strict=True)) for vs in zip(*params.values(), strict=True)]
    nothing = repeat(None)
    trouble: Iterable[Problem | None] = nothing
    if problems:
        trouble = [problems.get(i) for i in range(count)]
    fields = zip(
        keys,
        clean.get("id", nothing),
        clean.get("openid", nothing),
        clean.get("unionid", nothing),
        clean.get("access_token", nothing),
        clean.get("request_id", nothing),
        values,
        trouble,
        where,
        strict=False,  # `nothing` has no end
    )
    return cast("list[Row]", list(map(_new_row, repeat(Row), fields)))


def _clean_column(
    name: str, column: Sequence[Any], problems: dict[int, Problem]
) -> Sequence[str | None]:
    try:
        joined = "".join(column)
    except TypeError:
        pass
    else:
        if column_is_clean(name, joined, column) and set(map(type, column)) <= {str}:
            return [v or None for v in column] if "" in column else column
    cleaned: list[str | None] = []
    for i, value in enumerate(column):
        if type(value) is not str:
            value = plain_value(value)
            if name == "request_id" and isinstance(value, UUID):
                value = str(value)
        got = clean_key(value) if name == "key" else clean_address(name, value)
        if isinstance(got, Problem):
            problems.setdefault(i, got)
            got = printable(value) if name == "key" and isinstance(value, str) else None
        cleaned.append(got)
    return cleaned


def _clean_params(name: str, column: Sequence[Any], problems: dict[int, Problem]) -> Sequence[Any]:
    """A column of parameters as people write them; one that cannot be is a problem of its row."""
    cleaned = [clean_param(name, value) for value in column]
    for i, value in enumerate(cleaned):
        if type(value) is Problem:
            problems.setdefault(i, value)
            cleaned[i] = None
    return cleaned


def _keys(
    known: Mapping[str, Sequence[Any]],
    clean: Mapping[str, Sequence[str | None]],
    count: int,
    first: int,
    problems: Mapping[int, Problem],
) -> Sequence[str]:
    """Each row's key: its own, else its address as `Recipient` has it, else its number."""
    order = [clean[n] for n in ("key", "openid", "unionid", "id") if n in clean]
    if not order:
        return [f"row {first + i}" for i in range(count)]
    if len(order) == 1 or None not in order[0]:
        keys = list(order[0])
    else:
        keys = [next((v for v in vs if v is not None), None) for vs in zip(*order, strict=True)]
    if None in keys:
        for i, key in enumerate(keys):
            if key is None:
                keys[i] = (i in problems and _raw_key(known, i)) or f"row {first + i}"
    return cast("list[str]", keys)


def _raw_key(known: Mapping[str, Sequence[Any]], i: int) -> str | None:
    """What a person would look for: the unusable address as it was read."""
    for name in ("openid", "unionid", "id"):
        value = known[name][i] if name in known else None
        if not isinstance(value, (str, float, Decimal)):
            continue
        text = "" if value is None else str(value).strip()
        if text and text == printable(text):
            return text
    return None
