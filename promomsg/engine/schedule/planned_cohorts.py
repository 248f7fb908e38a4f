"""Which cohort each recipient of a new plan is in: by the zone that the list names, and whether they are
among the first few (docs/design.md, "Cohorts").

Who is among the first few follows from the keys alone, the same on every machine and in every campaign:

- **A share** (`"2%"`): everybody whose number is under that share of all numbers. A list that grows keeps
  each of them among the first.
- **A number** (20): those with the smallest numbers of all who are sent to. A list that grows keeps them
  too, but for those in whose place somebody new with a smaller one comes.

A key's number is its BLAKE2b hash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, Final, NamedTuple

import msgspec

from promomsg.engine.schedule.cohorts import Cohort
from promomsg.engine.schedule.first_options import first_count, first_share
from promomsg.engine.schedule.time_options import TimeOptions
from promomsg.journal.contract import Handle
from promomsg.journal.records import CampaignRecord
from promomsg.model import Code, Problem
from promomsg.plural import counted
from promomsg.suggest import quoted

__all__ = ["PlannedCohorts", "key_number"]

_NUMBERS: Final = 1 << 64
_PAGE: Final = 20_000
"""Rows that are asked for at a time."""
_SOME: Final = 5_000
"""Rows that are put into a cohort at a time."""
_NONE: Final = -1
"""The cohort of whose zone is none."""
_LONGEST: Final = 60
"""Characters of a zone that an error shows."""


def key_number(key: str) -> int:
    """The number of a recipient's key, 0 to 2**64 - 1, by which the first few are chosen."""
    text = key.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8, person=b"first few").digest(), "big")


class _Candidate(NamedTuple):
    number: int
    seq: int
    cohort: int


class _ZoneNumbers(dict[Any, int]):
    """The cohort of each zone as the list names it; one that is new is looked up."""

    def __init__(self, cohorts: list[Cohort], zone: str | None) -> None:
        super().__init__()
        self._cohorts = cohorts
        self[None] = self[""] = self._number_of(Cohort())
        self._by_name: dict[str, int] = {} if zone is None else {zone: self[""]}

    def __missing__(self, value: Any) -> int:
        number = self._look_up(value)
        if number != _NONE:  # of those there may be as many as rows
            self[value] = number
        return number

    def _look_up(self, value: Any) -> int:
        text = str(value).strip()
        if not text:
            return self[""]
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # for a list that names zones

        try:
            name = ZoneInfo(text).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return _NONE
        if name not in self._by_name:
            self._by_name[name] = self._number_of(Cohort(zone=name))
        return self._by_name[name]

    def _number_of(self, cohort: Cohort) -> int:
        self._cohorts.append(cohort)
        return len(self._cohorts) - 1


class PlannedCohorts:
    """The cohorts of a plan in the making.

    Args:
        times: when the campaign is sent, with its zone.
        first: how many are sent to first, or their share; None: nobody is.

    Attributes:
        column: the list's column of zones; None: it has none.
        cohorts: who is in each, by number.
    """

    def __init__(self, times: TimeOptions, first: int | str | None = None) -> None:
        self.column = times.zone_column
        self.cohorts: list[Cohort] = []
        self._zone = times.zone
        self._first = first
        self._zones = _ZoneNumbers(self.cohorts, times.zone)
        self._without = 0
        self._first_few = 0
        self._first_of: dict[int, int] = {}
        """The cohort of the first few of a cohort, by its number."""
        self._digest = blake2b(digest_size=16)

    @property
    def is_one(self) -> bool:
        """Whether everybody is in one cohort, whoever they are."""
        return self.column is None and self._first is None

    def names(self, names: frozenset[str]) -> frozenset[str]:
        """What is to be read of a list, besides those of its columns that say who is meant."""
        return names if self.column is None else names | {self.column}

    def numbers(self, params: Mapping[str, Sequence[Any]], count: int) -> list[int] | None:
        """The cohort of each row of a batch; None: look at them one by one, as one may have no zone."""
        zones = params.get(self.column or "") or (None,) * count
        found = list(map(self._zones.__getitem__, zones))
        if _NONE in found:
            return None
        self._without += zones.count(None) + zones.count("")
        self._add_to_digest(zones)
        return found

    def number(self, params: Mapping[str, Any]) -> tuple[int, Problem | None]:
        """The cohort of one row, or what is wrong with its zone."""
        zone = params.get(self.column or "")
        self._add_to_digest((zone,))
        number = self._zones[zone]
        if number != _NONE:
            self._without += zone is None or not str(zone).strip()
            return number, None
        text = str(zone).strip()[:_LONGEST]
        return 0, Problem(Code.BAD_ZONE, f"{text!r} is no time zone; name it like 'Europe/Paris'")

    def _add_to_digest(self, zones: Sequence[Any]) -> None:
        try:
            text = "\n".join(zones)
        except TypeError:
            text = "\n".join("" if zone is None else str(zone) for zone in zones)
        self._digest.update(text.encode("utf-8", "surrogatepass") + b"\n")

    def digest_with(self, digest: str) -> str:
        """A list's digest, with that of its zones."""
        if self.column is None:
            return digest
        return blake2b(bytes.fromhex(digest) + self._digest.digest(), digest_size=16).hexdigest()

    async def choose_first(self, handle: Handle) -> None:
        """Puts the first few into cohorts of their own, once everybody else is left out."""
        if self._first is None:
            return
        recipients, _ = await handle.plan_counts()
        if not recipients:
            return
        share = first_share(self._first)
        if share is None:
            await self._put_first(
                handle, await _smallest(handle, first_count(self._first, recipients))
            )
            return
        limit = int(share * _NUMBERS)
        # Page by page: they may be half of a list of any length.
        async for page in _pages(handle):
            await self._put_first(handle, [one for one in page if one.number < limit])
        if not self._first_few:
            await self._put_first(handle, await _smallest(handle, 1))

    async def _put_first(self, handle: Handle, chosen: Sequence[_Candidate]) -> None:
        by_cohort: dict[int, list[int]] = {}
        for one in chosen:
            by_cohort.setdefault(one.cohort, []).append(one.seq)
        for cohort, seqs in sorted(by_cohort.items()):
            if cohort not in self._first_of:
                first = msgspec.structs.replace(self.cohorts[cohort], first=True)
                self._first_of[cohort] = len(self.cohorts)
                self.cohorts.append(first)
            for at in range(0, len(seqs), _SOME):
                await handle.set_cohort(seqs[at : at + _SOME], self._first_of[cohort])
        self._first_few += len(chosen)

    def keep_in(self, record: CampaignRecord) -> None:
        """Has a campaign's record know its cohorts; one alone needs no word."""
        several = len(self.cohorts) > 1 or any(cohort.zone for cohort in self.cohorts)
        record.cohorts = msgspec.to_builtins(self.cohorts) if several else []

    def notices(self) -> list[str]:
        """What the plan should say of them."""
        notices = []
        if self.column is not None:
            named = dict.fromkeys(cohort.zone for cohort in self.cohorts if cohort.zone is not None)
            count = f"{len(named)} ({quoted(list(named))})" if named else "0"
            if self._zone is None:
                notices.append(f"time zones in the column {self.column!r}: {count}")
            else:
                text = f"time zones in the column {self.column!r}, besides {self._zone}: {count}"
                notices.append(text)
            if self._without and self._zone is not None:
                text = f"{counted(self._without, 'recipient names', 'recipients name')} no time zone: theirs is {self._zone}"
                notices.append(text)
        if self._first_few:
            notices.append(f"{self._first_few:,} are sent to first (first = {self._first!r})")
        return notices


async def _pages(handle: Handle) -> AsyncIterator[list[_Candidate]]:
    after = -1
    while page := await handle.pending_keys(after, _PAGE):
        yield [_Candidate(key_number(key), seq, cohort) for seq, key, cohort in page]
        after = page[-1][0]


async def _smallest(handle: Handle, count: int) -> list[_Candidate]:
    """So many with the smallest numbers."""
    found: list[_Candidate] = []
    async for page in _pages(handle):
        found = nsmallest(count, [*found, *page])
    return found
