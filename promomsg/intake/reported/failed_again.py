"""`read_failures`: those of a list whom a report names as not sent to, to be sent to again.

A report has keys, and neither addresses nor parameters: they come from the list. Only who surely did not get
the message is taken, `failed` and `cancelled`. What cannot be told for sure ends the plan, before anything is
sent: a key that the list has not, or has in more rows than the report says were not sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, cast

from promomsg.clock import let_others_run
from promomsg.errors import UsageError
from promomsg.intake.python.iterables import as_source
from promomsg.intake.reported.report_file import ReportFile
from promomsg.intake.reported.reported_keys import AGAIN, ReportedKeys
from promomsg.intake.row_batch import NumberedPlaces, RowBatch
from promomsg.intake.rows import make_rows
from promomsg.intake.sources import ADDRESSES, Recipients, Source
from promomsg.model import Audience, State
from promomsg.plural import counted
from promomsg.suggest import quoted

__all__ = ["FailedAgain", "KeyIs", "read_failures"]

KeyIs = Literal["id", "openid", "unionid"]
"""Which address the keys of a report are."""

_FEW: Final = 5
_ROWS: Final = 1_000
_OPENID: Final = re.compile(r"o[\w-]{27}", re.ASCII)
_INSTEAD: Final = "`promomsg retry JOURNAL --failed` sends to the failed ones of a campaign again without any of this"


def read_failures(
    path: str | os.PathLike[str],
    recipients: Recipients | None = None,
    *,
    key_is: KeyIs | None = None,
) -> Source:
    """The recipients of a report CSV (`promomsg report JOURNAL --format csv`) that can be sent to again as
    they are: `failed` and `cancelled` ones. Nothing is read yet.

    Whoever was `sent` to, or may have been (`unknown`, `pending`), or was left out on purpose (`skipped`),
    is not among them; the plan says how many. `Campaign.retry` does the same from the journal, and needs no
    file. A report says what was so when it was written: give the campaign's journal as `suppress=`, too, and
    whomever it reached since is left out. (The terminal does so by itself.)

    Args:
        path: of the report.
        recipients: the list that the campaign was sent to (`read_csv(…)` or an iterable), which has the
            addresses and parameters. None: the key of each is itself the address, and the message has no
            parameters.
        key_is: without `recipients`, which address the key is: `"id"`, `"openid"` or `"unionid"`. None:
            openids tell by how they look; others are refused.

    Raises:
        UsageError: `recipients` is no list, or `key_is` none of these. (The files are looked at when planning
            begins.)
    """
    if key_is is not None and key_is not in ADDRESSES[:3]:
        raise UsageError(f"key_is={key_is!r}: say {', '.join(map(repr, ADDRESSES[:3]))}")
    if recipients is None:
        return FailedAgain(path, None, key_is=key_is)
    if key_is is not None:
        raise UsageError("read_failures: key_is goes without recipients, which have the addresses")
    source = as_source(recipients)
    if isinstance(source, Audience):
        raise UsageError(
            "read_failures: an audience has no keys to choose from; give the list, or key_is"
        )
    return FailedAgain(path, source)


class FailedAgain:
    """What `read_failures` returns: a `Source`.

    Args:
        path: of the report.
        people: the list; None: the keys are addresses.
        name: what messages call the list.
        key_is: as `read_failures` has it.
        digits_are_ids: a key of digits is a promoter's id: those of an audience have no other.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        people: Source | None,
        *,
        name: str = "the list",
        key_is: KeyIs | None = None,
        digits_are_ids: bool = False,
    ) -> None:
        self._report = ReportFile(path)
        self._people = people
        self._name = name
        self._key_is = key_is
        self._digits_are_ids = digits_are_ids
        self._said: list[str] = []

    @property
    def notices(self) -> list[str]:
        return [*self._said, *(self._people.notices if self._people is not None else ())]

    @property
    def parameters(self) -> frozenset[str]:
        """Those of the list."""
        return frozenset() if self._people is None else self._people.parameters

    @property
    def repeatable(self) -> bool:
        """Whether the list is."""
        return self._people is None or self._people.repeatable

    def check(self, names: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Looks at the report and at the list. Raises UsageError as `Source.check` says."""
        self._report.check()
        if self._people is not None:
            self._people.check(names, optional)
        elif names - optional:
            raise UsageError(
                f"{self._report.path} is a report, and has no parameters: the message uses "
                f"{{{min(names - optional)}}}. Give the list that the campaign was sent to; {_INSTEAD}"
            )

    @property
    def file_path(self) -> Path:
        """See `FromFile`."""
        return self._report.path.absolute()

    def describe(self) -> dict[str, Any]:
        """The report's path, and one digest of it and of the list."""
        described: dict[str, Any] = {"kind": "failures", "path": str(self._report.path.absolute())}
        listed = {} if self._people is None else self._people.describe()
        if listed:
            described["list"] = listed
        if not listed or "sha256" in listed:
            both = f"{self._report.sha256}\n{listed.get('sha256', '')}"
            described["sha256"] = sha256(both.encode()).hexdigest()
        return described

    async def batches(self, names: frozenset[str], size: int = _ROWS) -> AsyncIterator[RowBatch]:
        """The rows of the list that are to be sent to again; see `Source.batches`."""
        keys = ReportedKeys()
        try:
            for some in self._report.rows(_ROWS):
                keys.add(some)
                await let_others_run()
            chosen = keys.complete()
            self._check_any(keys, chosen)
            self._say(keys, chosen)
            if self._people is None:
                for batch in self._by_address(keys, size):
                    yield batch
                    await let_others_run()
                return
            found = 0
            async with aclosing(cast("Any", self._people.batches(names, size))) as batches:
                async for batch in batches:
                    places = keys.choose(batch)
                    found += len(places)
                    if places:
                        yield batch if len(places) == len(batch) else batch.chosen(places)
            self._check_found(keys, chosen)
            rows = counted(found, "row")
            self._said[0] += f"; {self._name} has them in {rows}"
        finally:
            keys.close()

    def _check_any(self, keys: ReportedKeys, chosen: int) -> None:
        if chosen:
            return
        why = _by_verdict(keys, tuple(State)) or "no row"
        if keys.nameless:
            why += "; those that failed have no key"
        raise UsageError(
            f"{self._report.path}: nobody in it can be sent to again as they are (it has {why}). "
            "`promomsg retry JOURNAL --unknown` sends to unknown ones again, when you say so"
        )

    def _say(self, keys: ReportedKeys, chosen: int) -> None:
        """What the plan says of the report."""
        path, rows = self._report.path, sum(keys.rows.values())
        self._said = [
            f"{path} is a report of {counted(rows, 'row')}: {counted(chosen, 'person is', 'people are')} sent to again "
            f"({_by_verdict(keys, AGAIN)})"
        ]
        others = _by_verdict(keys, tuple(state for state in State if state not in AGAIN))
        if others:
            self._said.append(f"{path}: left out are {others}")
        if keys.rows.get(State.UNKNOWN):
            self._said.append(
                "`promomsg retry JOURNAL --unknown` sends to unknown ones again, who may get it twice"
            )
        if keys.nameless:
            self._said.append(
                f"{path}: left out are {keys.nameless:,} without a key, whom nobody can find again"
            )

    def _check_found(self, keys: ReportedKeys, chosen: int) -> None:
        path, name = self._report.path, self._name
        count, some = keys.missing(_FEW)
        if count:
            raise UsageError(
                f"{path}: of the people to send to again ({chosen:,}) {counted(count, 'is', 'are')} not in {name} "
                f"({quoted(some)}): nothing was sent. Is it the list of that campaign? Put them back into "
                f"it, or take their lines out of the report; {_INSTEAD}"
            )
        count, some = keys.ambiguous(_FEW)
        if count:
            raise UsageError(
                f"{path}: {counted(count, 'key stands', 'keys stand')} in more rows of {name} than the report says were not "
                f"sent to ({quoted(some)}), so one of them may have got the message: nothing was sent. "
                f"Write the report without --state, or take their lines out of it; {_INSTEAD}"
            )
        count, some = keys.sent_under_another_key(_FEW)
        if count:
            raise UsageError(
                f"{path}: {counted(count, 'person in it has', 'people in it have')} the address of another row of "
                f"{name}, which may have got the message ({quoted(some)}): nothing was sent. Take their "
                f"lines out of the report; {_INSTEAD}"
            )

    def _by_address(self, keys: ReportedKeys, size: int) -> Iterator[RowBatch]:
        """Rows of keys that are addresses."""
        first, wanted = 1, iter(keys.wanted())
        while some := list(islice(wanted, size)):
            lines = [line for line, _ in some]
            column = [key for _, key in some]
            known: dict[str, list[str | None]] = {
                name: [None] * len(some) for name in ADDRESSES[:3]
            }
            for place, key in enumerate(column):
                known[self._address(key)][place] = key
            yield make_rows(
                {"key": column, **known}, {}, NumberedPlaces("line", lines), first, {}, trusted=True
            )
            first += len(some)

    def _address(self, key: str) -> str:
        if self._key_is is not None:
            return self._key_is
        if _OPENID.fullmatch(key):
            return "openid"
        if self._digits_are_ids and key.isascii() and key.isdigit():
            return "id"
        raise UsageError(
            f"{self._report.path} is a report, and has keys and no addresses: which address "
            f"{quoted([key])} is cannot be told. Give the list that the campaign was sent to, or say "
            f'which address the keys are, as in [campaign.columns] id = "key"; {_INSTEAD}'
        )


def _by_verdict(keys: ReportedKeys, states: tuple[State, ...]) -> str:
    """`3 unknown, 5 skipped`."""
    there = ((keys.rows.get(state, 0), state.value) for state in states)
    return ", ".join(f"{count:,} {name}" for count, name in there if count)
