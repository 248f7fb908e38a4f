"""The headings of a table: which column is which, checked once, before the rows are read.

What is no heading for sure is never shown: the first line may be somebody's data, a wallet user's
token among it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from promomsg.addresses import are_digits
from promomsg.control_characters import trimmed
from promomsg.errors import UsageError
from promomsg.intake.headings import (
    REPORT_HEADINGS,
    are_headings,
    column_of_heading,
    folded_heading,
    spellings,
)
from promomsg.intake.sources import ADDRESSES, KNOWN
from promomsg.intake.spreadsheet_guards import without_guards
from promomsg.plural import counted
from promomsg.suggest import did_you_mean, nearest, quoted

__all__ = [
    "Columns",
    "check_column_names",
    "check_columns",
    "check_no_address_in_message",
    "check_placeholders",
]

_DATA: Final = re.compile(r"\d+|o[\w-]{27}|[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_FULL_WIDTH: Final = "，；、｜"
_OF_A_REPORT: Final = 5
"""The first so many headings of a report make a table one, whatever columns were added to it."""
_DECORATION: Final = 4
"""Characters that a guard, a BOM and quotes add to a heading."""


class Columns:
    """Which column of a table holds what.

    Known columns are known without regard to case, blanks and underscores; a parameter is called
    what its heading says, to the letter.

    Args:
        headings: as they stand in the file, in order.
        columns: our name → the file's heading, for headings that differ; it goes before all else.
        where: the file, for messages.
        certain: these are a table's own column names; else the first line, taken for headings.

    Raises:
        UsageError: no headings, two that mean the same known column, a mapped heading that is not
            there.
    """

    def __init__(
        self,
        headings: Sequence[str],
        columns: Mapping[str, str] | None,
        where: str,
        *,
        certain: bool = False,
    ) -> None:
        self.where = where
        self.headings = [without_guards(str(h)) for h in headings]
        self.width = len(self.headings)
        self.filled_width = max((i for i, h in enumerate(self.headings, 1) if h), default=0)
        self._columns = columns or {}
        self._is_certain = certain or are_headings(self.headings, self._columns.values())
        self._check_headings()
        self.place_of: dict[str, int] = {}
        self._twice: set[str] = set()
        for name, heading in self._columns.items():
            self.place_of[name] = self._place_of_given(name, heading)
        taken = set(self.place_of.values())
        for i, heading in enumerate(self.headings):
            if heading and i not in taken:
                self._add_heading(heading, i)
        self.known = {name: self.place_of[name] for name in KNOWN if name in self.place_of}
        self.params = {name: i for name, i in self.place_of.items() if name not in KNOWN}
        self._folded = [folded_heading(heading) for heading in self.headings]
        self._spellings = spellings(self._filled_headings)

    def _place_of_given(self, name: str, heading: str) -> int:
        found = [i for i, h in enumerate(self.headings) if h in (heading, without_guards(heading))]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"{self.where}: the heading {heading!r} is there twice; rename one of them"
            )
        raise UsageError(
            f"{self.where}: columns says that {name} is {heading!r}, but there is no such "
            "heading"
            + (did_you_mean(heading, self._filled_headings) if self._is_certain else "")
            + self._list_of_headings
        )

    def _add_heading(self, heading: str, i: int) -> None:
        """A heading that no mapping names: a known column however it is spelt, or a parameter."""
        name = column_of_heading(heading)
        if name is None:
            if heading in self.place_of:
                if heading not in self._columns:
                    self._twice.add(heading)
                return
            self.place_of[heading] = i
        elif name not in self.place_of:
            self.place_of[name] = i
        elif name not in self._columns:
            first = self.headings[self.place_of[name]]
            both = f"{first!r} and {heading!r} both mean" if first != heading else "there are two"
            raise UsageError(
                f"{self.where}: of the headings {both} {name}; rename one, or say which one it "
                f'is, as in columns: {name} = "…"'
            )

    @property
    def journal_headings(self) -> list[str]:
        """The headings, for the journal; of a line that may be data, the known columns alone."""
        if self._is_certain:
            return list(self.headings)
        return [h if column_of_heading(h) else "" for h in self.headings]

    @property
    def _filled_headings(self) -> list[str]:
        return [h for h in self.headings if h]

    @property
    def _list_of_headings(self) -> str:
        return f" (there are {quoted(self._filled_headings)})" if self._is_certain else ""

    def _check_headings(self) -> None:
        if not self._filled_headings:
            raise UsageError(f"{self.where}: the first line has no headings; begin with one: id")
        if not self._is_certain and any(map(_DATA.fullmatch, self._filled_headings)):
            raise UsageError(
                f"{self.where}: the first line is data, not headings; "
                "put a heading line above it, such as: id"
                + (",name" * (self.width > 1))
                + " (or openid)"
            )

    def _refuse_report(self) -> None:
        """Raises UsageError for a report whose only address, if any, is the key: it names those too who got
        the message."""
        own = {i for name, i in self.place_of.items() if name in ADDRESSES}
        if not set(REPORT_HEADINGS[:_OF_A_REPORT]).issubset(self._folded):
            return
        if all(self._folded[i] == REPORT_HEADINGS[0] for i in own):
            raise UsageError(
                f"{self.where} is a report of promomsg, which may name people who got the message: to send to "
                "those again who did not, write it by `promomsg report JOURNAL --format csv --output "
                "failures.csv`, and give that file by `promomsg send FILE --recipients failures.csv` "
                "(promomsg.read_failures(path, recipients) in Python)"
            )

    def _check_addresses(self, names: frozenset[str]) -> None:
        if any(name in self.place_of for name in ADDRESSES):
            return
        sure = self._is_certain or not names.isdisjoint(self._filled_headings)
        near = next(
            (
                (a, h)
                for h in self._filled_headings
                if not column_of_heading(h) and (a := nearest(h, ADDRESSES))
            ),
            None,
        )
        if "key" in self.place_of and near is None:  # a wallet's token store finds users by key
            return
        listed = f" (there are {quoted(self._filled_headings)})" if sure else ""
        if not sure and any(char in self._filled_headings[0] for char in _FULL_WIDTH):
            hint = "separate the columns by , or ; as they are in ASCII, a tab or |"
        elif not sure:
            hint = (
                "begin with a heading line, such as: key,id,name; or say which column it is, "
                'as in columns: id = "its heading"'
            )
        elif near is not None:
            hint = f'if {near[1]!r} is the {near[0]}, say columns: {near[0]} = "{near[1]}"'
        else:
            hint = f'say which one it is, as in columns: id = "{self._filled_headings[0]}"'
        raise UsageError(
            f"{self.where}: no column is called id, openid, unionid or access_token{listed}; {hint}"
        )

    def check(self, names: frozenset[str], optional: frozenset[str]) -> list[str]:
        """See `check_placeholders`; besides, raises UsageError when no column addresses anybody, or two
        headings are called what the message needs."""
        check_column_names(self._columns, names, self.where)
        self._refuse_report()
        self._check_addresses(names)
        if twice := self._twice & names:
            raise UsageError(
                f"{self.where}: the heading {min(twice)!r} is there twice; rename one of them"
            )
        return check_placeholders(names, optional, self.params, self.where, listed=self._is_certain)

    @property
    def addresses(self) -> dict[str, int]:
        """The columns that say who is meant, by name: addresses, or where there are none the key."""
        found: dict[str, int] = {n: self.known[n] for n in ADDRESSES if n in self.known}
        return found or {"key": self.known["key"]}

    def may_be_blank(self, columns: Sequence[Sequence[str]]) -> bool:
        """Whether one of these rows may have nothing in any cell: one look at the addresses."""
        return all(_has_blank(columns[place]) for place in self.addresses.values())

    def may_repeat_headings(self, columns: Sequence[Sequence[str]]) -> bool:
        """Whether a heading line may stand among these rows again: a look at the known columns."""
        place = next(iter(self.addresses.values()))
        if any(
            not self._spellings.isdisjoint(columns[i]) for i in self.known.values() if i != place
        ):
            return True
        column = columns[place]
        if are_digits("".join(column)):
            return False
        limit = max(map(len, [*self.headings, *KNOWN])) + _DECORATION
        if min(map(len, column)) > limit:
            return False
        return any(
            len(cell) <= limit and not cell.isdigit() and self.is_heading(cell) for cell in column
        )

    def is_heading(self, cell: str) -> bool:
        """Whether a cell says a heading of this table, or a known column's name: no address."""
        folded = folded_heading(cell)
        return folded in self._folded or column_of_heading(folded) is not None

    def is_heading_line(self, cells: Sequence[str]) -> bool | None:
        """Whether a row says these headings again, as in exports that were joined; None when it
        is the heading line of another table, under which each cell would mean something else."""
        folded = [folded_heading(cell) for cell in cells]
        while folded and not folded[-1]:
            folded.pop()
        ours = self._folded[: self.filled_width]
        if folded == ours:
            return True
        named = [s for s in folded if s and (s in ours or column_of_heading(s) is not None)]
        if any(column_of_heading(s) for s in named) and (len(named) > 1 or len(folded) == 1):
            return None
        return False

    def unused_notices(self, names: frozenset[str]) -> list[str]:
        """A notice of the columns that neither address anybody nor stand in the message."""
        used = set(self.known.values()) | {i for n, i in self.params.items() if n in names}
        rest = [h for i, h in enumerate(self.headings) if h and i not in used]
        left = list(dict.fromkeys(rest))
        if not left:
            return []
        if not self._is_certain:
            return [
                f"{self.where}: {counted(len(left), 'of its columns is', 'of its columns are')} not used"
            ]
        verb = "column {} is" if len(left) == 1 else "columns {} are"
        return [f"{self.where}: {verb.format(quoted(left))} not used"]


def _has_blank(column: Sequence[str]) -> bool:
    joined = "".join(column)
    if are_digits(joined):
        return "" in column
    return "" in map(str.strip, column) or (not joined.isascii() and not all(map(trimmed, column)))


def check_columns(columns: Any) -> dict[str, str]:
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


def check_column_names(columns: Mapping[str, str], names: frozenset[str], where: str) -> None:
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


def check_placeholders(
    names: frozenset[str],
    optional: frozenset[str],
    there: Iterable[str],
    where: str,
    *,
    listed: bool = True,
) -> list[str]:
    """Looks for the message's placeholders among the columns.

    Args:
        names: the placeholders.
        optional: those of them that have a fallback.
        there: the columns.
        where: the list, for messages.
        listed: a message may show the columns; they may be cells of a first line.

    Returns:
        A notice of each of `optional` that is not there: everybody gets its fallback.

    Raises:
        UsageError: another one is not there or is an address, or one of `optional` looks like a slip
            of the pen.
    """
    check_no_address_in_message(names, where)
    there = set(there)
    notices = []
    for name in sorted(names - there):
        if name in optional and not nearest(name, there):
            notices.append(
                f"{where}: no column is called {name!r}: everybody gets the fallback of {{{name}|…}}"
            )
            continue
        hint = did_you_mean(name, there) if listed else ""
        hint += f" (there are {quoted(sorted(there))})" if there and listed else ""
        raise UsageError(
            f"{where}: the message uses {{{name}}}, but no column is called that{hint}"
        )
    return notices


def check_no_address_in_message(names: frozenset[str], where: str) -> None:
    """Raises UsageError when the message has somebody's address, or their token, in its text."""
    for name in sorted(names.intersection(KNOWN)):
        raise UsageError(
            f"{where}: the message uses {{{name}}}; that is an address, not a parameter: "
            "{key} is the recipient's key"
        )
